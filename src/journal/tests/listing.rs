//! The list of waiting entries, for admins.

use std::time::Duration;

use super::scratch::{HOUR, Scratch, absent};
use crate::file::UnixMillis;
use crate::journal::Retried;
use crate::journal::Room;

#[test]
fn what_was_put_off_is_listed_in_pages_and_gets_a_new_start() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let ids: Vec<_> = (0..6_u8).map(|n| scratch.adopt(&journal, &[n])).collect();
    let later = UnixMillis::now().later(HOUR);
    for id in [ids[1], ids[2], ids[4]] {
        journal.defer(id, &"why ".repeat(1000), HOUR).unwrap();
    }
    journal.hold(ids[3], "for good").unwrap();
    journal.hold(ids[5], "for good").unwrap();
    journal.delete(ids[5]).unwrap();
    let page = |after, most| -> Vec<_> {
        let found = journal.waiting(after, most).unwrap();
        found.into_iter().map(|one| one.id).collect()
    };
    assert_eq!(page(None, 10), ids[1..5]);
    assert_eq!(page(None, 2), ids[1..3]);
    assert_eq!(page(Some(ids[2]), 10), ids[3..5]);
    assert_eq!(page(Some(ids[4]), 10), []);
    let [first, .., last] = &*journal.waiting(None, 10).unwrap() else {
        panic!("nothing waits");
    };
    assert_eq!((first.room, first.attempts), (Room::Deferred, 1));
    let due = first.next_attempt.unwrap();
    assert!(due.0.abs_diff(later.0) < 60_000, "{due:?}, {later:?}");
    assert_eq!(first.reason.as_ref().unwrap().len(), 500);
    assert_eq!(last.length, 1);
    for none in [ids[5], absent()] {
        let found = journal.waiting_for(none);
        assert!(matches!(found, Ok(None)), "{found:?}");
    }
    let fresh = journal.waiting_for(ids[0]).unwrap().unwrap();
    assert_eq!((fresh.room, fresh.reason), (Room::Incoming, None));
    assert_eq!(journal.retry(ids[1]).unwrap(), Retried::Begun);
    assert_eq!(page(None, 10), ids[2..5]);
    let due = journal.work();
    assert!(due.contains(&(ids[1], None)), "{due:?}");
}

#[test]
fn a_reason_is_cut_between_two_characters() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let [deferred, held] = [b"one", b"two"].map(|body| scratch.adopt(&journal, body));
    let reason = "ö".repeat(3000);
    journal.defer(deferred, &reason, Duration::ZERO).unwrap();
    journal.hold(held, &format!("x{reason}")).unwrap();
    for (id, first) in [(deferred, 'ö'), (held, 'x')] {
        let told = journal.waiting_for(id).unwrap().unwrap().reason.unwrap();
        assert_eq!(told.chars().next(), Some(first));
        assert_eq!(told.chars().count(), 500);
        assert_eq!(told.chars().last(), Some('ö'));
    }
}
