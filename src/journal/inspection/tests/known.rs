//! One reading of the log serves many questions. A new reading is made if an entry may have come
//! since.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::stage::{append, entry, stage};
use crate::file::FileId;
use crate::journal::inspection::KnownIds;
use crate::journal::record::tests::samples::{file, id};
use crate::journal::record::{Entry, Frame};

const LONG_AGO: Option<SystemTime> = Some(UNIX_EPOCH);

fn is_known(known: &mut KnownIds, id: FileId, written: Option<SystemTime>) -> bool {
    let among = known.among(&[(id, written)]).unwrap();
    among.unwrap().contains(&id)
}

#[test]
fn the_log_is_read_once_for_pages_of_chunks_that_are_older_than_the_look() {
    let stage = stage();
    let mut known = KnownIds::new(stage.inspection());
    assert!(is_known(&mut known, id(1), LONG_AGO));
    assert!(!is_known(&mut known, id(20), LONG_AGO));
    // No such entry can come: its chunks are older than its promise. It shows whether the log is
    // read.
    append(&stage.wal(), &entry(20, file(2)), &[b"20"]);
    assert!(!is_known(&mut known, id(20), LONG_AGO));
    assert!(is_known(&mut known, id(3), LONG_AGO));
    assert!(is_known(
        &mut KnownIds::new(stage.inspection()),
        id(20),
        LONG_AGO
    ));
}

#[test]
fn a_small_entry_that_came_after_the_look_is_known_on_the_next_page() {
    let stage = stage();
    let now = SystemTime::now();
    for (number, written) in [(20, Some(now)), (21, None)] {
        let mut known = KnownIds::new(stage.inspection());
        assert!(is_known(&mut known, id(1), LONG_AGO));
        append(&stage.wal(), &entry(number, file(2)), &[b"20"]);
        assert!(is_known(&mut known, id(number), written), "{written:?}");
    }
    // This id is new, and its chunks say that they are old.
    let mut known = KnownIds::new(stage.inspection());
    assert!(is_known(&mut known, id(1), LONG_AGO));
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut bytes = [7; FileId::BYTES];
    bytes[..4].copy_from_slice(&u32::try_from(seconds).unwrap().to_be_bytes());
    let young = FileId::from_bytes(bytes);
    let frame = Frame::entry(young, &Entry::File(file(2))).unwrap();
    append(&stage.wal(), &frame, &[b"22"]);
    assert!(is_known(&mut known, young, LONG_AGO));
}

#[test]
fn a_body_that_came_after_the_look_is_known_at_once() {
    let stage = stage();
    let mut known = KnownIds::new(stage.inspection());
    assert!(!is_known(&mut known, id(20), LONG_AGO));
    std::fs::write(stage.path("body").join(id(20).to_string()), b"body").unwrap();
    assert!(is_known(&mut known, id(20), LONG_AGO));
}

#[test]
fn of_a_damaged_log_nothing_is_known() {
    let stage = stage();
    stage.damage(b"because");
    let mut known = KnownIds::new(stage.inspection());
    for age in [Duration::ZERO, Duration::from_hours(1)] {
        let written = SystemTime::now() - age;
        assert!(known.among(&[(id(2), Some(written))]).unwrap().is_none());
    }
    assert!(known.among(&[]).unwrap().is_some());
}
