//! A journal that a program of this format wrote once: every later version of the format must read it.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::keys::{check as check_key, request, try_carry_out};
use super::scratch::{HOUR, LARGE, SMALL, Scratch, committed, content, draft, sha256_of};
use crate::file::FileId;
use crate::journal::idempotency::{Claim, Standing};
use crate::journal::index::Phase;
use crate::journal::inspection::Inspection;
use crate::journal::wal::{OpenError as LogError, Shape};
use crate::journal::{Adopted, Announcer, Draft, Journal, OpenError, Room, Work};

/// The limits when the fixture was written: large enough for most of it, and small beside the code.
const SHAPE: Shape = Shape {
    segment_bytes: 48 * 1024,
    group_bytes: 24 * 1024,
};

/// Its entries, in the order of their ids: state, bytes, and the key of the request.
const ENTRIES: [(Phase, &[u8], Option<u8>); 12] = [
    (Phase::Waiting, SMALL, Some(1)),
    (Phase::Waiting, LARGE, Some(0)),
    (Phase::Waiting, b"sm", Some(3)),
    (Phase::Waiting, b"all", Some(3)),
    (Phase::Waiting, b"a ", Some(2)),
    (Phase::Waiting, b"bod", Some(2)),
    (Phase::Waiting, LARGE, None),
    (Phase::Deferred, LARGE, None),
    (Phase::Held, SMALL, None),
    (Phase::Settled, LARGE, Some(4)),
    (Phase::Settled, SMALL, None),
    (Phase::Deleted, b"", Some(5)),
];

/// The key of an entry that was deleted and has left.
const LEFT: u8 = 6;

fn open(scratch: &Scratch) -> Journal {
    let disk = Box::new(scratch.disk.clone());
    let (limits, announcer) = (scratch.limits.clone(), Announcer::to_nobody());
    let opened = Journal::open_shaped(scratch.path(), limits, disk, announcer, SHAPE);
    let (journal, recovered) = opened.unwrap();
    assert_eq!(recovered.corrupt, 0);
    journal
}

/// Writes the fixture with this program.
fn write(scratch: &Scratch) {
    let journal = open(scratch);
    let keyed = |key| try_carry_out(scratch, &journal, request(key)).unwrap()[0];
    let put_off = |body, reason| {
        let id = scratch.adopt(&journal, body);
        journal.open_work(id).unwrap();
        journal.defer(id, reason, HOUR).unwrap();
        id
    };
    for key in [1, 0, 3, 2] {
        keyed(key);
    }
    let stated = Draft {
        stated: Some(sha256_of(LARGE)),
        ..draft()
    };
    let body = scratch.spooled(LARGE);
    journal.adopt(Some(&body), stated).unwrap();
    put_off(LARGE, "not now");
    let held = put_off(SMALL, "not now");
    journal.hold(held, "not ever").unwrap();
    for id in [keyed(4), scratch.adopt(&journal, SMALL)] {
        journal.settle(&committed(id)).unwrap();
    }
    for key in [5, LEFT] {
        let id = keyed(key);
        journal.open_work(id).unwrap();
        journal.delete(id).unwrap();
        if key == LEFT {
            journal.erase(id).unwrap();
        }
    }
    journal.close().unwrap();
}

