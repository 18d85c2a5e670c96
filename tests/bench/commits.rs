//! Commits. These rows compare how fast a backlog drains with other ways to write the same files.

use std::time::{Duration, Instant};

use sha2::Digest as _;

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MIB_PER_SECOND, Metric, RATE};
use crate::load::{Limit, Load};
use crate::mongo::DATABASE;
use crate::report::Report;
use crate::rivals::{self, Amount, Batching, Prepared};
use crate::sampling::Usage;
use crate::sidecar::{NO_MONGODB, Progress, Settings};
use crate::stage::Stage;
use crate::stats::{self, Sample, float};
use crate::steps::Bodies;
use crate::wire::Request;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const OWN_CPU: Metric = Metric::new("own_cpu_per_gib", " CPU s/GiB beside sha-256");

/// The sidecar's way to insert two large files, for documents that exist already. This contestant
/// reads, hashes and proves nothing, so it shows the cost of the driver.
const AS_OURS: Batching = Batching {
    batch_bytes: 2 * MIB,
    in_flight: 4,
};

/// The sidecar's way to insert small files: groups of this size, four at a time.
const AS_OUR_GROUPS: Batching = Batching {
    batch_bytes: 3 * MIB,
    in_flight: 4,
};

/// The least time between two looks at a backlog.
const LOOK: Duration = Duration::from_millis(20);

/// Two looks are at least the time so far, divided by this, apart: each look costs the sidecar
/// time, too.
const LOOKS: u32 = 50;

/// A backlog, and the goals of its drain.
struct Work {
    name: &'static str,
    bytes: u64,
    files: u64,
    goals: Goals,
}

/// The goals against bare inserts, against the driver's stream (one file at a time if files are
/// large, else 16) and against pymongo.
struct Goals {
    raw: Goal,
    stream: Goal,
    pymongo: Goal,
}

/// Adds all rows of commits to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let of = |quick, full| stage.options.of(quick, full);
    let works = [
        Work {
            name: "commit 256 MiB",
            bytes: 256 * MIB,
            files: of(2, 4),
            goals: Goals {
                raw: Goal::AtLeast(0.85),
                stream: Goal::AtLeast(2.0),
                pymongo: Goal::AtLeast(1.8),
            },
        },
        Work {
            name: "commit 64 KiB",
            bytes: 64 * KIB,
            files: of(1000, 8000),
            goals: Goals {
                raw: Goal::None,
                stream: Goal::AtLeast(3.5),
                pymongo: Goal::AtLeast(7.0),
            },
        },
        Work {
            name: "commit 8 KiB",
            bytes: 8 * KIB,
            files: of(3000, 30_000),
            goals: Goals {
                raw: Goal::None,
                stream: Goal::AtLeast(10.0),
                pymongo: Goal::AtLeast(30.0),
            },
        },
    ];
    for work in works {
        if stage.options.wants(work.name) {
            report.add(commit(stage, &work));
        }
    }
}

