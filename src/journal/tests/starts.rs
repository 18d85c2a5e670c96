//! Refused starts, and what a start does with the files that it finds.

use std::fs;

use super::scratch::{HOUR, LARGE, SHAPE, Scratch, committed, content, room};
use super::stage::restart;
use crate::file::{FileId, UnixMillis};
use crate::journal::volume::Volume;
use crate::journal::wal::{Frame, Tag, Wal};
use crate::journal::{AdoptError, Announcer, Layout, LocalDisk, OpenError, Room};
use crate::journal::{Journal, Retried};

/// All files of a data directory.
fn files(scratch: &Scratch) -> Vec<(String, Vec<u8>)> {
    let layout = scratch.layout();
    let directories = [layout.journal().to_owned(), layout.wal(), layout.bodies()];
    let mut files = Vec::new();
    for directory in directories {
        for name in Scratch::names(&directory) {
            let path = directory.join(&name);
            files.extend(path.is_file().then(|| (name, fs::read(&path).unwrap())));
        }
    }
    files
}

#[test]
fn a_journal_of_another_format_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    drop(scratch.journal());
    let marker = scratch.layout().marker();
    for (text, is_earlier) in [
        ("gridspool journal\n", true),
        ("gridspool journal, form 3\n", false),
        ("something else", false),
    ] {
        fs::write(&marker, text).unwrap();
        let before = files(&scratch);
        let opened = scratch.try_open().unwrap_err();
        let checked = Journal::check(scratch.path(), &LocalDisk).unwrap_err();
        let begun = Journal::init(scratch.path(), &LocalDisk).unwrap_err();
        for err in [opened, checked, begun] {
            let is_told = [
                matches!(err, OpenError::NewerFormat { .. }),
                matches!(err, OpenError::EarlierFormat(_)),
            ];
            assert!(is_told[usize::from(is_earlier)], "{text}: {err}");
        }
        assert_eq!(files(&scratch), before, "{text}");
    }
    fs::remove_file(&marker).unwrap();
    assert!(matches!(scratch.try_open(), Err(OpenError::NoMarker(_))));
}

#[test]
fn a_program_of_the_first_form_neither_starts_nor_begins_anew_here() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    scratch.adopt(&journal, LARGE);
    drop(journal);
    let before = files(&scratch);
    // A start of the first format reads this as a directory, and its `init` makes it.
    let incoming = scratch.layout().journal().join("incoming");
    assert!(fs::read_dir(&incoming).is_err());
    assert!(fs::create_dir_all(&incoming).is_err());
    assert_eq!(files(&scratch), before);
    // The same holds in the other direction.
    let first = tempfile::tempdir().unwrap();
    let layout = Layout::new(first.path());
    fs::create_dir_all(layout.journal().join("incoming")).unwrap();
    fs::write(layout.marker(), "gridspool journal\n").unwrap();
    let limits = scratch.limits.clone();
    let announcer = Announcer::to_nobody();
    let opened = Journal::open(first.path(), limits, Box::new(LocalDisk), announcer);
    assert!(matches!(opened, Err(OpenError::EarlierFormat(_))));
    assert!(Journal::init(first.path(), &LocalDisk).is_err());
}

/// An unknown kind, and the next version of a known one.
const UNKNOWN: [(u8, u8); 2] = [(9, 1), (1, 4)];

/// Appends a frame of an unknown kind or version.
fn append_unknown(scratch: &Scratch, (kind, version): (u8, u8), flags: u16) {
    let volume = Volume::new(Box::new(scratch.disk.clone()), &scratch.layout().wal());
    let (wal, _) = Wal::open(volume, SHAPE, &mut |_| Ok(())).unwrap();
    let tag = Tag {
        kind,
        version,
        flags,
        id: FileId::from_bytes([9; 12]),
        length: 1,
        time: 0,
    };
    let frame = Frame::build(tag, b"from the future", &[], &[], |_| Ok(())).unwrap();
    wal.wait(&wal.queue(frame).unwrap()).unwrap();
}

#[test]
fn a_record_of_a_newer_form_refuses_the_start_and_no_body_is_lost() {
    for unknown in UNKNOWN {
        refuse_unknown(unknown);
    }
}

fn refuse_unknown(unknown: (u8, u8)) {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    drop(journal);
    // This may be the body of a promise by the newer program.
    let lone = FileId::from_bytes([9; 12]);
    fs::write(scratch.layout().body(lone), b"promised").unwrap();
    append_unknown(&scratch, unknown, 0);
    let before = files(&scratch);
    let refused = scratch.try_open().unwrap_err();
    assert!(refused.is_of_another_format(), "{unknown:?}: {refused}");
    assert!(matches!(refused, OpenError::Log(_)), "{refused}");
    assert_eq!(files(&scratch), before);
    assert!(fs::exists(scratch.layout().body(id)).unwrap());
}

