//! A journal of each sort of entry, looked at whole and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Anomaly, Inspection};
use crate::file::FileId;
use crate::journal::index::Phase;
use crate::journal::record::tests::samples::{answer, file, form, id, meta};
use crate::journal::record::{
    Answered, Body, Change, Entry, File, Form, Frame, LogTime, Part, State, Tombstone, Why,
};
use crate::journal::volume::{LocalDisk, Volume};
use crate::journal::wal::{self, Damage, Shape, Tag, Wal};

const SHAPE: Shape = Shape {
    segment_bytes: 64 * 1024,
    group_bytes: 32 * 1024,
};

struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for directory in ["wal", "body"] {
            fs::create_dir(stage.path(directory)).unwrap();
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn wal(&self) -> Wal {
        let volume = Volume::new(Box::new(LocalDisk), &self.path("wal"));
        Wal::open(volume, SHAPE, &mut |_| Ok(())).unwrap().0
    }

    fn inspection(&self) -> Inspection {
        Inspection::new(self.0.path())
    }

    /// Writes over the first bytes like these in the log.
    fn damage(&self, bytes: &[u8]) {
        for found in fs::read_dir(self.path("wal")).unwrap() {
            let path = found.unwrap().path();
            let mut all = fs::read(&path).unwrap();
            if let Some(at) = all.windows(bytes.len()).position(|window| window == bytes) {
                all[at] ^= 1;
                fs::write(&path, all).unwrap();
                return;
            }
        }
        panic!("no such bytes");
    }

    /// All names below it with their contents, so that a test sees that nothing changes.
    fn all_bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for directory in ["wal", "body"] {
            for found in fs::read_dir(self.path(directory)).unwrap() {
                let path = found.unwrap().path();
                all.push((path.clone(), fs::read(path).unwrap()));
            }
        }
        all.sort();
        all
    }
}

fn append(wal: &Wal, frame: &Frame, bodies: &[&[u8]]) {
    let tag = Tag {
        kind: frame.kind,
        version: frame.version,
        flags: frame.flags,
        id: frame.id,
        length: frame.length,
        time: frame.moment,
    };
    let fill = |into: &mut [u8]| {
        into.copy_from_slice(&bodies.concat());
        Ok(())
    };
    let built = wal::Frame::build(tag, &frame.record, &frame.body_lengths, fill);
    wal.wait(&wal.queue(built.unwrap()).unwrap()).unwrap();
}

fn entry(number: u8, file: File) -> Frame {
    Frame::entry(id(number), &Entry::File(file)).unwrap()
}

fn change(number: u8, change: &Change) -> Frame {
    Frame::change(id(number), change).unwrap()
}

fn linked(offset: u64, length: u64) -> File {
    File {
        body: Body::Linked { offset },
        ..file(length)
    }
}

/// 1 is inline, 2 linked and deferred, 3 and 4 a form, 5 deleted, 6 gone, 7 has extents; 9 is a body alone.
fn stage() -> Stage {
    let stage = Stage::new();
    let wal = stage.wal();
    append(&wal, &entry(1, file(5)), &[b"first"]);
    append(&wal, &entry(2, linked(3, 4)), &[]);
    let why = Why {
        attempts: 2,
        reason: "because".to_owned(),
    };
    let due = LogTime(77);
    append(&wal, &change(2, &Change::Deferred { due, why }), &[]);
    let Form { parts, .. } = form(&[id(3), id(4)]);
    let parts = parts.into_iter().map(|part| Part {
        length: 6,
        body: Body::Inline,
        ..part
    });
    let form = Form {
        parts: parts.collect(),
        ..form(&[])
    };
    append(&wal, &Frame::form(&form).unwrap(), &[b"third.", b"fourth"]);
    append(&wal, &entry(5, linked(0, 3)), &[]);
    let tombstone = Tombstone {
        at: LogTime(5),
        may_be_stored: true,
        answered: None,
    };
    append(
        &wal,
        &Frame::entry(id(5), &Entry::Tombstone(tombstone)).unwrap(),
        &[],
    );
    append(&wal, &entry(6, file(4)), &[b"gone"]);
    append(&wal, &change(6, &Change::Gone), &[]);
    let answered = Answered {
        id: id(6),
        meta: meta(4),
        answer: answer(),
        is_deleted: false,
    };
    append(&wal, &Frame::answers(&[answered]).unwrap(), &[]);
    let extents = File {
        body: Body::Extents(vec![2, 3]),
        ..file(5)
    };
    append(&wal, &entry(7, extents), &[]);
    let body = |name: String, bytes: &[u8]| fs::write(stage.path("body").join(name), bytes);
    body(id(2).to_string(), b"xyztwo!and more").unwrap();
    body(format!("{}.0", id(7)), b"ab").unwrap();
    body(format!("{}.1", id(7)), b"cde").unwrap();
    stage
}

fn salvaged(to: &Path, id: FileId) -> Option<Vec<u8>> {
    fs::read(to.join(id.to_string())).ok()
}