fn commit(stage: &mut Stage, work: &Work) -> Case {
    let mut case = Case::new(work.name);
    let is_large = work.bytes > MIB;
    let hashing = sha256_seconds_per_gib();
    let raw = Amount {
        bytes: work.bytes,
        files: work.files,
        seconds: f64::INFINITY,
    };
    let prepared = Prepared::new(raw);
    let bodies = (!is_large).then(|| Bodies::write(&stage.disk.data, raw));
    let batching = best_batching(stage, &prepared);
    let few = if is_large {
        stage.options.of(1, 2)
    } else {
        u64::MAX
    };
    let bounded = Amount {
        files: few,
        seconds: stage.options.of(1.0, 3.0),
        ..raw
    };
    let low = [("memory", "low".to_owned())];
    let fixed = [("commit-pace", "fixed".to_owned())];
    for round in 0..stage.options.repeat {
        case.round("gridspool", || drain(stage, work, &[], hashing));
        if !stage.options.is_quick {
            case.round("gridspool, low memory", || {
                drain(stage, work, &low, hashing)
            });
            case.round("gridspool, fixed pace", || {
                drain(stage, work, &fixed, hashing)
            });
        }
        case.round("raw inserts", || {
            rival(stage, || prepared.insert(&stage.mongo, batching))
        });
        if !stage.options.is_quick {
            case.round("bare driver", || {
                let mut sample = rival(stage, || prepared.insert(&stage.mongo, AS_OURS))?;
                set_cpu_per_gib(&mut sample, "client", 0.0);
                Ok(sample)
            });
        }
        if let Some(bodies) = &bodies {
            case.round("bare steps", || {
                rival(stage, || bodies.commit(&stage.mongo, AS_OUR_GROUPS))
            });
        }
        let stream = |at_once, amount| {
            rival(stage, || {
                rivals::stream_files(&stage.mongo, amount, at_once)
            })
        };
        case.round("driver stream", || stream(1, bounded));
        if !is_large {
            case.round("driver stream, 16 at once", || stream(16, bounded));
        } else if !stage.options.is_quick && round == 0 {
            case.round("driver stream, 16 at once", || {
                stream(
                    16,
                    Amount {
                        files: 8,
                        ..bounded
                    },
                )
            });
        }
        case.round("pymongo", || {
            rival(stage, || rivals::pymongo(&stage.mongo, bounded))
        });
    }
    judge(&mut case, work, stage.options.is_quick);
    case
}

/// Compares the results with the goals, and adds rows that show what MongoDB allows.
fn judge(case: &mut Case, work: &Work, is_quick: bool) {
    let is_large = work.bytes > MIB;
    let (metric, stream) = if is_large {
        (MIB_PER_SECOND, "driver stream")
    } else {
        (RATE, "driver stream, 16 at once")
    };
    case.compare("gridspool", "raw inserts", metric, work.goals.raw);
    case.compare("gridspool", stream, metric, work.goals.stream);
    case.compare("gridspool", "pymongo", metric, work.goals.pymongo);
    if !is_large {
        case.compare("gridspool", "driver stream", metric, Goal::None);
        case.compare("gridspool", "bare steps", metric, Goal::None);
        case.compare("bare steps", stream, metric, Goal::None);
    }
    // These rows show what the sidecar gives to readers of MongoDB, and what MongoDB allows.
    case.compare("gridspool, fixed pace", stream, metric, Goal::None);
    case.compare("raw inserts", stream, metric, Goal::None);
    case.compare("raw inserts", "pymongo", metric, Goal::None);
    case.judge(
        "gridspool",
        OWN_CPU,
        if is_large {
            Goal::AtMost(1.2)
        } else {
            Goal::None
        },
    );
    case.judge("gridspool", MEMORY, Goal::AtMost(96.0));
    if !is_quick {
        case.judge("bare driver", OWN_CPU, Goal::None);
        case.compare("gridspool, low memory", "gridspool", metric, Goal::None);
        case.judge("gridspool, low memory", MEMORY, Goal::AtMost(48.0));
    }
}

/// Returns the fastest batching of bare inserts, among those that make sense. A quick run takes the
/// first of them.
fn best_batching(stage: &Stage, prepared: &Prepared) -> Batching {
    let all = [(8, 2), (16, 2), (4, 2), (8, 1), (16, 1), (8, 4)];
    let all = all.map(|(mib, in_flight)| Batching {
        batch_bytes: mib * MIB,
        in_flight,
    });
    if stage.options.is_quick {
        return all[0];
    }
    let rated = all.map(|batching| {
        let sample = prepared
            .insert(&stage.mongo, batching)
            .expect("bare inserts");
        (sample.value("mib").unwrap_or_default(), batching)
    });
    let rated = rated.into_iter();
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.expect("some were tried").1
}

/// Measures another way to commit, from the same state of disk and memory as the sidecar's.
fn rival(stage: &Stage, act: impl FnOnce() -> Result<Sample, String>) -> Result<Sample, String> {
    stage.disk.settle_and_touch();
    stage.measure(act)
}

