//! Copies, segments that are needed, and frames at a start.

use super::journal::{Journal, linked, why};
use crate::journal::index::{Coming, Index, Place, Refused, Replayed};
use crate::journal::record::tests::samples::{id, upload};
use crate::journal::record::{Change, Entry, Frame, LogTime, RecordError, State, Subject};

#[test]
fn a_copy_of_what_has_changed_since_is_refused() {
    let mut journal = Journal::with(&[id(1), id(2)]);
    let old = journal.reading(id(1));
    journal
        .index
        .defer(id(1), LogTime(60), why(), &mut journal.log)
        .unwrap();
    assert!(matches!(journal.copy(&old), Err(Refused::Wait(_))));
    journal.sync();
    assert_eq!(journal.copy(&old), Err(Refused::Moved));
    journal.copy(&journal.reading(id(1))).unwrap();
    journal.sync();
    let known = journal.index.get(id(1)).unwrap();
    assert_eq!(
        (known.change, known.due, known.attempts),
        (None, LogTime(60), 2)
    );
    let Entry::File(copied) = journal.reading(id(1)).entry().clone() else {
        panic!("{known:?}");
    };
    assert_eq!(
        copied.state,
        State::Deferred {
            due: LogTime(60),
            why: why()
        }
    );
    let flags = journal.log.read(known.base).unwrap().flags;
    assert_eq!(flags, Frame::COPIED);
}

#[test]
fn a_segment_is_needed_until_the_copies_of_its_bases_are_synced() {
    let mut journal = Journal::with(&[1, 2, 3, 4, 5, 6].map(id));
    for number in [7, 8] {
        let (index, log) = (&mut journal.index, &mut journal.log);
        index
            .come(&Coming::file(id(number), linked(1)).unwrap(), log)
            .unwrap();
    }
    journal.sync();
    assert_eq!(
        [0, 1].map(|segment| journal.index.bases_in(segment)),
        [6, 2]
    );
    assert_eq!(journal.index.live_bytes(100), 200);
    for number in 1..=6 {
        journal.copy(&journal.reading(id(number))).unwrap();
    }
    assert_eq!(journal.index.oldest(), 0, "nothing is synced");
    journal.sync();
    assert_eq!(journal.index.oldest(), 1);
    journal.settle(id(7)).unwrap();
    journal.sync();
    assert_eq!(journal.index.live_bytes(100), 200, "a change is no base");
}

#[test]
fn a_segment_is_needed_as_long_as_a_frame_may_be_in_it_of_which_nobody_has_told_yet() {
    let mut journal = Journal::default();
    let adopt = |journal: &mut Journal, numbers: &[u8]| {
        for &number in numbers {
            let (index, log) = (&mut journal.index, &mut journal.log);
            index
                .come(&Coming::file(id(number), linked(1)).unwrap(), log)
                .unwrap();
        }
        journal.log.write(0);
        journal.log.sync()
    };
    let first = adopt(&mut journal, &[1, 2, 3, 4]);
    let second = adopt(&mut journal, &[5, 6, 7, 8]);
    for landed in second.iter().chain(&first[1..]) {
        journal
            .index
            .synced(landed.ticket, landed.segment, landed.place);
        assert_eq!(journal.index.oldest(), 0);
    }
    for number in 2..=4 {
        journal.delete(id(number)).unwrap();
    }
    let third = adopt(&mut journal, &[]);
    for landed in &third {
        journal
            .index
            .synced(landed.ticket, landed.segment, landed.place);
    }
    assert_eq!(journal.index.bases_in(0), 0);
    assert_eq!(journal.index.oldest(), 0, "the first one is there");
    journal
        .index
        .synced(first[0].ticket, first[0].segment, first[0].place);
    assert_eq!(journal.index.bases_in(0), 1);
}

#[test]
fn a_place_keeps_group_and_offset_in_64_bits_or_is_none() {
    let largest = ((1 << 40) - 2, Place::SEGMENT_BYTES - 8);
    for (group, offset) in [(0, 0), (1, 8), (7, 8192), largest] {
        let place = Place::new(group, offset).unwrap();
        assert_eq!((place.group(), place.offset()), (group, offset));
        assert!(place.if_any().is_some());
    }
    for (group, offset) in [(0, 4), (0, Place::SEGMENT_BYTES), (1 << 40, 0)] {
        assert_eq!(Place::new(group, offset), None);
    }
}

#[test]
fn a_start_tells_of_changes_without_a_base_and_refuses_what_it_must_know() {
    let mut index = Index::default();
    let place = |group| Place::new(group, 64).unwrap();
    let change = |number, change| Frame::change(id(number), &change).unwrap();
    let base = Frame::entry(id(1), &Entry::File(linked(5))).unwrap();
    for (at, frame) in [
        (0, change(1, Change::Waiting)),
        (1, change(2, Change::Waiting)),
        (2, change(3, Change::Waiting)),
    ] {
        let replayed = index.replay(&frame, 3, place(at));
        assert_eq!(replayed, Ok(Replayed::Entry(Vec::new())));
    }
    index.replay(&base, 3, place(3)).unwrap();
    index.replay(&change(2, Change::Gone), 3, place(4)).unwrap();
    let lost: Vec<_> = index.lost().iter().copied().collect();
    assert_eq!(lost, [id(3)]);
    let misfit = change(1, Change::Grown(upload(1).growth));
    assert!(matches!(
        index.replay(&misfit, 3, place(5)),
        Err(RecordError::Damaged(_))
    ));
    assert_eq!(index.get(id(1)).unwrap().change, None, "as before");
    let newer = Frame { version: 4, ..base };
    assert!(matches!(
        index.replay(&newer, 3, place(6)),
        Err(RecordError::Unknown { .. })
    ));
    let harmless = Frame {
        flags: Frame::MAY_SKIP,
        ..newer
    };
    assert_eq!(index.replay(&harmless, 3, place(7)), Ok(Replayed::Skipped));
    assert_eq!(index.pending_bytes(Subject(5)), 5);
}
