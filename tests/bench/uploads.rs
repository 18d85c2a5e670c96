//! Uploads. These rows measure how fast promises are made, without MongoDB and beside running
//! commits. They also compare forms with bare bodies.

use mongodb::bson::doc;

use crate::block::Body;
use crate::case::{Case, Goal, MIB_PER_SECOND, Metric, P99, RATE};
use crate::disk::empty;
use crate::load::{Limit, Load};
use crate::mongo::RIVALS;
use crate::options::Options;
use crate::plain::DURABLE;
use crate::report::Report;
use crate::sidecar::{NO_MONGODB, Settings};
use crate::stage::Stage;
use crate::stats::{Sample, one_after_the_other};
use crate::wire::Request;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The milliseconds of one request, over all connections together.
const EACH: Metric = Metric::new("each", " ms each");

/// A size of files, and the number of connections that it is measured with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) connections: usize,
}

pub(crate) const SMALL: Size = Size {
    name: "8 KiB",
    bytes: 8 * KIB,
    connections: 32,
};
pub(crate) const MIDDLE: Size = Size {
    name: "1 MiB",
    bytes: MIB,
    connections: 16,
};
pub(crate) const LARGE: Size = Size {
    name: "256 MiB",
    bytes: 256 * MIB,
    connections: 4,
};

impl Size {
    fn limit(self, options: &Options) -> Limit {
        if self.bytes > MIDDLE.bytes {
            Limit::Count(options.of(2, 8))
        } else {
            Limit::Seconds(options.of(1.0, 2.0))
        }
    }
}

/// Adds all rows of uploads to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for size in [SMALL, MIDDLE, LARGE] {
        let work = format!("upload {}", size.name);
        if stage.options.wants(&work) {
            report.add(upload(stage, &work, size));
        }
    }
    for size in [SMALL, MIDDLE] {
        let work = format!("upload {}, MongoDB stopped", size.name);
        if stage.options.wants(&work) {
            report.add(outage(stage, &work, size));
        }
    }
    for size in [MIDDLE, LARGE] {
        let work = format!("form {}", size.name);
        if stage.options.wants(&work) {
            report.add(form(stage, &work, size));
        }
    }
}

/// Measures adoption without a MongoDB, because commits would take the same cores. A contestant of
/// its own does both together.
fn upload(stage: &mut Stage, work: &str, size: Size) -> Case {
    let mut case = Case::new(work);
    let uri = stage.mongo.uri();
    let is_large = size.bytes > MIDDLE.bytes;
    for _ in 0..stage.options.repeat {
        let durable = || gridspool(stage, size, NO_MONGODB, &[], Request::put);
        case.round("gridspool", durable);
        let os = [("durability", "os".to_owned())];
        case.round("gridspool, os", || {
            gridspool(stage, size, NO_MONGODB, &os, Request::put)
        });
        case.round("nginx alone", || alone(stage, size));
        // These contestants take long with large files, and no goal needs them there.
        if !is_large || !stage.options.is_quick {
            case.round("gridspool, committing", || {
                gridspool(stage, size, &uri, &[], Request::put)
            });
            case.round("plain", || plain(stage, size));
        }
        if size.bytes >= MIDDLE.bytes {
            case.round("least", || least(stage, size, Request::put));
            case.round("least, durable", || {
                least(stage, size, |path, body| {
                    Request::put(&format!("/{DURABLE}{path}"), body)
                })
            });
            let disk = &stage.disk;
            disk.settle();
            case.round("disk", || Ok(disk.own_rate()));
        }
    }
    if size.bytes < MIDDLE.bytes {
        case.compare("gridspool", "nginx alone", RATE, Goal::AtLeast(0.5));
        case.compare("gridspool, os", "nginx alone", RATE, Goal::AtLeast(0.7));
    } else {
        let alone = case.series("nginx alone", MIB_PER_SECOND);
        let disk = case.series("disk", MIB_PER_SECOND);
        let limit: Vec<_> = alone
            .iter()
            .zip(&disk)
            .map(|(one, other)| one.min(*other))
            .collect();
        let theirs = "nginx alone or disk";
        case.compare_with(
            "gridspool",
            theirs,
            &limit,
            MIB_PER_SECOND,
            Goal::AtLeast(0.85),
        );
        case.compare(
            "gridspool, os",
            "nginx alone",
            MIB_PER_SECOND,
            Goal::AtLeast(0.9),
        );
        // These rows show the cost of this way to take a body, with any server behind it.
        for ours in ["least", "gridspool"] {
            case.compare(ours, "nginx alone", MIB_PER_SECOND, Goal::None);
        }
        case.compare("gridspool, os", "least", MIB_PER_SECOND, Goal::None);
        case.compare("gridspool", "least, durable", MIB_PER_SECOND, Goal::None);
        case.compare("gridspool", "disk", MIB_PER_SECOND, Goal::None);
        // On a loop device both cost the same two cores.
        let both = one_after_the_other(&alone, &disk);
        let theirs = "nginx alone, then disk";
        case.compare_with("gridspool", theirs, &both, MIB_PER_SECOND, Goal::None);
    }
    let (rate, p99) = if is_large {
        (Goal::None, Goal::None)
    } else {
        (Goal::AtLeast(5.0), Goal::AtMost(0.2))
    };
    case.compare("gridspool", "plain", RATE, rate);
    case.compare("gridspool", "plain", P99, p99);
    // These rows show what the disk and nginx allow, with any server behind them.
    case.compare("nginx alone", "plain", RATE, Goal::None);
    case.compare("nginx alone", "plain", P99, Goal::None);
    if size.bytes == MIDDLE.bytes {
        case.compare("least, durable", "plain", RATE, Goal::None);
        case.compare("least, durable", "plain", P99, Goal::None);
    }
    case.compare("gridspool, committing", "plain", RATE, Goal::None);
    case.compare("gridspool, committing", "plain", P99, Goal::None);
    case
}

