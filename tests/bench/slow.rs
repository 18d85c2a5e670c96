//! Slow clients: a thousand or more at once. Each uploads one file slowly.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::block::Body;
use crate::case::{Case, Goal, Metric};
use crate::disk::empty;
use crate::load::{Limit, Load};
use crate::report::Report;
use crate::sampling::{connections_at, resident_mib};
use crate::sidecar::NO_MONGODB;
use crate::stage::Stage;
use crate::stats::{Sample, float};
use crate::wire::{Connection, Request};

const LENGTH: u64 = 1 << 20;

/// The number of pieces in which each client sends its file.
const PIECES: u32 = 40;

pub(crate) const COMPLETE: Metric = Metric::new("complete", " of all");
pub(crate) const GROWTH: Metric = Metric::new("sidecar_growth_mib", " MiB more while they trickle");
pub(crate) const BURST: Metric = Metric::new("sidecar_burst_mib", " MiB more when all end at once");
pub(crate) const HELD: Metric = Metric::new("sidecar_connections", " sidecar connections held");

/// nginx keeps up to this many connections to the sidecar open, however many clients it has
/// (`keepalive 128` in `nginx.conf.d/gridspool.conf`, for each of two workers). The next
/// `auth_request` uses one of them.
const KEPT_OPEN: f64 = 256.0;
const NGINX: Metric = Metric::new("nginx_kib_each", " KiB of nginx each");
const ANSWER: Metric = Metric::new("last_answer_ms", " ms, last byte to last answer");

/// The MiB of memory that may come and go by themselves.
const UNCHANGED_MIB: f64 = 4.0;

/// Adds all rows of slow clients to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for clients in [1000, 3000] {
        let work = format!("{clients} slow uploads of 1 MiB");
        let is_large = clients > 1000;
        if stage.options.wants(&work) && !(is_large && stage.options.is_quick) {
            report.add(slow(stage, &work, clients));
        }
    }
}

fn slow(stage: &mut Stage, work: &str, clients: u32) -> Case {
    let mut case = Case::new(work);
    let seconds = stage.options.of(3, 10);
    for _ in 0..stage.options.of(1, 2) {
        stage.gridspool.restart();
        stage.begin(NO_MONGODB, &[]).expect("a sidecar");
        let gridspool = stage.gridspool.address();
        let ids = stage.gridspool.ids();
        warm_up(gridspool);
        case.round("gridspool", || {
            stage.measure(|| trickle(stage, gridspool, &ids, clients, seconds))
        });
        stage.end();
        stage.small.restart();
        let small = stage.small.address();
        let ids = stage.small.ids();
        warm_up(small);
        case.round("nginx alone, 16k", || {
            stage.measure(|| trickle(stage, small, &ids, clients, seconds))
        });
        empty(&stage.disk.data.join("small/files"));
        stage.disk.settle();
    }
    case.judge("gridspool", COMPLETE, Goal::AtLeast(1.0));
    case.judge("gridspool", GROWTH, Goal::AtMost(UNCHANGED_MIB));
    case.judge("gridspool", BURST, Goal::None);
    case.judge("gridspool", HELD, Goal::AtMost(KEPT_OPEN));
    case.compare("gridspool", "nginx alone, 16k", NGINX, Goal::AtMost(2.0));
    case.compare("gridspool", "nginx alone, 16k", ANSWER, Goal::None);
    case
}

/// Sends quick uploads before the slow ones, over as many connections as are kept open. The
/// processes then hold what a process needs once, as if they had run for a while.
pub(crate) fn warm_up(address: SocketAddr) {
    let load = Load {
        address,
        connections: 64,
        limit: Limit::Count(2000),
        requests: &|number| Request::put(&format!("/files/quick-{number}"), Body::of(number, 8192)),
    };
    let outcome = load.run().expect("quick uploads");
    assert_eq!(outcome.failures, 0, "{:?}", outcome.failure);
}

