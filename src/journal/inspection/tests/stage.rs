//! A journal with one entry of each sort, and ways to look at it and to damage it.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use crate::file::FileId;
use crate::journal::inspection::Inspection;
use crate::journal::record::tests::samples::{answer, file, form, id, meta, upload};
use crate::journal::record::{
    Answered, Body, Change, Entry, File, Form, Frame, Growth, LogTime, Part, Tombstone, Why,
};
use crate::journal::tag::tag;
use crate::journal::volume::{LocalDisk, Volume};
use crate::journal::wal::{self, Shape, Wal};
use crate::store::Sha256;

const SHAPE: Shape = Shape {
    segment_bytes: 64 * 1024,
    group_bytes: 32 * 1024,
};

pub(super) struct Stage(pub(super) tempfile::TempDir);

impl Stage {
    pub(super) fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for directory in ["wal", "body"] {
            fs::create_dir(stage.path(directory)).unwrap();
        }
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn wal(&self) -> Wal {
        let volume = Volume::new(Box::new(LocalDisk), &self.path("wal"));
        Wal::open(volume, SHAPE, &mut |_| Ok(())).unwrap().0
    }

    pub(super) fn inspection(&self) -> Inspection {
        Inspection::new(self.0.path())
    }

    /// Overwrites the first bytes in the log that equal these.
    pub(super) fn damage(&self, bytes: &[u8]) {
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

    /// Returns all names below the journal with their contents, so that a test sees every change.
    pub(super) fn all_bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
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

pub(super) fn append(wal: &Wal, frame: &Frame, bodies: &[&[u8]]) {
    let fill = |into: &mut [u8]| {
        into.copy_from_slice(&bodies.concat());
        Ok(())
    };
    let built = wal::Frame::build(tag(frame), &frame.record, &frame.body_lengths, &[], fill);
    wal.wait(&wal.queue(built.unwrap()).unwrap()).unwrap();
}

pub(super) fn entry(number: u8, file: File) -> Frame {
    Frame::entry(id(number), &Entry::File(file)).unwrap()
}

pub(super) fn change(number: u8, change: &Change) -> Frame {
    Frame::change(id(number), change).unwrap()
}

pub(super) fn linked(offset: u64, length: u64) -> File {
    File {
        body: Body::Linked { offset },
        stated: None,
        ..file(length)
    }
}

/// Returns a file with the digest of these bytes, as its sender stated it.
pub(super) fn stating(body: &[u8], file: File) -> File {
    File {
        stated: Some(Sha256(sha2::Sha256::digest(body).into())),
        ..file
    }
}

/// Makes the journal: 1 is inline, 2 linked and deferred, 3 and 4 a form, 5 deleted, 6 gone, 7 linked;
/// 9 is only a body; 10 is an upload that may still grow.
pub(super) fn stage() -> Stage {
    let stage = Stage::new();
    let wal = stage.wal();
    append(&wal, &entry(1, stating(b"first", file(5))), &[b"first"]);
    append(&wal, &entry(2, stating(b"two!", linked(3, 4))), &[]);
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
        message: None,
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
    append(&wal, &entry(7, stating(b"abcde", linked(0, 5))), &[]);
    let open = Entry::Upload(upload(2));
    append(&wal, &Frame::entry(id(10), &open).unwrap(), &[]);
    let growth = Growth {
        length: 5,
        ..upload(2).growth
    };
    append(&wal, &change(10, &Change::Grown(growth)), &[]);
    let body = |name: String, bytes: &[u8]| fs::write(stage.path("body").join(name), bytes);
    body(id(2).to_string(), b"xyztwo!and more").unwrap();
    body(id(7).to_string(), b"abcde").unwrap();
    body(id(10).to_string(), b"grown, and more").unwrap();
    stage
}

pub(super) fn salvaged(to: &Path, id: FileId) -> Option<Vec<u8>> {
    fs::read(to.join(id.to_string())).ok()
}
