//! The mix imitates the day of a platform: clients read and upload files of all sizes at the same
//! time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MOST_MEMORY, Metric, RATE};
use crate::crowd;
use crate::disk::empty;
use crate::files::{nothing_stays, wait_until_committed};
use crate::report::Report;
use crate::sampling::peak_mib;
use crate::sidecar::{NO_MONGODB, Settings};
use crate::stage::Stage;
use crate::stats::{self, Sample, float, quantile};
use crate::wire::{Client, Request};

const CONNECTIONS: usize = 64;

/// The number of reads among a hundred requests.
const READS: u64 = 70;

/// The classes of files: files of a hundred, the least length and the greatest length in bytes.
const CLASSES: [(u64, u64, u64); 3] = [
    (60, 8 << 10, 64 << 10),
    (30, 200 << 10, 2 << 20),
    (10, 5 << 20, 20 << 20),
];

/// The greatest length of a small file in bytes.
const SMALL_BYTES: u64 = 64 << 10;

/// The number of files that are compared with their uploads when the time is over.
const COMPARED: usize = 100;

const SMALL_READS: Metric = Metric::new("small_read_p99", " ms p99 of small reads");
/// The CPU time of sidecar and mongod for each request. It varies less than the rate.
const CPU: Metric = Metric::new("cpu_ms_each", " ms of sidecar and mongod a request");

/// Adds the row of the mix to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let work = "mix of 70 % reads and 30 % uploads";
    if stage.options.wants(work) {
        report.add(mix(stage, work));
    }
}

fn mix(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let seconds = stage.options.of(2.0, 5.0);
    let there = stage.options.of(100, 300);
    for _ in 0..stage.options.repeat {
        let uri = stage.mongo.uri();
        case.round("gridspool", || gridspool(stage, &uri, &[], there, seconds));
        // With this setting commits do not give way to clients.
        let fixed = [("commit-pace", "fixed".to_owned())];
        case.round("gridspool, fixed pace", || {
            gridspool(stage, &uri, &fixed, there, seconds)
        });
        // Clients then read uncommitted files, from the journal.
        case.round("gridspool, MongoDB stopped", || {
            gridspool(stage, NO_MONGODB, &[], there, seconds)
        });
        let alone = stage.alone.address();
        case.round("nginx alone", || {
            let known = uploaded(alone, there)?;
            measured(stage, alone, &known, seconds)
        });
        empty(&stage.files);
        stage.disk.settle();
    }
    case.compare("gridspool", "nginx alone", RATE, Goal::AtLeast(0.85));
    case.compare("gridspool", "nginx alone", SMALL_READS, Goal::AtMost(3.0));
    let stopped = "gridspool, MongoDB stopped";
    case.compare(stopped, "nginx alone", RATE, Goal::None);
    case.compare(stopped, "nginx alone", SMALL_READS, Goal::None);
    for metric in [RATE, CPU] {
        case.compare("gridspool", "gridspool, fixed pace", metric, Goal::None);
    }
    case.judge("gridspool", MEMORY, MOST_MEMORY);
    case
}

fn gridspool(
    stage: &mut Stage,
    uri: &str,
    settings: &Settings,
    there: u64,
    seconds: f64,
) -> Result<Sample, String> {
    let settings = [settings, &nothing_stays()].concat();
    stage.with_sidecar(uri, &settings, |stage| {
        let address = stage.gridspool.address();
        let known = uploaded(address, there)?;
        if uri != NO_MONGODB {
            wait_until_committed(stage);
        }
        measured(stage, address, &known, seconds)
    })
}

/// Measures one repetition.
fn measured(
    stage: &Stage,
    address: SocketAddr,
    known: &[Known],
    seconds: f64,
) -> Result<Sample, String> {
    let mut known = known.to_vec();
    let sample = stage.measure(|| {
        let (sample, all) = run_mix(address, &known, seconds)?;
        known = all;
        Ok(sample)
    })?;
    let cpu = ["sidecar", "mongod"].map(|name| {
        let used = sample.usage.get(name);
        used.map_or(0.0, |used| used.cpu_seconds)
    });
    let requests = sample.value("requests").unwrap_or_default();
    let sample = sample
        .with(CPU.name, cpu.iter().sum::<f64>() * 1e3 / requests)
        .with(MEMORY.name, peak_mib(&stage.sidecar.ids()));
    compare(address, &known)?;
    Ok(sample)
}

/// A file that can be read: its path, its number and its length in bytes.
type Known = (String, u64, u64);

/// The requests of a mix: the length and the latency of each.
#[derive(Debug, Default)]
struct Done {
    reads: Vec<(u64, Duration)>,
    uploads: Vec<(u64, Duration)>,
}