/// Makes a backlog with a sidecar that has no MongoDB, gives that sidecar one, and measures the
/// drain.
fn drain(
    stage: &mut Stage,
    work: &Work,
    settings: &Settings,
    hashing: f64,
) -> Result<Sample, String> {
    fill(stage, work.bytes, work.files, settings)?;
    let first = stage.sidecar.wait_until_up();
    let longest = stage.options.of(10.0, 60.0);
    let mut sample = stage.measure(|| Ok(watch_drain(stage, first, longest)))?;
    stage.end();
    stage.mongo.forget(DATABASE);
    let usage = set_cpu_per_gib(&mut sample, "sidecar", hashing);
    sample.set("sidecar_peak_mib", usage.peak_mib);
    Ok(sample)
}

/// Sets the CPU seconds per GiB that a process used, with and without those of sha-256 (`hashing`).
/// Returns what the process used.
fn set_cpu_per_gib(sample: &mut Sample, process: &str, hashing: f64) -> Usage {
    let usage = sample.usage.get(process).copied().unwrap_or_default();
    let gib = sample.value("mib").unwrap_or_default() * sample.value("seconds").unwrap_or_default()
        / (stats::GIB / stats::MIB);
    let cpu = usage.cpu_seconds / gib;
    sample.set("cpu_per_gib", cpu);
    sample.set("own_cpu_per_gib", cpu - hashing);
    sample.set("sha256_per_gib", hashing);
    usage
}

/// Makes a backlog of `files` files of `bytes` bytes each, and starts the sidecar with a MongoDB.
///
/// # Errors
/// A text, if the sidecar does not know a setting or if no upload succeeded.
pub(crate) fn fill(
    stage: &mut Stage,
    bytes: u64,
    files: u64,
    settings: &Settings,
) -> Result<(), String> {
    stage.begin(NO_MONGODB, settings)?;
    let load = Load {
        address: stage.gridspool.address(),
        connections: if bytes > MIB { 4 } else { 32 },
        limit: Limit::Count(files),
        requests: &|number| Request::put(&format!("/files/{number}"), Body::of(number, bytes)),
    };
    let outcome = load.run()?;
    assert_eq!(outcome.failures, 0, "{:?}", outcome.failure);
    stage.sidecar.stop();
    stage.disk.settle_and_touch();
    stage.sidecar.start(&stage.mongo.uri(), settings)
}

/// Watches a backlog until it is empty or `longest` seconds have passed. The rate counts the files
/// that were committed meanwhile.
pub(crate) fn watch_drain(stage: &Stage, first: Progress, longest: f64) -> Sample {
    let begun = Instant::now();
    loop {
        let now = stage.sidecar.progress();
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(now.held, 0, "an entry was set aside");
        if now.pending == 0 || seconds > longest {
            let files = float(now.committed - first.committed);
            let mib = float(now.committed_bytes - first.committed_bytes) / stats::MIB;
            return Sample::default()
                .with("rate", files / seconds)
                .with("mib", mib / seconds)
                .with("requests", files)
                .with("seconds", seconds);
        }
        std::thread::sleep(LOOK.max(begun.elapsed() / LOOKS));
    }
}

/// Measures the seconds that sha-256 of a GiB takes in this program, which is built like the
/// sidecar.
fn sha256_seconds_per_gib() -> f64 {
    const LENGTH: u64 = 128 * MIB;
    let body = Body::of(0, LENGTH);
    let once = || {
        let begun = Instant::now();
        let mut sum = sha2::Sha256::new();
        let mut position = 0;
        while position < LENGTH {
            let piece = body.at(position);
            sum.update(piece);
            position += u64::try_from(piece.len()).expect("small");
        }
        std::hint::black_box(sum.finalize());
        begun.elapsed().as_secs_f64()
    };
    let best = (0..3).map(|_| once()).fold(f64::INFINITY, f64::min);
    best * stats::GIB / float(LENGTH)
}
