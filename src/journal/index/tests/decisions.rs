//! Single steps: each is refused or queued by the module's rules, and is reported when it is
//! synced.

use super::journal::{Journal, NOW, linked};
use crate::journal::index::{Coming, Phase, Refused, Wait};
use crate::journal::record::tests::samples::{form, id, upload};
use crate::journal::record::{Growth, LogTime, Upload};

#[test]
fn nobody_sees_an_upload_before_its_group_is_synced() {
    let mut journal = Journal::default();
    let (one, form) = (id(1), form(&[id(2), id(3)]));
    journal
        .index
        .come(&Coming::file(one, linked(5)).unwrap(), &mut journal.log)
        .unwrap();
    journal
        .index
        .come(&Coming::form(&form).unwrap(), &mut journal.log)
        .unwrap();
    assert_eq!([id(1), id(2), id(3)].map(|id| journal.phase(id)), [None; 3]);
    assert_eq!(
        journal.index.pending_bytes(linked(5).subject),
        5,
        "counted at once"
    );
    journal.sync();
    let waiting = Some(Phase::Waiting);
    assert_eq!(
        [id(1), id(2), id(3)].map(|id| journal.phase(id)),
        [waiting; 3]
    );
    let bases = [id(2), id(3)].map(|id| journal.index.get(id).unwrap().base);
    assert_eq!(bases[0], bases[1], "a form is one frame");
    assert_eq!(journal.index.bases_in(0), 3);
    let again = journal
        .index
        .come(&Coming::file(one, linked(5)).unwrap(), &mut journal.log);
    assert_eq!(again, Err(Refused::Is(Phase::Waiting)));
}

#[test]
fn a_group_that_fails_takes_its_marks_back() {
    let mut journal = Journal::with(&[id(1)]);
    journal
        .index
        .come(&Coming::file(id(2), linked(7)).unwrap(), &mut journal.log)
        .unwrap();
    journal.delete(id(1)).unwrap();
    for ticket in journal.log.fail() {
        journal.index.failed(ticket);
    }
    assert_eq!(journal.phase(id(1)), Some(Phase::Waiting));
    assert_eq!(journal.index.pending_bytes(linked(0).subject), 5);
    assert_eq!(journal.index.totals(Phase::Coming).entries, 0);
    assert_eq!(journal.delete(id(1)), Ok(()), "decided anew");
    assert_eq!(journal.delete(id(2)), Err(Refused::Absent));
}

#[test]
fn a_second_delete_waits_for_the_first_and_hears_of_it_when_it_is_durable() {
    let mut journal = Journal::with(&[id(1)]);
    let ticket = journal
        .index
        .delete(id(1), NOW, (None, None), &mut journal.log)
        .unwrap();
    let wait = Err(Refused::Wait(Wait::Frame(ticket)));
    assert_eq!(journal.delete(id(1)), wait);
    assert_eq!(journal.settle(id(1)), wait);
    assert_eq!(journal.phase(id(1)), Some(Phase::Waiting), "as before");
    journal.sync();
    assert_eq!(journal.delete(id(1)), Err(Refused::Is(Phase::Deleted)));
    assert_eq!(journal.settle(id(1)), Err(Refused::Is(Phase::Deleted)));
    journal.gone(id(1)).unwrap();
    assert_eq!(
        journal.phase(id(1)),
        Some(Phase::Deleted),
        "the slot leaves last"
    );
    journal.sync();
    assert_eq!(journal.delete(id(1)), Err(Refused::Absent));
}

#[test]
fn a_delete_waits_until_an_entry_that_leaves_is_gone() {
    let mut journal = Journal::with(&[id(1), id(2)]);
    assert_eq!(journal.gone(id(1)), Err(Refused::Is(Phase::Waiting)));
    journal.settle(id(1)).unwrap();
    journal.sync();
    assert_eq!(journal.index.take_settled(LogTime(39)), None);
    assert_eq!(journal.gone(id(1)), Err(Refused::Is(Phase::Settled)));
    assert_eq!(journal.index.take_settled(LogTime(40)), Some(id(1)));
    assert_eq!(journal.index.take_settled(LogTime(99)), None);
    assert_eq!(journal.delete(id(1)), Err(Refused::Wait(Wait::Leaving)));
    journal.gone(id(1)).unwrap();
    journal.sync();
    assert_eq!(journal.delete(id(1)), Err(Refused::Absent));
}

#[test]
fn a_frame_that_the_log_does_not_take_leaves_no_mark() {
    let mut journal = Journal::with(&[id(1)]);
    journal.log.is_full = true;
    assert_eq!(journal.delete(id(1)), Err(Refused::NotQueued));
    let adopted = journal
        .index
        .come(&Coming::file(id(2), linked(5)).unwrap(), &mut journal.log);
    assert_eq!(adopted, Err(Refused::NotQueued));
    journal.log.is_full = false;
    assert_eq!(journal.delete(id(1)), Ok(()));
    assert_eq!(journal.delete(id(2)), Err(Refused::Absent));
    assert_eq!(journal.index.pending_bytes(linked(5).subject), 5);
}

#[test]
fn an_upload_grows_from_where_it_is_and_is_a_file_when_it_is_whole() {
    let mut journal = Journal::default();
    let one = id(1);
    let Upload {
        growth, subject, ..
    } = upload(0);
    let coming = Coming::upload(one, upload(0)).unwrap();
    journal.index.come(&coming, &mut journal.log).unwrap();
    assert_eq!(journal.index.growth(one), None, "nobody knows of it");
    assert_eq!(journal.index.open_uploads(subject), (1, 1));
    assert_eq!(journal.index.pending_bytes(subject), 40, "counted at once");
    journal.sync();
    let grow = |journal: &mut Journal, at, length| {
        let growth = Growth { length, ..growth };
        let grown = journal.index.grow(one, at, growth, None, &mut journal.log);
        grown.map(|_| ())
    };
    grow(&mut journal, 0, 5).unwrap();
    assert!(matches!(grow(&mut journal, 0, 5), Err(Refused::Wait(_))));
    assert_eq!(journal.index.get(one).unwrap().length, 0, "told later");
    journal.sync();
    assert_eq!(journal.index.get(one).unwrap().length, 5);
    assert_eq!(journal.index.expected_bytes(), 35);
    assert_eq!(grow(&mut journal, 0, 5), Err(Refused::Offset(5)));
    assert_eq!(grow(&mut journal, 5, 4), Err(Refused::Moved));
    grow(&mut journal, 5, 7).unwrap();
    journal.sync();
    assert_eq!(
        [98, 99].map(|now| journal.index.expired(LogTime(now)).len()),
        [0, 1]
    );
    let complete = |journal: &mut Journal, at| {
        let (index, log) = (&mut journal.index, &mut journal.log);
        index.complete(one, at, &linked(10), log).map(|_| ())
    };
    assert_eq!(complete(&mut journal, 5), Err(Refused::Offset(7)));
    complete(&mut journal, 7).unwrap();
    journal.sync();
    assert_eq!(
        (journal.phase(one), journal.index.growth(one)),
        (Some(Phase::Waiting), None)
    );
    assert_eq!(journal.index.pending_bytes(subject), 10);
    assert_eq!(journal.index.expected_bytes(), 0);
    let waits = Err(Refused::Is(Phase::Waiting));
    assert_eq!(grow(&mut journal, 10, 15), waits);
    assert_eq!(
        journal.index.end(one, NOW, &mut journal.log).map(|_| ()),
        waits
    );
}
