//! Downloads: hot from nginx's cache, cold from MongoDB, pending from the journal. The files were
//! uploaded before. Each file of each contestant is compared once with its upload, byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use crate::block::Body;
use crate::case::{Case, Goal, MIB_PER_SECOND, Metric, RATE};
use crate::disk::empty;
use crate::files::{Files, committed, forget_reads, uploaded};
use crate::load::{Limit, Load};
use crate::mongo::DATABASE;
use crate::rawread;
use crate::report::Report;
use crate::sidecar::NO_MONGODB;
use crate::stage::Stage;
use crate::stats::{Sample, one_after_the_other, quantile};
use crate::uploads::{LARGE, MIDDLE, SMALL, Size};
use crate::wire::Request;

const MIB: u64 = 1 << 20;
/// The longest read divided by the median: no reader may wait much longer than the others.
const LONGEST: Metric = Metric::new("longest_by_median", " times the median is the longest");
const FIRST_BYTE: Metric = Metric::new("first_byte", " ms");

/// The part of each file that a request asks for.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    /// One MiB from the middle on.
    Middle,
}

/// Adds all rows of downloads to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for size in [SMALL, MIDDLE, LARGE] {
        let names =
            ["hot", "cold", "pending"].map(|kind| format!("download {}, {kind}", size.name));
        let [hot, cold, pending] = &names;
        let range = "download 1 MiB range, hot";
        let first = "download 8 KiB, cold, first byte";
        let (is_large, is_small) = (size.bytes == LARGE.bytes, size.bytes == SMALL.bytes);
        let wants = |work: &str| stage.options.wants(work);
        if wants(hot) || wants(cold) || is_large && wants(range) || is_small && wants(first) {
            let files = committed(stage, size, count(stage, size));
            let works = [
                (hot.as_str(), true, Part::Whole),
                (range, is_large, Part::Middle),
            ];
            for (work, is_of_size, part) in works {
                if is_of_size && stage.options.wants(work) {
                    report.add(hot_case(stage, work, &files, part));
                }
            }
            if stage.options.wants(cold) {
                report.add(cold_case(stage, cold, &files));
            }
            if is_small && stage.options.wants(first) {
                report.add(first_byte(stage, first, &files));
            }
            stage.end();
            stage.mongo.forget(DATABASE);
            empty(&stage.files);
        }
        if stage.options.wants(pending) {
            report.add(pending_case(stage, pending, size));
        }
    }
}

fn count(stage: &Stage, size: Size) -> u64 {
    match size.bytes {
        bytes if bytes == SMALL.bytes => stage.options.of(1000, 2000),
        bytes if bytes == MIDDLE.bytes => stage.options.of(64, 128),
        // There are at least two files: a cold start is warmed up with the last one.
        _ => stage.options.of(2, 4),
    }
}

/// Returns the path at which a contestant has file `number`, and the file's number within `files`.
fn path(files: &Files, contestant: &str, number: u64) -> (String, u64) {
    let count = u64::try_from(files.places.len()).expect("few");
    let number = number % count;
    let place = usize::try_from(number).expect("few");
    if contestant.starts_with("nginx") {
        (format!("/files/{number}"), number)
    } else {
        (files.places[place].clone(), number)
    }
}