#[test]
fn a_record_that_may_be_skipped_is() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    drop(journal);
    append_unknown(
        &scratch,
        UNKNOWN[0],
        crate::journal::record::Frame::MAY_SKIP,
    );
    let journal = restart("with a record that may be skipped", &scratch);
    assert_eq!(room(&journal, id), Some(Room::Incoming));
}

#[test]
fn bodies_that_no_entry_has_are_kept_where_the_log_is_damaged() {
    for is_damaged in [false, true] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let ids: Vec<_> = (0..3).map(|_| scratch.adopt(&journal, LARGE)).collect();
        drop(journal);
        let lone = FileId::from_bytes([9; 12]);
        fs::write(scratch.layout().body(lone), b"promised, perhaps").unwrap();
        if is_damaged {
            // The first frame, in the group that follows the two heads of the segment.
            let wal = scratch.layout().wal();
            let path = wal.join(Scratch::names(&wal).last().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[8192 + 64 + 70] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        let (journal, recovered) = scratch.try_open().unwrap();
        let there = ids.iter().filter(|&&id| content(&journal, id).is_some());
        assert_eq!(there.count(), 3 - usize::from(is_damaged));
        let corrupt = Scratch::names(&scratch.layout().corrupt()).len();
        // The body of the damaged frame, and the one without an entry.
        assert_eq!(corrupt, 2 * usize::from(is_damaged));
        assert_eq!(recovered.corrupt > 0, is_damaged);
        assert!(!fs::exists(scratch.layout().body(lone)).unwrap());
    }
}

#[test]
fn a_promised_entry_without_its_body_is_told_and_set_aside_at_its_turn() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let [gone, short, small] = [LARGE, LARGE, b"small"].map(|body| scratch.adopt(&journal, body));
    drop(journal);
    fs::remove_file(scratch.layout().body(gone)).unwrap();
    fs::write(scratch.layout().body(short), b"short").unwrap();
    let (journal, recovered) = scratch.try_open().unwrap();
    assert_eq!((recovered.corrupt, recovered.pending), (2, 3));
    for id in [gone, short, small] {
        let is_whole = id == small;
        assert_eq!(journal.open_work(id).is_ok(), is_whole);
        if !is_whole {
            journal.set_aside(id, "unreadable").unwrap();
            journal.set_aside(id, "unreadable").unwrap();
        }
    }
    drop(journal);
    scratch.cut_power();
    let journal = restart("with entries set aside", &scratch);
    for id in [gone, short, small] {
        assert_eq!(room(&journal, id).is_some(), id == small);
    }
    // The short body, and the segment with the records.
    assert_eq!(journal.corrupt_files().unwrap(), 2);
}

#[test]
fn states_and_reasons_last_over_a_start() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let [deferred, held, settled] = [(); 3].map(|()| scratch.adopt(&journal, LARGE));
    let later = UnixMillis::now().later(HOUR);
    journal.defer(deferred, "first", HOUR).unwrap();
    journal.defer(deferred, "second", HOUR).unwrap();
    journal.hold(held, "for good").unwrap();
    journal.settle(&committed(settled)).unwrap();
    drop(journal);
    let journal = restart("with entries in all rooms", &scratch);
    assert_eq!(journal.held(), [held]);
    let waiting = journal.waiting(None, 10).unwrap();
    let told = waiting.iter().map(|waiting| {
        let reason = waiting.reason.as_deref();
        (waiting.id, waiting.room, waiting.attempts, reason)
    });
    let expected = [
        (deferred, Room::Deferred, 2, Some("second")),
        (held, Room::Hold, 1, Some("for good")),
    ];
    assert!(told.eq(expected), "{waiting:?}");
    let due = waiting[0].next_attempt.unwrap();
    assert!(due.0.abs_diff(later.0) < 60_000, "{due:?}, {later:?}");
    assert_eq!(journal.waiting(Some(deferred), 10).unwrap().len(), 1);
    assert_eq!(journal.waiting(None, 1).unwrap().len(), 1);
    assert_eq!(journal.retry(held).unwrap(), Retried::Begun);
    assert_eq!(
        journal.retry(settled).unwrap(),
        Retried::NotPutOff(Room::Settled)
    );
    assert_eq!(
        journal.retry(FileId::from_bytes([1; 12])).unwrap(),
        Retried::Absent
    );
    let refused = journal.check_admission(100_001);
    assert!(matches!(refused, Err(AdoptError::Full(_))));
}
