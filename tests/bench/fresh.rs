//! These rows read a file right after its upload, as the other side of a conversation does. Such a
//! read should take no longer than the read of a hot file.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::block::Body;
use crate::case::{Case, Goal, Metric};
use crate::crowd;
use crate::disk::empty;
use crate::files::committed;
use crate::mongo::DATABASE;
use crate::nginx::Nginx;
use crate::report::Report;
use crate::stage::Stage;
use crate::stats::{Sample, float, quantile};
use crate::uploads::{MIDDLE, SMALL, Size};
use crate::wire::{Client, Request};

/// The number of conversations at a time.
const CONNECTIONS: usize = 8;

const PAIRS: Metric = Metric::new("rate", " pairs/s");
const READ: Metric = Metric::new("get_p50", " ms p50 of the get");

/// Adds all rows of such reads to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for size in [SMALL, MIDDLE] {
        let work = format!("{} read after its upload", size.name);
        if stage.options.wants(&work) {
            report.add(fresh(stage, &work, size));
        }
    }
}

/// All contestants upload the same amount. They differ in the file that they read afterwards.
fn fresh(stage: &mut Stage, work: &str, size: Size) -> Case {
    let mut case = Case::new(work);
    for _ in 0..stage.options.repeat {
        let files = committed(stage, size, 16);
        let [gridspool, alone] = [&stage.gridspool, &stage.alone].map(Nginx::address);
        let seconds = stage.options.of(1.0, 2.0);
        let measure = |address, old: Option<&[String]>| {
            stage.measure(|| converse(address, size, seconds, old))
        };
        // These reads fill the caches.
        for _ in 0..2 {
            measure(gridspool, Some(&files.places)).expect("reads of old files");
        }
        case.round("a hot file", || measure(gridspool, Some(&files.places)));
        case.round("gridspool", || measure(gridspool, None));
        case.round("nginx alone", || measure(alone, None));
        stage.end();
        stage.mongo.forget(DATABASE);
        empty(&stage.files);
    }
    case.compare("gridspool", "a hot file", READ, Goal::AtMost(1.1));
    case.compare("gridspool", "nginx alone", READ, Goal::None);
    case.compare("gridspool", "nginx alone", PAIRS, Goal::None);
    case
}

/// Uploads and reads in turns. A read asks for one of the `old` files or, without them, for the
/// file just uploaded.
fn converse(
    address: SocketAddr,
    size: Size,
    seconds: f64,
    old: Option<&[String]>,
) -> Result<Sample, String> {
    let begun = Instant::now();
    let ends = crowd::all(CONNECTIONS, async |client| {
        let mut talk = Client::of(address).await?;
        let mut reads = Vec::new();
        while begun.elapsed().as_secs_f64() < seconds {
            let number = client + CONNECTIONS * reads.len();
            // No other row has files of these names.
            let name = format!("/files/fresh-{number}");
            let body = Body::of(u64::try_from(number).expect("few"), size.bytes);
            let place = talk.exchange(&Request::put(&name, body)).await?;
            let place = match old {
                Some(old) => old[number % old.len()].clone(),
                None => place.unwrap_or(name),
            };
            let asked = Instant::now();
            talk.exchange(&Request::get(&place)).await?;
            reads.push(asked.elapsed());
        }
        Ok::<_, String>(reads)
    });
    let ends: Result<Vec<Vec<Duration>>, String> = ends.into_iter().collect();
    let reads = ends?.concat();
    let rate = float(reads.len()) / begun.elapsed().as_secs_f64();
    let mut sample = Sample::default().with("rate", rate);
    sample.set("get_p50", quantile(&reads, 0.5).as_secs_f64() * 1e3);
    sample.set("get_p99", quantile(&reads, 0.99).as_secs_f64() * 1e3);
    Ok(sample)
}