/// Downloads files from one contestant until the limit.
fn download(
    address: SocketAddr,
    contestant: &str,
    files: &Files,
    part: Part,
    limit: Limit,
    is_compared: bool,
) -> Result<Sample, String> {
    let connections = match part {
        Part::Whole => files.size.connections,
        Part::Middle => MIDDLE.connections,
    };
    let requests = |number: u64| {
        let (path, number) = path(files, contestant, number);
        let body = Body::of(number, files.size.bytes);
        let middle = files.size.bytes / 2;
        let (request, expected) = match part {
            Part::Whole => (Request::get(&path), body),
            Part::Middle => (
                Request::get_range(&path, middle, MIB),
                body.part(middle, MIB),
            ),
        };
        if is_compared {
            request.expecting(expected)
        } else {
            request
        }
    };
    let load = Load {
        address,
        connections,
        limit,
        requests: &requests,
    };
    let outcome = load.run()?;
    let first_byte = quantile(&outcome.first_bytes, 0.5).as_secs_f64() * 1e3;
    let median = quantile(&outcome.latencies, 0.5).as_secs_f64();
    let longest = quantile(&outcome.latencies, 1.0).as_secs_f64();
    let sample = outcome.sample().with("first_byte", first_byte);
    Ok(sample.with("longest_by_median", longest / median))
}

