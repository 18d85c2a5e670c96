//! A message to a group: many clients read one file at the same moment. Either nobody has read it
//! before (cold), or somebody has (hot), or only a journal has it (pending).

use std::net::SocketAddr;

use mongodb::bson::doc;

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MOST_MEMORY, Metric};
use crate::crowd::{self, Start};
use crate::disk::empty;
use crate::files::{Files, committed, forget_reads, uploaded};
use crate::mongo::{DATABASE, Mongo};
use crate::nginx::Nginx;
use crate::report::Report;
use crate::sampling::peak_mib;
use crate::stage::Stage;
use crate::stats::{Sample, float};
use crate::uploads::{SMALL, Size};
use crate::wire::{Connection, Request};

const KIB: u64 = 1024;

const SIZES: [Size; 3] = [
    SMALL,
    Size {
        name: "300 KiB",
        bytes: 300 * KIB,
        connections: 4,
    },
    // This size takes two slices.
    Size {
        name: "2.5 MiB",
        bytes: 2560 * KIB,
        connections: 4,
    },
];

const READERS: [usize; 3] = [10, 100, 500];

/// The wait of the last reader may exceed that with nginx alone by this many times a lone reader's
/// wait.
const SHARE: f64 = 3.0;

/// The most times that MongoDB may send a file, however many clients ask for it.
const READ: f64 = 2.0;

const LAST: Metric = Metric::new("last_first_byte", " ms to the last first byte");
const SENT: Metric = Metric::new("mongodb_kib", " KiB sent by MongoDB");
const FINDS: Metric = Metric::new("mongodb_finds", " finds");

/// Adds all rows of many readers to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for size in SIZES {
        let name = |readers, kind| format!("{readers} readers of one {} file, {kind}", size.name);
        let works = READERS.map(|readers| {
            let names = ["cold", "hot", "pending"].map(|kind| name(readers, kind));
            (readers, names)
        });
        let wants = |name: &String| stage.options.wants(name);
        let wants_committed = works
            .iter()
            .any(|(_, [cold, hot, _])| wants(cold) || wants(hot));
        let wants_pending = works.iter().any(|(_, [_, _, pending])| wants(pending));
        let mut cases = Vec::new();
        if wants_committed {
            // A cold start is warmed up with the last file.
            let files = committed(stage, size, 2);
            for (readers, [cold, hot, _]) in &works {
                if stage.options.wants(cold) || stage.options.wants(hot) {
                    cases.extend(together(stage, [cold, hot], &files, *readers));
                }
            }
            stage.end();
            stage.mongo.forget(DATABASE);
            empty(&stage.files);
        }
        if wants_pending {
            stage.begin_with(1).expect("two nodes");
            let files = uploaded(stage, size, 1);
            for (readers, [_, _, name]) in &works {
                if stage.options.wants(name) {
                    cases.push(pending(stage, name, &files, *readers));
                }
            }
            stage.end_others();
            stage.end();
            empty(&stage.files);
        }
        for case in cases {
            if stage.options.wants(&case.work) {
                report.add(case);
            }
        }
    }
}

/// Measures readers of a file that only the journal of one node has. They ask that node, and a
/// second node, which asks the first one.
fn pending(stage: &Stage, work: &str, files: &Files, readers: usize) -> Case {
    let mut case = Case::new(work);
    let addresses = [&stage.gridspool, &stage.others[0].nginx, &stage.alone].map(Nginx::address);
    let names = [
        ("gridspool", "a lone reader"),
        ("through another node", "a lone reader through another node"),
        ("nginx alone", "a lone reader of nginx alone"),
    ];
    let contestants = || names.into_iter().zip(addresses);
    for (_, address) in contestants() {
        // This opens the connections that then stay open.
        read(stage, address, files, 1).expect("a pending file");
    }
    for _ in 0..stage.options.repeat {
        for ((name, lone), address) in contestants() {
            case.round(lone, || read(stage, address, files, 1));
            case.round(name, || read(stage, address, files, readers));
        }
    }
    for (name, lone) in [names[0], names[1]] {
        // A file in the journal is never cold: its lone reader hardly waits, so there is no goal.
        bound(&mut case, name, lone, Goal::None);
    }
    case
}

/// Adds rows that compare the last of all readers with a lone reader, and with as many readers of
/// nginx alone.
fn bound(case: &mut Case, name: &str, lone: &str, goal: Goal) {
    let [alone, limit] = [lone, "nginx alone"].map(|name| case.series(name, LAST));
    let bound: Vec<_> = alone
        .iter()
        .zip(&limit)
        .map(|(alone, limit)| SHARE * alone + limit)
        .collect();
    let theirs = format!("{lone}, {SHARE} times, and nginx alone");
    case.compare_with(name, &theirs, &bound, LAST, goal);
    case.compare(name, lone, LAST, Goal::None);
    case.compare(name, "nginx alone", LAST, Goal::None);
}

