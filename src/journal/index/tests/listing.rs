//! Lists entries in the order of their ids, while others come and leave.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::journal::{Journal, why};
use super::lots::Lots;
use crate::file::FileId;
use crate::journal::index::slot::Slot;
use crate::journal::index::{Index, Listing, OldestLook, Phase};
use crate::journal::record::tests::samples::id;
use crate::journal::record::{LogTime, Subject};

const PUT_OFF: &[Phase] = &[Phase::Deferred, Phase::Held];

/// This is more than a few slices.
const MANY: u32 = 100_000;

fn number_id(number: u32) -> FileId {
    let [a, b, c, d] = number.to_be_bytes();
    FileId::from_bytes([a, b, c, d, 0, 1, 0, 0, 0, 0, 0, 0])
}

/// Returns ids in no order, like those in the slots after some time.
fn mixed_id(number: u32) -> FileId {
    number_id(number.wrapping_mul(2_654_435_761))
}

fn list(index: &Index, after: Option<FileId>, most: usize) -> Vec<FileId> {
    let mut listing = Listing::new(PUT_OFF, after, most);
    loop {
        if let ControlFlow::Break(found) = index.list(&mut listing) {
            return found;
        }
    }
}

fn oldest(index: &mut Index) -> Option<FileId> {
    let mut look = OldestLook::default();
    loop {
        if let ControlFlow::Break(oldest) = index.oldest_pending(&mut look) {
            return oldest;
        }
    }
}

fn put(index: &mut Index, id: FileId, phase: Phase) {
    index.insert(Slot::new(id, phase, 1, Subject(1)));
}

fn leave(index: &mut Index, id: FileId) {
    let number = index.number(id).unwrap();
    index.remove(number);
}

#[test]
fn what_is_put_off_or_held_is_listed_in_pages() {
    let mut journal = Journal::with(&[1, 2, 3, 4, 5, 6].map(id));
    for number in [2, 3, 5] {
        let (index, log) = (&mut journal.index, &mut journal.log);
        index.defer(id(number), LogTime(60), why(), log).unwrap();
    }
    journal.index.hold(id(4), why(), &mut journal.log).unwrap();
    assert_eq!(list(&journal.index, None, 10), [], "nobody was told yet");
    journal.sync();
    assert_eq!(list(&journal.index, None, 10), [2, 3, 4, 5].map(id));
    assert_eq!(list(&journal.index, None, 2), [2, 3].map(id));
    assert_eq!(list(&journal.index, Some(id(3)), 10), [4, 5].map(id));
    assert_eq!(list(&journal.index, Some(id(5)), 10), []);
    assert_eq!(list(&journal.index, None, 0), []);
    journal.delete(id(4)).unwrap();
    journal.sync();
    assert_eq!(list(&journal.index, Some(id(2)), 1), [id(3)]);
    assert_eq!(list(&journal.index, Some(id(3)), 9), [id(5)]);
}

/// Between two slices, hundreds of entries leave and come. All that stay are found, each once.
#[test]
fn no_entry_that_stays_is_missed_whatever_leaves_while_it_is_looked_for() {
    for seed in 1..=6 {
        let mut lots = Lots(seed);
        let mut index = Index::default();
        let mut movers = Vec::new();
        let mut staying = BTreeSet::new();
        for number in 0..MANY {
            let id = mixed_id(number);
            if lots.draw(3) == 0 {
                put(&mut index, id, Phase::Held);
                staying.insert(id);
            } else {
                put(
                    &mut index,
                    id,
                    [Phase::Deferred, Phase::Settled][lots.draw(2)],
                );
                movers.push(id);
            }
        }
        let most = [10, 1000, usize::MAX][lots.draw(3)];
        let mut listing = Listing::new(&[Phase::Held], None, most);
        let (mut slices, mut made) = (0, MANY);
        let found = loop {
            slices += 1;
            if let ControlFlow::Break(found) = index.list(&mut listing) {
                break found;
            }
            for _ in 0..lots.draw(20_000).min(movers.len()) {
                let at = lots.draw(movers.len());
                leave(&mut index, movers.swap_remove(at));
            }
            for _ in 0..lots.draw(300) {
                let id = mixed_id(made);
                made += 1;
                movers.push(id);
                put(&mut index, id, Phase::Deferred);
            }
        };
        assert!(slices > 2, "{slices} slices");
        let first: Vec<_> = staying.into_iter().take(most).collect();
        assert!(found == first, "{} found of {}", found.len(), first.len());
    }
}

#[test]
fn the_oldest_promised_entry_is_known_whatever_comes_and_leaves() {
    let mut lots = Lots(7);
    let mut index = Index::default();
    let mut there = BTreeSet::new();
    assert_eq!(oldest(&mut index), None);
    for step in 0..3_000 {
        // Ids are made in order, except after a clock was set back.
        let is_back = lots.draw(10) == 0;
        let id = number_id(if is_back {
            2 * step + 1
        } else {
            2 * step + 1000
        });
        match lots.draw(5) {
            0..2 => {
                put(&mut index, id, Phase::Waiting);
                there.insert(id);
            }
            2 => {
                if let Some(first) = there.pop_first() {
                    leave(&mut index, first);
                }
            }
            3 => {
                let all: Vec<_> = there.iter().copied().collect();
                if let Some(any) = lots.pick(&all) {
                    let phase = [Phase::Held, Phase::Deferred, Phase::Settled][lots.draw(3)];
                    let number = index.number(any).unwrap();
                    index.edit(number, |slot| slot.phase = phase);
                    if phase == Phase::Settled {
                        there.remove(&any);
                    }
                }
            }
            _ => {}
        }
        if lots.draw(3) == 0 {
            assert_eq!(oldest(&mut index), there.first().copied(), "step {step}");
        }
    }
    assert!(there.len() > 10);
}

#[test]
fn the_oldest_is_not_looked_for_as_long_as_it_stays_and_looks_side_by_side_do_no_harm() {
    let mut index = Index::default();
    for number in 1..MANY {
        put(&mut index, number_id(10 * number), Phase::Waiting);
    }
    let is_known = |index: &mut Index, id| {
        let known = index.oldest_pending(&mut OldestLook::default());
        known == ControlFlow::Break(Some(number_id(id)))
    };
    let finish = |index: &mut Index, look: &mut OldestLook| loop {
        if let ControlFlow::Break(found) = index.oldest_pending(look) {
            return found;
        }
    };
    let again = ControlFlow::Continue(());
    assert!(is_known(&mut index, 10));
    leave(&mut index, number_id(10));
    let mut looks = [OldestLook::default(), OldestLook::default()];
    assert_eq!(index.oldest_pending(&mut looks[0]), again);
    // Clocks were set back: ids behind the look are older than the ids that it finds.
    put(&mut index, number_id(9), Phase::Waiting);
    assert!(is_known(&mut index, 9));
    leave(&mut index, number_id(9));
    assert_eq!(index.oldest_pending(&mut looks[1]), again);
    put(&mut index, number_id(8), Phase::Growing);
    for look in &mut looks {
        assert_eq!(finish(&mut index, look), Some(number_id(20)));
    }
    assert!(is_known(&mut index, 20));
    leave(&mut index, number_id(20));
    let mut look = OldestLook::default();
    assert_eq!(index.oldest_pending(&mut look), again);
    put(&mut index, number_id(25), Phase::Waiting);
    assert_eq!(finish(&mut index, &mut look), Some(number_id(25)));
    assert!(is_known(&mut index, 25));
}
