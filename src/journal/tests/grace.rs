//! The time for which settled bodies stay.

use std::thread;
use std::time::Duration;

use super::moves::{BODIES, linked};
use super::scratch::{LARGE, SMALL, Scratch, committed, content, room};
use super::stage::restart;
use crate::journal::Lookup;
use crate::journal::Room;

#[test]
fn settled_bodies_stay_for_their_grace_time_and_not_longer() {
    let mut scratch = Scratch::new();
    let journal = scratch.journal();
    let settled = BODIES.map(|body| scratch.adopt(&journal, body));
    let pending = scratch.adopt(&journal, LARGE);
    for id in settled {
        journal.settle(&committed(id)).unwrap();
    }
    assert_eq!(journal.evict_settled().unwrap(), 0);
    drop(journal);
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = restart("settled", &scratch);
    assert_eq!(journal.evict_settled().unwrap(), 2);
    assert_eq!(journal.evict_settled().unwrap(), 0);
    for id in settled {
        assert!(matches!(journal.lookup(id), Ok(Lookup::Absent)));
    }
    let names = Scratch::names(&scratch.layout().bodies());
    assert_eq!(names, [pending.to_string()]);
}

#[test]
fn settled_bodies_over_the_byte_budget_go_oldest_first() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_max_bytes = 10;
    let journal = scratch.journal();
    let ids: Vec<_> = (0..4).map(|_| scratch.adopt(&journal, SMALL)).collect();
    let order = [ids[2], ids[0], ids[3], ids[1]];
    for id in order {
        journal.settle(&committed(id)).unwrap();
        // The log's clock counts in milliseconds.
        let settled_at = journal.now();
        while journal.now() == settled_at {
            thread::yield_now();
        }
    }
    assert_eq!(journal.evict_settled().unwrap(), 2);
    let rooms = order.map(|id| room(&journal, id));
    let kept = Some(Room::Settled);
    assert_eq!(rooms, [None, None, kept, kept]);
    assert_eq!(journal.totals(Room::Settled).bytes, 10);
}

#[test]
fn a_scarce_disk_takes_all_settled_bodies_and_no_promised_one() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    let journal = scratch.journal();
    scratch.disk.set_free_bytes(1000);
    let settled = scratch.adopt(&journal, LARGE);
    let promised = scratch.adopt(&journal, LARGE);
    journal.settle(&committed(settled)).unwrap();
    assert_eq!(journal.evict_settled().unwrap(), 0);
    scratch.disk.set_free_bytes(999);
    assert_eq!(journal.evict_settled().unwrap(), 1);
    assert_eq!(content(&journal, promised).unwrap(), LARGE);
    assert_eq!(linked(&scratch), 1);
}