/// Measures `readers` readers of the first of these files, cold and then hot.
fn together(stage: &mut Stage, works: [&str; 2], files: &Files, readers: usize) -> [Case; 2] {
    let [mut cold, mut hot] = works.map(Case::new);
    for _ in 0..stage.options.repeat {
        let [gridspool, alone] = [&stage.gridspool, &stage.alone].map(Nginx::address);
        forget_reads(stage, files);
        let lone = read(stage, gridspool, files, 1);
        forget_reads(stage, files);
        cold.round("gridspool", || read(stage, gridspool, files, readers));
        hot.round("gridspool", || read(stage, gridspool, files, readers));
        let limit = read(stage, alone, files, readers);
        for case in [&mut cold, &mut hot] {
            case.round("a lone cold reader", || lone.clone());
            case.round("nginx alone", || limit.clone());
        }
    }
    for case in [&mut cold, &mut hot] {
        bound(case, "gridspool", "a lone cold reader", Goal::AtMost(1.0));
    }
    for metric in [SENT, FINDS] {
        cold.compare(
            "gridspool",
            "a lone cold reader",
            metric,
            Goal::AtMost(READ),
        );
        hot.judge("gridspool", metric, Goal::None);
    }
    cold.judge("gridspool", MEMORY, MOST_MEMORY);
    [cold, hot]
}

/// Measures readers that are connected and ask at the same moment.
fn read(
    stage: &Stage,
    address: SocketAddr,
    files: &Files,
    readers: usize,
) -> Result<Sample, String> {
    let is_alone = address == stage.alone.address();
    let place = if is_alone {
        "/files/0"
    } else {
        &files.places[0]
    };
    let request = Request::get(place).expecting(Body::of(0, files.size.bytes));
    let start = Start::of(readers);
    let before = Sent::by(&stage.mongo);
    let mut sample = stage.measure(|| {
        let ends = crowd::all(readers, async |_| {
            let connected = Connection::open(address).await;
            // A client without a connection waits here, too, because the others wait for it.
            let begun = start.together().await;
            let answer = connected?.exchange(&request).await?;
            Ok::<_, std::io::Error>((answer.first_byte - begun, answer))
        });
        let mut waits = Vec::new();
        for end in ends {
            match end.map_err(|err| err.to_string())? {
                (_, answer) if answer.status != 200 => {
                    return Err(format!("status {}", answer.status));
                }
                (_, answer) if !answer.is_as_expected => {
                    return Err("not what was uploaded".to_owned());
                }
                (wait, _) => waits.push(wait),
            }
        }
        let mut sample = Sample::default();
        sample.set_latencies(&waits);
        let last = sample.value("max").unwrap_or_default();
        Ok(sample.with("last_first_byte", last))
    })?;
    let sent = before.since(&stage.mongo);
    sample.set("mongodb_kib", sent.bytes / 1024.0);
    sample.set("mongodb_finds", sent.finds);
    sample.set(MEMORY.name, peak_mib(&stage.sidecar.ids()));
    Ok(sample)
}

/// The bytes that MongoDB has sent, and the finds that it has answered.
#[derive(Debug, Clone, Copy)]
struct Sent {
    bytes: f64,
    finds: f64,
    /// The bytes that asking for these numbers adds to them.
    own_bytes: f64,
}

impl Sent {
    fn by(mongo: &Mongo) -> Self {
        let [first, second] = [(); 2].map(|()| Self::asked(mongo));
        Self {
            own_bytes: second.0 - first.0,
            bytes: second.0,
            finds: second.1,
        }
    }

    fn since(self, mongo: &Mongo) -> Self {
        let (bytes, finds) = Self::asked(mongo);
        Self {
            bytes: bytes - self.bytes - self.own_bytes,
            finds: finds - self.finds,
            ..self
        }
    }

    fn asked(mongo: &Mongo) -> (f64, f64) {
        let status = mongo.admin(doc! { "serverStatus": 1 });
        let status = status.expect("the status of MongoDB");
        let number = |section: &str, name: &str| {
            let section = status.get_document(section).expect("a section");
            float(section.get_i64(name).expect("a number"))
        };
        let sent = number("network", "bytesOut");
        (sent, number("opcounters", "query"))
    }
}
