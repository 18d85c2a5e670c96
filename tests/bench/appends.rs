//! Resumable uploads. These rows measure files that come by appends, beside the same bytes as one-shot
//! uploads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MIB_PER_SECOND, MOST_MEMORY, P99, RATE};
use crate::crowd;
use crate::load::{Limit, Outcome};
use crate::report::Report;
use crate::sampling::peak_mib;
use crate::sidecar::NO_MONGODB;
use crate::stage::Stage;
use crate::stats::Sample;
use crate::uploads::LARGE;
use crate::wire::{Client, Request};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A file of many small appends. It is open for a while, as that of a camera that records.
const LONG: u64 = 16 * MIB;

const APPEND: u64 = 64 * KIB;

/// Other servers of resumable uploads. They have no durable rate, as they leave what they answered to the page
/// cache.
const RIVALS: [&str; 2] = ["@tus/server", "rustus"];

/// Adds all rows of appends to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let work = "256 MiB by appends of 8 MiB";
    if stage.options.wants(work) {
        let mut case = Case::new(work);
        let limit = Limit::Count(stage.options.of(2, 8));
        for _ in 0..stage.options.repeat {
            for (contestant, piece) in [("appends", 8 * MIB), ("one shot", LARGE.bytes)] {
                case.round(contestant, || {
                    send(stage, LARGE.connections, limit, LARGE.bytes, piece)
                });
            }
        }
        case.compare("appends", "one shot", MIB_PER_SECOND, Goal::AtLeast(0.8));
        case.judge("appends", MEMORY, MOST_MEMORY);
        report.add(case);
    }
    for connections in [1, 32] {
        let work = format!("appends of 64 KiB, {connections} at once");
        if !stage.options.wants(&work) {
            continue;
        }
        let mut case = Case::new(&work);
        let limit = Limit::Seconds(stage.options.of(2.0, 4.0));
        for _ in 0..stage.options.repeat {
            for (contestant, whole) in [("appends", LONG), ("one shot", APPEND)] {
                case.round(contestant, || {
                    send(stage, connections, limit, whole, APPEND)
                });
            }
        }
        case.compare("appends", "one shot", RATE, Goal::AtLeast(0.6));
        case.compare("appends", "one shot", P99, Goal::None);
        for rival in RIVALS {
            // The row says why there is nothing to compare with.
            case.round(rival, || {
                Err("not run: it answers before an fsync".to_owned())
            });
            case.compare("appends", rival, RATE, Goal::AtLeast(3.0));
        }
        case.judge("appends", MEMORY, MOST_MEMORY);
        report.add(case);
    }
}

/// Sends files of `whole` bytes, each in pieces of this length. A file of one piece is a one-shot upload.
fn send(
    stage: &mut Stage,
    connections: usize,
    limit: Limit,
    whole: u64,
    piece: u64,
) -> Result<Sample, String> {
    stage.with_sidecar(NO_MONGODB, &[], |stage| {
        let sample = stage.measure(|| {
            let senders = Senders {
                whole,
                piece,
                limit,
                next: AtomicU64::new(0),
                begun: Instant::now(),
            };
            let address = stage.gridspool.address();
            let ends = crowd::all(connections, async |_| {
                let mut client = Client::of(address).await?;
                let mut latencies = Vec::new();
                senders.work(&mut client, &mut latencies).await?;
                Ok::<_, String>(latencies)
            });
            let seconds = senders.begun.elapsed().as_secs_f64();
            let each = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
            let latencies = each.concat();
            let pieces = u64::try_from(latencies.len()).expect("few");
            let outcome = Outcome {
                seconds,
                bytes: pieces * piece,
                latencies,
                ..Outcome::default()
            };
            Ok(outcome.sample())
        })?;
        Ok(sample.with(MEMORY.name, peak_mib(&stage.sidecar.ids())))
    })
}

struct Senders {
    whole: u64,
    piece: u64,
    limit: Limit,
    next: AtomicU64,
    begun: Instant,
}

impl Senders {
    fn is_over(&self) -> bool {
        matches!(self.limit, Limit::Seconds(most) if self.begun.elapsed().as_secs_f64() >= most)
    }

    /// Sends files until the limit, and notes how long each piece took.
    async fn work(&self, client: &mut Client, latencies: &mut Vec<Duration>) -> Result<(), String> {
        while !self.is_over() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if matches!(self.limit, Limit::Count(most) if number >= most) {
                break;
            }
            let body = Body::of(number, self.whole);
            if self.piece == self.whole {
                let request = Request::put(&format!("/files/{number}"), body);
                latencies.push(self.timed(client, &request).await?);
                continue;
            }
            let place = client.exchange(&Request::begin_upload(self.whole)).await?;
            let place = place.ok_or("no place")?;
            let mut offset = 0;
            while offset < self.whole && !self.is_over() {
                let piece = body.part(offset, self.piece.min(self.whole - offset));
                let request = Request::append(&place, offset, piece);
                latencies.push(self.timed(client, &request).await?);
                offset += piece.length;
            }
        }
        Ok(())
    }

    async fn timed(&self, client: &mut Client, request: &Request) -> Result<Duration, String> {
        let begun = Instant::now();
        client.ask(request).await?;
        Ok(begun.elapsed())
    }
}