/// Measures one repetition, and looks at memory and connections all the while.
fn trickle(
    stage: &Stage,
    address: SocketAddr,
    nginx: &[u32],
    clients: u32,
    seconds: u32,
) -> Result<Sample, String> {
    let begun = Instant::now();
    let run = move || all_clients(address, clients, seconds);
    let (ends, mut sample) = watched(stage, nginx, clients, seconds, run)?;
    let complete: Vec<_> = ends.iter().flatten().collect();
    let first = ends.iter().find_map(|end| end.as_ref().err());
    if complete.is_empty() {
        return Err(first.map_or_else(String::new, Clone::clone));
    }
    let last_sent = complete.iter().map(|end| end.sent).max().unwrap_or(begun);
    let last_answered = complete
        .iter()
        .map(|end| end.answered)
        .max()
        .unwrap_or(begun);
    let latencies: Vec<_> = complete.iter().map(|end| end.answered - end.sent).collect();
    sample.set("complete", float(complete.len()) / f64::from(clients));
    sample.set(
        "last_answer_ms",
        (last_answered - last_sent).as_secs_f64() * 1e3,
    );
    sample.set_latencies(&latencies);
    Ok(sample)
}

/// Runs clients that send for this long, and looks at memory and connections all the while.
pub(crate) fn watched<T: Send + 'static>(
    stage: &Stage,
    nginx: &[u32],
    clients: u32,
    seconds: u32,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, Sample), String> {
    let sidecar = stage.sidecar.ids();
    let socket = stage.sidecar.socket.display().to_string();
    let (nginx_before, sidecar_before) = (resident_mib(nginx), resident_mib(&sidecar));
    let begun = Instant::now();
    let running = std::thread::spawn(run);
    let (mut nginx_peak, mut held): (f64, f64) = (0.0, 0.0);
    let (mut sidecar_peak, mut burst): (f64, f64) = (0.0, 0.0);
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(100));
        burst = burst.max(resident_mib(&sidecar));
        // At the beginning each upload asks the sidecar for permission, and at the end the sidecar
        // takes the file. In between no upload needs a connection to it.
        let progress = begun.elapsed().as_secs_f64() / f64::from(seconds);
        if progress < 0.8 {
            nginx_peak = nginx_peak.max(resident_mib(nginx));
            sidecar_peak = sidecar_peak.max(resident_mib(&sidecar));
        }
        if (0.2..0.8).contains(&progress) {
            held = held.max(connections_at(&socket));
        }
    }
    let ends = running.join().map_err(|_| "the clients are lost")?;
    let sample = Sample::default()
        .with(
            "sidecar_growth_mib",
            (sidecar_peak - sidecar_before).max(0.0),
        )
        .with("sidecar_burst_mib", (burst - sidecar_before).max(0.0))
        .with("sidecar_connections", held)
        .with(
            "nginx_kib_each",
            (nginx_peak - nginx_before) * 1024.0 / f64::from(clients),
        )
        .with("seconds", begun.elapsed().as_secs_f64());
    Ok((ends, sample))
}

/// The moment at which a client had sent its last byte, and the moment of its answer.
struct End {
    sent: Instant,
    answered: Instant,
}

fn all_clients(address: SocketAddr, clients: u32, seconds: u32) -> Vec<Result<End, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let duration = Duration::from_secs(u64::from(seconds));
    runtime.block_on(join_all((0..clients).map(|number| async move {
        // The clients begin spread over the time between two pieces, so that the load is even.
        let offset = duration / PIECES * number / clients;
        one_client(address, u64::from(number), offset, duration / PIECES)
            .await
            .map_err(|err| err.to_string())
    })))
}

async fn one_client(
    address: SocketAddr,
    number: u64,
    offset: Duration,
    interval: Duration,
) -> std::io::Result<End> {
    let begun = tokio::time::Instant::now() + offset;
    tokio::time::sleep_until(begun).await;
    let mut connection = Connection::open(address).await?;
    let head = format!(
        "PUT /files/slow-{number} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    connection.send_bytes(head.as_bytes()).await?;
    let body = Body::of(number, LENGTH);
    let piece = LENGTH.div_ceil(u64::from(PIECES));
    let mut sent = 0;
    for turn in 0..PIECES {
        tokio::time::sleep_until(begun + interval * turn).await;
        let until = LENGTH.min(sent + piece);
        while sent < until {
            let bytes = body.part(sent, until - sent).at(0);
            connection.send_bytes(bytes).await?;
            sent += u64::try_from(bytes.len()).expect("small");
        }
    }
    let sent = Instant::now();
    let answer = connection.receive(None).await?;
    if (200..300).contains(&answer.status) {
        Ok(End {
            sent,
            answered: Instant::now(),
        })
    } else {
        Err(std::io::Error::other(format!("status {}", answer.status)))
    }
}