/// Compares uploads while MongoDB is stopped with uploads while it is idle. A sidecar that sees
/// MongoDB would commit, so MongoDB's own lock holds the writes during the measurement.
fn outage(stage: &mut Stage, work: &str, size: Size) -> Case {
    let mut case = Case::new(work);
    for _ in 0..stage.options.of(1, 9) {
        case.round("stopped", || {
            gridspool(stage, size, NO_MONGODB, &[], Request::put)
        });
        case.round("idle", || idle(stage, size));
    }
    case.compare("stopped", "idle", RATE, Goal::Within(0.1));
    case.compare("stopped", "idle", P99, Goal::Within(0.1));
    case
}

fn idle(stage: &mut Stage, size: Size) -> Result<Sample, String> {
    let uri = stage.mongo.uri();
    stage.with_sidecar(&uri, &[], |stage| {
        let lock = doc! { "fsync": 1, "lock": true };
        stage.mongo.admin(lock).ok_or("MongoDB cannot be locked")?;
        let sample = through_gridspool(stage, size, Request::put);
        // The sidecar ends before the unlock, so it commits nothing afterwards.
        stage.end();
        let unlock = doc! { "fsyncUnlock": 1 };
        stage
            .mongo
            .admin(unlock)
            .ok_or("MongoDB cannot be unlocked")?;
        sample
    })
}

fn form(stage: &mut Stage, work: &str, size: Size) -> Case {
    let mut case = Case::new(work);
    for _ in 0..stage.options.repeat {
        let form = |_: &str, body| Request::form("/files", body);
        case.round("form", || gridspool(stage, size, NO_MONGODB, &[], form));
        case.round("body", || {
            gridspool(stage, size, NO_MONGODB, &[], Request::put)
        });
    }
    case.compare("form", "body", EACH, Goal::AtMost(1.3));
    case
}

/// Measures one repetition with a sidecar of these settings.
fn gridspool(
    stage: &mut Stage,
    size: Size,
    uri: &str,
    settings: &Settings,
    request: impl Fn(&str, Body) -> Request + Sync,
) -> Result<Sample, String> {
    stage.with_sidecar(uri, settings, |stage| {
        through_gridspool(stage, size, request)
    })
}

fn through_gridspool(
    stage: &Stage,
    size: Size,
    request: impl Fn(&str, Body) -> Request + Sync,
) -> Result<Sample, String> {
    stage.measure(|| upload_to(stage.gridspool.address(), size, &stage.options, request))
}

fn alone(stage: &Stage, size: Size) -> Result<Sample, String> {
    let sample =
        stage.measure(|| upload_to(stage.alone.address(), size, &stage.options, Request::put));
    empty(&stage.files);
    stage.disk.settle();
    sample
}

fn least(
    stage: &Stage,
    size: Size,
    request: impl Fn(&str, Body) -> Request + Sync,
) -> Result<Sample, String> {
    let to = stage.before_least.address();
    let sample = stage.measure(|| upload_to(to, size, &stage.options, request));
    stage.forget_kept();
    sample
}

fn plain(stage: &Stage, size: Size) -> Result<Sample, String> {
    let to = stage.before_plain.address();
    let sample = stage.measure(|| upload_to(to, size, &stage.options, Request::put));
    stage.mongo.forget(RIVALS);
    sample
}

fn upload_to(
    address: std::net::SocketAddr,
    size: Size,
    options: &Options,
    request: impl Fn(&str, Body) -> Request + Sync,
) -> Result<Sample, String> {
    let load = Load {
        address,
        connections: size.connections,
        limit: size.limit(options),
        requests: &|number| request(&format!("/files/{number}"), Body::of(number, size.bytes)),
    };
    let outcome = load.run()?;
    let sample = outcome.sample();
    let rate = sample.value("rate").unwrap_or_default();
    if outcome.latencies.is_empty() {
        return Err("nothing was taken".to_owned());
    }
    Ok(sample.with("each", 1e3 / rate))
}
