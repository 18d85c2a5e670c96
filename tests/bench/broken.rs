//! Slow clients whose connections break: each uploads one file, is cut off twice, asks how much has
//! arrived, and goes on from there.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MOST_MEMORY, Metric};
use crate::report::Report;
use crate::sampling::peak_mib;
use crate::sidecar::NO_MONGODB;
use crate::slow::{BURST, COMPLETE, GROWTH, HELD, warm_up, watched};
use crate::stage::Stage;
use crate::stats::{Sample, float};
use crate::wire::{Client, Connection, Request};

const CLIENTS: u32 = 1000;

const LENGTH: u64 = 1 << 20;

/// How often each client's connection breaks.
const BREAKS: usize = 2;

/// The number of pieces in which each client sends its file.
const PIECES: u64 = 40;

/// The most bytes that a break may cost (`client_body_buffer_size` in
/// `nginx.conf.d/gridspool/body.conf`).
const BUFFER: u64 = 32 * 1024;

const SENT: Metric = Metric::new("sent", " times the bytes of the files sent");
const LESS: Metric = Metric::new("sent_less_buffers", " times, less one buffer a break");

/// Adds the row of broken uploads to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let work = format!("{CLIENTS} slow uploads of 1 MiB, each broken twice");
    if stage.options.wants(&work) {
        report.add(broken(stage, &work));
    }
}

fn broken(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let seconds = stage.options.of(6, 20);
    for _ in 0..stage.options.of(1, 2) {
        stage.gridspool.restart();
        stage.begin(NO_MONGODB, &[]).expect("a sidecar");
        warm_up(stage.gridspool.address());
        case.round("gridspool", || stage.measure(|| send_all(stage, seconds)));
        stage.end();
    }
    case.judge("gridspool", COMPLETE, Goal::AtLeast(1.0));
    case.judge("gridspool", SENT, Goal::None);
    case.judge("gridspool", LESS, Goal::AtMost(1.02));
    case.judge("gridspool", MEMORY, MOST_MEMORY);
    // Each break is work: what nginx had of the body is kept, and a client asks for the offset.
    for told in [GROWTH, BURST, HELD] {
        case.judge("gridspool", told, Goal::None);
    }
    case
}

fn send_all(stage: &Stage, seconds: u32) -> Result<Sample, String> {
    let address = stage.gridspool.address();
    let run = move || all_clients(address, seconds);
    let (ends, mut sample) = watched(stage, &stage.gridspool.ids(), CLIENTS, seconds, run)?;
    let complete: Vec<_> = ends.iter().flatten().copied().collect();
    if let Some(failed) = ends.iter().find_map(|end| end.as_ref().err()) {
        crate::case::progress(&format!("the first that failed: {failed}"));
        if complete.is_empty() {
            return Err(failed.clone());
        }
    }
    let files = float(complete.len());
    let sent = float(complete.iter().sum::<u64>());
    let buffers = files * float(BREAKS) * float(BUFFER);
    let all = files * float(LENGTH);
    sample.set(MEMORY.name, peak_mib(&stage.sidecar.ids()));
    sample.set("complete", files / f64::from(CLIENTS));
    sample.set("sent", sent / all);
    sample.set("sent_less_buffers", (sent - buffers) / all);
    Ok(sample)
}

/// Returns the bytes that each client has sent.
fn all_clients(address: SocketAddr, seconds: u32) -> Vec<Result<u64, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let interval = Duration::from_secs(u64::from(seconds)) / u32::try_from(PIECES).expect("few");
    runtime.block_on(join_all((0..CLIENTS).map(|number| async move {
        // The clients begin spread over the time between two pieces, so that the load is even.
        sleep_until(Instant::now() + interval * number / CLIENTS).await;
        one_client(address, u64::from(number), interval).await
    })))
}

/// The offsets at which a client's connection breaks: anywhere in each half of the file, so that they are spread over
/// the time of all.
fn breaks(number: u64) -> [u64; BREAKS] {
    let half = LENGTH / 2;
    // Steps of the golden ratio are spread evenly.
    let place = number * 0x9e37_79b9 % half;
    [place, half + (place + half / 2) % half].map(|place| place.max(1))
}

async fn one_client(address: SocketAddr, number: u64, interval: Duration) -> Result<u64, String> {
    let body = Body::of(number, LENGTH);
    let mut client = Client::of(address).await?;
    let place = client.exchange(&Request::begin_upload(LENGTH)).await?;
    let place = place.ok_or("no place")?;
    let (mut sent, mut offset) = (0, 0);
    let mut breaks = breaks(number).into_iter();
    loop {
        let end = breaks.next().unwrap_or(LENGTH);
        let rest = body.part(offset, LENGTH - offset);
        let append = Request::append(&place, offset, rest);
        let connection = trickle(address, &append, end.saturating_sub(offset), interval);
        let mut connection = connection.await.map_err(|err| err.to_string())?;
        sent += end.saturating_sub(offset);
        if end == LENGTH {
            let answer = connection.receive(None).await;
            match answer.map_err(|err| err.to_string())?.status {
                200..300 => return Ok(sent),
                // More of the broken body has counted.
                409 => {}
                status => return Err(format!("status {status}")),
            }
        }
        drop(connection);
        let mut client = Client::of(address).await?;
        let answer = client.ask(&Request::offset(&place)).await?;
        offset = answer.offset.ok_or("no offset")?;
    }
}

/// Sends the head of a request, and slowly this many bytes of its body.
async fn trickle(
    address: SocketAddr,
    request: &Request,
    length: u64,
    interval: Duration,
) -> std::io::Result<Connection> {
    let mut connection = Connection::open(address).await?;
    connection.send_bytes(request.head()).await?;
    let (mut due, mut sent) = (Instant::now(), 0);
    while sent < length {
        let until = length.min(sent + LENGTH.div_ceil(PIECES));
        while sent < until {
            let bytes = request.piece(sent, until - sent);
            connection.send_bytes(bytes).await?;
            sent += u64::try_from(bytes.len()).expect("small");
        }
        due += interval;
        sleep_until(due).await;
    }
    Ok(connection)
}