/// Returns a number that looks random and is the same in each run.
fn scrambled(number: u64) -> u64 {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state ^ (state >> 31)
}

/// Returns the length of file `number` in bytes.
fn length(number: u64) -> u64 {
    let random = scrambled(number);
    let mut class = random % 100;
    for (share, least, most) in CLASSES {
        if class < share {
            return least + (random >> 16) % (most - least);
        }
        class -= share;
    }
    0
}

/// Uploads the files that exist before the mix.
fn uploaded(address: SocketAddr, count: u64) -> Result<Vec<Known>, String> {
    let next = AtomicU64::new(0);
    let known = Mutex::new(Vec::new());
    let ends = crowd::all(CONNECTIONS, async |_| {
        let mut visitor = Visitor::of(address).await?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok::<_, String>(());
            }
            visitor.upload(number, &known).await?;
        }
    });
    ends.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(known.into_inner().expect("a list"))
}

/// Reads and uploads at the same time; reads also ask for files that were just uploaded. Returns
/// all known files, so that some of them can be compared with their uploads.
fn run_mix(
    address: SocketAddr,
    known: &[Known],
    seconds: f64,
) -> Result<(Sample, Vec<Known>), String> {
    let next = AtomicU64::new(u64::try_from(known.len()).expect("few"));
    let known = Mutex::new(known.to_vec());
    let begun = Instant::now();
    let ends = crowd::all(CONNECTIONS, async |_| {
        let mut visitor = Visitor::of(address).await?;
        while begun.elapsed().as_secs_f64() < seconds {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let random = scrambled(!number);
            if random % 100 < READS {
                visitor.read(random >> 16, &known).await?;
            } else {
                visitor.upload(number, &known).await?;
            }
        }
        Ok::<_, String>(visitor.done)
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (mut reads, mut uploads) = (Vec::new(), Vec::new());
    for end in ends {
        let done = end?;
        reads.extend(done.reads);
        uploads.extend(done.uploads);
    }
    let milliseconds = |taken: &[(u64, Duration)], share| {
        let small = taken.iter().filter(|(length, _)| *length <= SMALL_BYTES);
        let latencies: Vec<_> = small.map(|(_, latency)| *latency).collect();
        quantile(&latencies, share).as_secs_f64() * 1e3
    };
    let bytes: u64 = reads.iter().chain(&uploads).map(|(length, _)| length).sum();
    let requests = float(reads.len() + uploads.len());
    let sample = Sample::default()
        .with("requests", requests)
        .with("rate", requests / seconds)
        .with("mib", float(bytes) / stats::MIB / seconds)
        .with("seconds", seconds)
        .with("small_read_p50", milliseconds(&reads, 0.5))
        .with("small_read_p99", milliseconds(&reads, 0.99))
        .with("small_read_max", milliseconds(&reads, 1.0))
        .with("small_upload_p99", milliseconds(&uploads, 0.99));
    Ok((sample, known.into_inner().expect("a list")))
}

/// Reads the newest files and compares them with their uploads.
fn compare(address: SocketAddr, known: &[Known]) -> Result<(), String> {
    let newest = &known[known.len().saturating_sub(COMPARED)..];
    let ends = crowd::all(newest.len(), async |place| {
        let (path, number, length) = &newest[place];
        let request = Request::get(path).expecting(Body::of(*number, *length));
        let mut client = Client::of(address).await?;
        client.exchange(&request).await.map(|_| ())
    });
    ends.into_iter().collect()
}

/// One connection, and the requests that went over it.
struct Visitor {
    client: Client,
    done: Done,
}

impl Visitor {
    async fn of(address: SocketAddr) -> Result<Self, String> {
        Ok(Self {
            client: Client::of(address).await?,
            done: Done::default(),
        })
    }

    async fn upload(&mut self, number: u64, known: &Mutex<Vec<Known>>) -> Result<(), String> {
        let (name, length) = (format!("/files/mix-{number}"), length(number));
        let begun = Instant::now();
        let request = Request::put(&name, Body::of(number, length));
        let place = self.client.exchange(&request).await?.unwrap_or(name);
        self.done.uploads.push((length, begun.elapsed()));
        known.lock().expect("a list").push((place, number, length));
        Ok(())
    }

    async fn read(&mut self, random: u64, known: &Mutex<Vec<Known>>) -> Result<(), String> {
        let (place, _, length) = {
            let known = known.lock().expect("a list");
            let count = u64::try_from(known.len()).expect("few");
            known[usize::try_from(random % count).expect("few")].clone()
        };
        let begun = Instant::now();
        self.client.exchange(&Request::get(&place)).await?;
        self.done.reads.push((length, begun.elapsed()));
        Ok(())
    }
}