fn addresses(stage: &Stage) -> [(&'static str, SocketAddr); 3] {
    [
        ("gridspool", stage.gridspool.address()),
        ("nginx alone", stage.alone.address()),
        ("plain", stage.before_plain.address()),
    ]
}

fn hot_case(stage: &Stage, work: &str, files: &Files, part: Part) -> Case {
    let mut case = Case::new(work);
    let all = Limit::Count(count(stage, files.size));
    let limit = Limit::Seconds(stage.options.of(0.7, 1.5));
    let is_range = matches!(part, Part::Middle);
    // The plain server reads every file from its first byte on.
    let contestants = addresses(stage)
        .into_iter()
        .filter(|(name, _)| !(is_range && *name == "plain"));
    let contestants: Vec<_> = contestants.collect();
    for (name, address) in &contestants {
        // The first round compares the files, and both rounds fill the caches.
        for is_compared in [true, false] {
            if let Err(err) = download(*address, name, files, part, all, is_compared) {
                case.round(name, || Err(err));
            }
        }
    }
    for _ in 0..stage.options.repeat {
        for (name, address) in &contestants {
            let is_slow = *name == "plain" && files.size.bytes == LARGE.bytes;
            let limit = if is_slow { all } else { limit };
            case.round(name, || {
                stage.measure(|| download(*address, name, files, part, limit, false))
            });
        }
    }
    let is_small = files.size.bytes == SMALL.bytes;
    let alone = if is_small { 0.5 } else { 0.9 };
    case.compare("gridspool", "nginx alone", RATE, Goal::AtLeast(alone));
    if is_small {
        case.judge("gridspool", LONGEST, Goal::AtMost(10.0));
        case.judge("nginx alone", LONGEST, Goal::None);
    }
    if !is_range {
        let plain = if is_small {
            Goal::AtLeast(10.0)
        } else {
            Goal::None
        };
        case.compare("gridspool", "plain", RATE, plain);
    }
    case
}

/// Reads each file once, through an nginx that has none of them in its cache.
fn cold_case(stage: &mut Stage, work: &str, files: &Files) -> Case {
    let mut case = Case::new(work);
    let all = Limit::Count(count(stage, files.size));
    let plain = stage.before_plain.address();
    let once = |stage: &Stage, address, name| {
        stage.measure(|| download(address, name, files, Part::Whole, all, false))
    };
    for _ in 0..stage.options.repeat {
        forget_reads(stage, files);
        let gridspool = stage.gridspool.address();
        case.round("gridspool", || once(stage, gridspool, "gridspool"));
        case.round("raw batches", || {
            let size = files.size;
            stage.measure(|| {
                rawread::read(&stage.mongo, &files.places, size.bytes, size.connections)
            })
        });
        let caching = stage.caching.address();
        case.round("nginx caching", || once(stage, caching, "nginx caching"));
        if files.size.bytes < LARGE.bytes || !stage.options.is_quick {
            case.round("plain", || once(stage, plain, "plain"));
        }
    }
    // The cache now has the files that were read cold.
    let gridspool = stage.gridspool.address();
    if let Err(err) = download(gridspool, "gridspool", files, Part::Whole, all, true) {
        case.round("gridspool", || Err(err));
    }
    let (metric, goal) = if files.size.bytes == SMALL.bytes {
        (RATE, Goal::None)
    } else {
        (MIB_PER_SECOND, Goal::AtLeast(0.8))
    };
    case.compare("gridspool", "raw batches", metric, goal);
    let [raw, caching] = ["raw batches", "nginx caching"].map(|name| case.series(name, metric));
    let both = one_after_the_other(&raw, &caching);
    case.compare_with(
        "gridspool",
        "raw batches, then nginx caching",
        &both,
        metric,
        Goal::None,
    );
    case.compare("gridspool", "plain", metric, Goal::None);
    case
}

/// Measures the first byte of files that nobody has asked for, one file after the other, against
/// the one `find` that brings a file's chunk.
///
/// Two other contestants show where the time goes. "gridspool, hot" needs no MongoDB: it is the way
/// through nginx and the sidecar, and the rest is the finds of description and chunk. "nginx
/// caching" caches files from the disk of another nginx: it is the cost of the cache alone.
fn first_byte(stage: &mut Stage, work: &str, files: &Files) -> Case {
    let mut case = Case::new(work);
    let few = Files {
        size: Size {
            connections: 1,
            ..files.size
        },
        places: files
            .places
            .iter()
            .take(stage.options.of(200, 500))
            .cloned()
            .collect(),
    };
    let all = Limit::Count(u64::try_from(few.places.len()).expect("few"));
    for _ in 0..stage.options.repeat.max(3) {
        forget_reads(stage, files);
        let address = stage.gridspool.address();
        let once = |address, name| {
            stage.measure(|| download(address, name, &few, Part::Whole, all, false))
        };
        case.round("gridspool", || once(address, "gridspool"));
        // This second read makes nginx cache the files.
        once(address, "gridspool").expect("what was there before");
        case.round("gridspool, hot", || once(address, "gridspool, hot"));
        let caching = stage.caching.address();
        case.round("nginx caching", || once(caching, "nginx caching"));
        let found = |latencies: Vec<Duration>| {
            let first_byte = quantile(&latencies, 0.5).as_secs_f64() * 1e3;
            let mut sample = Sample::default().with("first_byte", first_byte);
            sample.set_latencies(&latencies);
            Ok(sample)
        };
        case.round("one find", || {
            found(rawread::find_chunks(&stage.mongo, &few.places))
        });
        case.round("two finds at once", || {
            found(rawread::find_both(&stage.mongo, &few.places))
        });
    }
    case.compare("gridspool", "one find", FIRST_BYTE, Goal::AtMost(1.5));
    case.compare("gridspool, hot", "one find", FIRST_BYTE, Goal::None);
    case.compare("two finds at once", "one find", FIRST_BYTE, Goal::None);
    case.compare("nginx caching", "one find", FIRST_BYTE, Goal::None);
    case
}

/// Downloads files that MongoDB does not have yet.
fn pending_case(stage: &mut Stage, work: &str, size: Size) -> Case {
    let mut case = Case::new(work);
    stage.begin(NO_MONGODB, &[]).expect("a sidecar");
    let files = uploaded(stage, size, count(stage, size));
    let limit = Limit::Seconds(stage.options.of(0.7, 1.5));
    let all = Limit::Count(count(stage, size));
    let [gridspool, alone, _] = addresses(stage);
    for (name, address) in [gridspool, alone] {
        if let Err(err) = download(address, name, &files, Part::Whole, all, true) {
            case.round(name, || Err(err));
        }
    }
    for _ in 0..stage.options.repeat {
        for (name, address) in [gridspool, alone] {
            case.round(name, || {
                stage.measure(|| download(address, name, &files, Part::Whole, limit, false))
            });
        }
    }
    case.compare("gridspool", "nginx alone", RATE, Goal::None);
    stage.end();
    empty(&stage.files);
    case
}