#[test]
fn every_entry_is_listed_as_its_frames_tell_it_and_nothing_is_written() {
    let stage = stage();
    let before = stage.all_bytes();
    let inspection = stage.inspection();
    let contents = inspection.list().unwrap();
    let entries = contents.entries().into_iter();
    let seen: Vec<_> = entries
        .map(|entry| (entry.id, entry.known.phase, entry.known.length))
        .collect();
    let expected = [
        (1, Phase::Waiting, 5),
        (2, Phase::Deferred, 4),
        (3, Phase::Waiting, 6),
        (4, Phase::Waiting, 6),
        (5, Phase::Deleted, 0),
        (7, Phase::Waiting, 5),
    ];
    assert_eq!(
        seen,
        expected.map(|(number, phase, length)| (id(number), phase, length))
    );
    let shown = inspection.show(id(2)).unwrap();
    assert_eq!(shown.frames.len(), 2);
    let Some(Entry::File(file)) = shown.entry else {
        panic!("{shown:?}");
    };
    assert!(matches!(
        file.state,
        State::Deferred {
            due: LogTime(77),
            ..
        }
    ));
    let shown = inspection.show(id(4)).unwrap();
    assert_eq!(shown.frames.len(), 1, "of a form");
    assert!(matches!(shown.entry, Some(Entry::File(_))));
    let shown = inspection.show(id(6)).unwrap();
    assert_eq!((shown.frames.len(), shown.entry), (3, None));
    assert_eq!(inspection.verify().unwrap(), []);
    assert!(stage.all_bytes() == before);
}

#[test]
fn what_is_whole_comes_out_as_it_was() {
    let stage = stage();
    let before = stage.all_bytes();
    let to = stage.path("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [1, 2, 3, 4, 7].map(id));
    assert_eq!((told.lone, told.anomalies), (Vec::new(), Vec::new()));
    for (number, bytes) in [
        (1, "first"),
        (2, "two!"),
        (3, "third."),
        (4, "fourth"),
        (7, "abcde"),
    ] {
        assert_eq!(salvaged(&to, id(number)).unwrap(), bytes.as_bytes());
    }
    let lines = fs::read_to_string(to.join("files.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[1]["id"], id(2).to_string());
    assert_eq!(
        (&lines[1]["phase"], &lines[1]["length"]),
        (&"deferred".into(), &4.into())
    );
    assert_eq!(lines[1]["filename"], meta(4).filename.as_str());
    assert!(
        stage.inspection().salvage(&to).is_err(),
        "nothing is written over"
    );
    assert!(stage.all_bytes() == before);
}

#[test]
fn what_is_damaged_is_named_and_the_rest_comes_out() {
    let stage = stage();
    let bodies = stage.path("body");
    stage.damage(b"third.");
    fs::write(bodies.join(id(2).to_string()), b"xyztwo").unwrap();
    fs::remove_file(bodies.join(format!("{}.1", id(7)))).unwrap();
    fs::write(bodies.join(id(9).to_string()), b"alone").unwrap();
    let no_body = |number, fault: &str| Anomaly::NoBody {
        id: id(number),
        fault: fault.to_owned(),
    };
    let expected = [
        no_body(2, &format!("{} is cut short", id(2))),
        no_body(3, "is damaged in the log"),
        no_body(7, &format!("{}.1 is missing", id(7))),
    ];
    let lone = id(9).to_string();
    let all = [&expected[..], &[Anomaly::LoneBody(lone.clone())]].concat();
    assert_eq!(stage.inspection().verify().unwrap(), all);
    let to = stage.path("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [1, 4].map(id));
    assert_eq!(told.lone, std::slice::from_ref(&lone));
    assert_eq!(told.anomalies, expected);
    assert_eq!(salvaged(&to, id(4)).unwrap(), b"fourth");
    assert_eq!(salvaged(&to, id(3)), None);
    assert_eq!(fs::read(to.join("lone").join(lone)).unwrap(), b"alone");
}

#[test]
fn a_damaged_record_costs_its_own_entry_and_what_no_version_knows_costs_nothing() {
    let stage = stage();
    let wal = stage.wal();
    let newer = Frame {
        version: 9,
        ..entry(8, linked(0, 0))
    };
    append(&wal, &newer, &[]);
    drop(wal);
    // The name in the first record: no other has it before.
    stage.damage("größe".as_bytes());
    let found = stage.inspection().verify().unwrap();
    assert!(
        matches!(&*found, [
            Anomaly::Damage(Damage::Frame { id: damaged, .. }),
            Anomaly::Record { id: unknown, .. },
        ] if (*damaged, *unknown) == (id(1), id(8))),
        "{found:?}"
    );
    let to = stage.path("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [2, 3, 4, 7].map(id));
    assert_eq!(told.anomalies, found);
    assert!(found.iter().all(|anomaly| !anomaly.to_string().is_empty()));
}

#[test]
fn changes_without_a_base_are_told() {
    let stage = Stage::new();
    let wal = stage.wal();
    append(&wal, &change(3, &Change::Waiting), &[]);
    drop(wal);
    assert_eq!(
        stage.inspection().verify().unwrap(),
        [Anomaly::NoBase(id(3))]
    );
}
