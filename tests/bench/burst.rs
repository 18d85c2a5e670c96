//! This row measures a burst: thousands of uploads begin within a second, each on a connection of
//! its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::block::Body;
use crate::case::{Case, Goal, Metric, progress};
use crate::crowd;
use crate::disk::empty;
use crate::plain::DURABLE;
use crate::report::Report;
use crate::sidecar::{NO_MONGODB, Settings};
use crate::stage::Stage;
use crate::stats::{Sample, float};
use crate::wire::{Connection, Request};

const UPLOADS: usize = 3000;
const BYTES: u64 = 200 << 10;

/// All uploads begin within this time, at even distances.
const WITHIN: Duration = Duration::from_secs(1);

const SECONDS: Metric = Metric::new("seconds", " s until all are answered");
const FAILED: Metric = Metric::new("failed", " without a 2xx");
const OVERFLOWS: Metric = Metric::new("overflows", " overflows of nginx's queue");
const REFUSED: Metric = Metric::new("socket_overflows", " overflows of the sidecar's queue");

/// Adds the row of the burst to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let work = format!("{UPLOADS} uploads of 200 KiB within a second");
    if stage.options.wants(&work) {
        report.add(burst(stage, &work));
    }
}

fn burst(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    for _ in 0..stage.options.repeat {
        case.round("gridspool", || gridspool(stage, &[]));
        let os = [("durability", "os".to_owned())];
        case.round("gridspool, os", || gridspool(stage, &os));
        stage.alone.restart();
        let alone = stage.alone.address();
        case.round("nginx alone", || stage.measure(|| all_at_once(alone, "")));
        empty(&stage.files);
        stage.disk.settle();
        case.round("least, durable", || {
            let to = stage.before_least.address();
            let below = format!("/{DURABLE}");
            let sample = stage.measure(|| all_at_once(to, &below));
            stage.forget_kept();
            sample
        });
    }
    case.compare("gridspool", "nginx alone", SECONDS, Goal::AtMost(1.5));
    case.compare("gridspool, os", "nginx alone", SECONDS, Goal::None);
    // The durable server syncs each body once. A server that promises durability cannot do less.
    case.compare("gridspool", "least, durable", SECONDS, Goal::None);
    case.compare("least, durable", "nginx alone", SECONDS, Goal::None);
    for metric in [FAILED, OVERFLOWS, REFUSED] {
        case.judge("gridspool", metric, Goal::AtMost(0.0));
    }
    case.judge("nginx alone", OVERFLOWS, Goal::None);
    case
}

fn gridspool(stage: &mut Stage, settings: &Settings) -> Result<Sample, String> {
    stage.gridspool.restart();
    stage.with_sidecar(NO_MONGODB, settings, |stage| {
        let before = refusals(&stage.gridspool.error_log());
        let sample = stage.measure(|| all_at_once(stage.gridspool.address(), ""))?;
        let refused = refusals(&stage.gridspool.error_log()) - before;
        Ok(sample.with("socket_overflows", refused))
    })
}

fn all_at_once(address: SocketAddr, below: &str) -> Result<Sample, String> {
    let before = overflows();
    let begun = Instant::now();
    let ends = crowd::all(UPLOADS, async |number| {
        let number = u32::try_from(number).expect("few");
        let begins = begun + WITHIN * number / u32::try_from(UPLOADS).expect("few");
        tokio::time::sleep_until(begins.into()).await;
        let mut connection = Connection::open(address).await?;
        let body = Body::of(u64::from(number), BYTES);
        let request = Request::put(&format!("{below}/files/burst-{number}"), body);
        let answer = connection.exchange(&request).await?;
        Ok::<_, std::io::Error>((answer.status, begins.elapsed()))
    });
    let seconds = begun.elapsed().as_secs_f64();
    let taken = |end: &Result<(u16, Duration), _>| match end {
        Ok((200..300, latency)) => Some(*latency),
        _ => None,
    };
    let latencies: Vec<_> = ends.iter().filter_map(taken).collect();
    let failed = ends.iter().find_map(|end| match end {
        Ok((200..300, _)) => None,
        Ok((status, _)) => Some(format!("status {status}")),
        Err(err) => Some(format!("connection: {err}")),
    });
    if let Some(failed) = failed {
        if latencies.is_empty() {
            return Err(failed);
        }
        progress(&format!("the first that was not taken: {failed}"));
    }
    let mut sample = Sample::default()
        .with("seconds", seconds)
        .with("failed", float(ends.len() - latencies.len()))
        .with("overflows", overflows() - before);
    sample.set_latencies(&latencies);
    Ok(sample)
}

/// Returns how many connections found the queue of a listening TCP socket full, on the whole
/// machine.
fn overflows() -> f64 {
    let table = std::fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    // The table has a line of names, and then a line of values.
    let mut lines = table
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt:"))
        .map(str::split_whitespace);
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0.0;
    };
    let found = names
        .zip(values)
        .find(|(name, _)| *name == "ListenOverflows");
    found
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0.0)
}

/// Returns how many connections from nginx to the sidecar failed because the sidecar's queue was
/// full.
fn refusals(log: &Path) -> f64 {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let refused = log
        .lines()
        .filter(|line| line.contains("connect() to unix:") && line.contains("failed (11:"));
    float(refused.count())
}