/// Checks that everything in it is as it was written.
fn check(scratch: &Scratch) {
    let inspection = Inspection::new(scratch.layout().journal());
    let entries = inspection.list().unwrap().entries();
    let ids: Vec<FileId> = entries.iter().map(|entry| entry.id).collect();
    let phases = entries.iter().map(|entry| entry.known.phase);
    assert!(phases.eq(ENTRIES.map(|(phase, _, _)| phase)), "{entries:?}");
    assert!(ids.iter().all(|id| id.node() == 1));
    assert_eq!(inspection.verify().unwrap(), []);
    let journal = open(scratch);
    for (at, (&id, (phase, bytes, key))) in ids.iter().zip(ENTRIES).enumerate() {
        let is_there = phase != Phase::Deleted;
        assert_eq!(
            content(&journal, id).as_deref(),
            is_there.then_some(bytes),
            "{at}"
        );
        let Some(key) = key else { continue };
        let standing = match phase {
            Phase::Settled => Standing::Committed,
            Phase::Deleted => Standing::Deleted,
            Phase::Coming
            | Phase::Growing
            | Phase::Intended
            | Phase::Waiting
            | Phase::Deferred
            | Phase::Held => Standing::Pending,
        };
        let same = ids
            .iter()
            .zip(ENTRIES)
            .filter(|(_, other)| other.2 == Some(key));
        let same: Vec<_> = same.map(|(&id, _)| id).collect();
        check_key("written once", &journal, key, &same, standing);
    }
    let Claim::Answered(left) = journal.begin(request(LEFT)).unwrap() else {
        panic!("the key of one that has left is forgotten");
    };
    let standings = left.iter().map(Adopted::standing);
    assert!(standings.eq([Standing::Deleted]));
    for (id, room, attempts, reason) in [
        (ids[7], Room::Deferred, 1, "not now"),
        (ids[8], Room::Hold, 2, "not ever"),
    ] {
        let told = journal.waiting_for(id).unwrap().unwrap();
        assert_eq!((told.room, told.attempts), (room, attempts));
        assert_eq!(told.reason.as_deref(), Some(reason));
    }
    let Work::Commit { promised, .. } = journal.open_work(ids[6]).unwrap() else {
        panic!("it waits");
    };
    promised.body.verify(sha256_of(LARGE)).unwrap();
    promised.body.verify(sha256_of(SMALL)).unwrap_err();
    assert!(matches!(
        journal.open_work(ids[11]).unwrap(),
        Work::Erase { is_begun: true, .. }
    ));
}

/// Returns a copy of the stored fixture.
fn fixture() -> Scratch {
    let scratch = Scratch::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal");
    for name in all_files(&from) {
        let to = scratch.layout().journal().join(&name);
        fs::copy(from.join(&name), to).unwrap();
    }
    scratch
}

/// Returns the files of a journal.
fn all_files(directory: &Path) -> Vec<PathBuf> {
    let below = ["", "body", "wal"].map(|name| directory.join(name));
    let found = below.iter().flat_map(|below| fs::read_dir(below).unwrap());
    let paths = found.map(|found| found.unwrap().path());
    let mut names: Vec<_> = paths
        .filter(|path| path.is_file())
        .map(|path| path.strip_prefix(directory).unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_journal_that_was_written_once_is_read_for_ever() {
    let scratch = fixture();
    check(&scratch);
    // The state after this program's start is the same.
    check(&scratch);
}

#[test]
fn a_journal_that_is_written_now_holds_the_same() {
    let scratch = Scratch::new();
    write(&scratch);
    check(&scratch);
}

#[test]
fn a_segment_of_a_newer_form_refuses_the_start_and_nothing_is_touched() {
    let scratch = fixture();
    let journal = scratch.layout().journal().to_owned();
    let wal = scratch.layout().wal();
    let newest = wal.join(Scratch::names(&wal).last().unwrap());
    let mut bytes = fs::read(&newest).unwrap();
    for place in [0, 4_096] {
        bytes[place + 8] += 1;
        let check = Sha256::digest(&bytes[place..place + 52]);
        bytes[place + 52..place + 68].copy_from_slice(&check[..16]);
    }
    fs::write(&newest, bytes).unwrap();
    // This may be the body of a promise by the newer program.
    fs::write(
        scratch.layout().body(FileId::from_bytes([9; 12])),
        b"promised",
    )
    .unwrap();
    let all = || -> Vec<_> {
        let names = all_files(&journal).into_iter();
        names
            .filter(|name| name != Path::new("lock"))
            .map(|name| (fs::read(journal.join(&name)).unwrap(), name))
            .collect()
    };
    let before = all();
    let refused = scratch.try_open().unwrap_err();
    assert!(refused.is_of_another_format(), "{refused}");
    assert!(matches!(
        refused,
        OpenError::Log(LogError::NewerFormat { .. })
    ));
    assert!(all() == before);
    assert!(scratch.disk.calls().is_empty());
}
