//! Links of files that wait for their commit.

use std::collections::BTreeSet;
use std::thread;

use super::cuts::{TEARS, lose};
use super::message::belonging_of;
use super::moves::BODIES;
use super::scratch::{LARGE, SMALL, Scratch, committed, content, room};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::{Journal, Room, Settling, Work};
use crate::message::MOST_LINKS;
use crate::message::links::Reason::{Deleted, NeverPromised};
use crate::message::links::{Linked, Unlinked};

fn message(number: u8) -> FileId {
    FileId::from_bytes([number; FileId::BYTES])
}

fn links_of(journal: &Journal, id: FileId) -> BTreeSet<FileId> {
    belonging_of(journal, id).links.into_iter().collect()
}

#[test]
fn a_file_has_the_links_that_were_told_and_goes_with_the_last_one() {
    for body in BODIES {
        let scratch = Scratch::new();
        let mut journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        for (number, count) in [(1, 1), (2, 2), (1, 2)] {
            let linked = journal.link(id, message(number)).unwrap();
            assert_eq!(linked, Linked::Linked);
            assert_eq!(links_of(&journal, id).len(), count);
        }
        drop(journal);
        journal = restart("linked", &scratch);
        assert_eq!(links_of(&journal, id), [1, 2].map(message).into());
        assert_eq!(content(&journal, id).unwrap(), body);
        let unlink =
            |journal: &Journal, number| journal.unlink(id, message(number), Deleted).unwrap();
        assert_eq!(unlink(&journal, 3), Unlinked::NotLinked);
        assert_eq!(unlink(&journal, 1), Unlinked::Stays);
        assert_eq!(unlink(&journal, 1), Unlinked::NotLinked);
        drop(journal);
        journal = restart("unlinked once", &scratch);
        assert_eq!(links_of(&journal, id), [message(2)].into());
        scratch.announced();
        assert_eq!(unlink(&journal, 2), Unlinked::Last);
        assert_eq!(scratch.announced().len(), 1);
        assert_eq!(room(&journal, id), Some(Room::Deleted));
        assert!(Scratch::names(&scratch.layout().bodies()).is_empty());
        assert_eq!(journal.link(id, message(4)).unwrap(), Linked::Gone);
        assert_eq!(unlink(&journal, 2), Unlinked::NotLinked);
        drop(journal);
        let journal = restart("gone", &scratch);
        assert_eq!(room(&journal, id), Some(Room::Deleted));
    }
}

#[test]
fn a_file_stays_after_a_message_with_it_was_not_promised_unless_a_promised_one_had_it() {
    for body in BODIES {
        let scratch = Scratch::new();
        let mut journal = scratch.journal();
        let [plain, forwarded] = [(); 2].map(|()| scratch.adopt(&journal, body));
        journal.link(plain, message(1)).unwrap();
        for number in [1, 2] {
            journal.link(forwarded, message(number)).unwrap();
        }
        let undone = journal.unlink(plain, message(1), NeverPromised).unwrap();
        assert_eq!(undone, Unlinked::Stays);
        // The message that had it is deleted while another one may still be promised.
        let unlinked = journal.unlink(forwarded, message(1), Deleted).unwrap();
        assert_eq!(unlinked, Unlinked::Stays);
        drop(journal);
        journal = restart("undone", &scratch);
        assert_eq!(links_of(&journal, plain), BTreeSet::new());
        assert_eq!(content(&journal, plain).unwrap(), body);
        journal.copy_one(forwarded).unwrap();
        let undone = journal.unlink(forwarded, message(2), NeverPromised);
        assert_eq!(undone.unwrap(), Unlinked::Last);
        // It can be linked as before, and goes with the last message that had it.
        journal.link(plain, message(3)).unwrap();
        let unlinked = journal.unlink(plain, message(3), Deleted).unwrap();
        assert_eq!(unlinked, Unlinked::Last);
    }
}

#[test]
fn the_store_is_asked_for_the_links_of_a_file_that_does_not_wait_here() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let settled = scratch.adopt(&journal, SMALL);
    journal.settle(&committed(settled)).unwrap();
    for id in [settled, super::scratch::absent()] {
        assert_eq!(journal.link(id, message(2)).unwrap(), Linked::Absent);
        assert_eq!(
            journal.unlink(id, message(2), Deleted).unwrap(),
            Unlinked::Absent
        );
    }
}

#[test]
fn a_file_that_waits_has_no_more_links_than_a_stored_one() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, SMALL);
    let number = |number: usize| {
        let mut bytes = [0; FileId::BYTES];
        bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
        FileId::from_bytes(bytes)
    };
    for one in 0..MOST_LINKS {
        assert_eq!(journal.link(id, number(one)).unwrap(), Linked::Linked);
        journal.evict_settled().unwrap();
    }
    assert_eq!(journal.link(id, number(MOST_LINKS)).unwrap(), Linked::Full);
    assert_eq!(journal.link(id, number(7)).unwrap(), Linked::Linked);
}

#[test]
fn a_commit_that_began_before_a_link_does_not_settle_the_file() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        let settle = || journal.settle(&committed(id)).unwrap();
        drop(journal.open_work(id).unwrap());
        journal.link(id, message(1)).unwrap();
        assert_eq!(settle(), Settling::Relinked);
        assert_eq!(room(&journal, id), Some(Room::Incoming));
        assert_eq!(links_of(&journal, id), [message(1)].into());
        journal.link(id, message(2)).unwrap();
        assert_eq!(settle(), Settling::Relinked);
        drop(journal.open_work(id).unwrap());
        journal.unlink(id, message(1), Deleted).unwrap();
        assert_eq!(settle(), Settling::Relinked);
        assert_eq!(links_of(&journal, id), [message(2)].into());
        // A copy changes no link.
        journal.copy_one(id).unwrap();
        assert_eq!(settle(), Settling::Settled);
    }
}

#[test]
fn a_cut_at_any_moment_of_an_unlink_leaves_the_file_or_lets_it_go() {
    for (body, others) in [(SMALL, 0), (SMALL, 1), (LARGE, 0), (LARGE, 1)] {
        let stage = || {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let id = scratch.adopt(&journal, body);
            for number in 0..=others {
                journal.link(id, message(number)).unwrap();
            }
            scratch.disk.heal();
            (scratch, journal, id)
        };
        let calls = {
            let (scratch, journal, id) = stage();
            journal.unlink(id, message(0), Deleted).unwrap();
            scratch.disk.calls().len()
        };
        for call in 0..=calls {
            for tear in TEARS {
                let case = format!("{others} others, cut before {call}, {tear:?}");
                let (scratch, journal, id) = stage();
                scratch.disk.stop_at(call);
                let unlinked = journal.unlink(id, message(0), Deleted);
                drop(journal);
                lose(&scratch, tear);
                let mut found = None;
                for _ in 0..2 {
                    let journal = restart(&case, &scratch);
                    let links = match room(&journal, id) {
                        Some(Room::Deleted) => None,
                        _ => Some(links_of(&journal, id)),
                    };
                    let before = (0..=others).map(message).collect();
                    let after: BTreeSet<_> = (1..=others).map(message).collect();
                    let after = Some(after).filter(|after| !after.is_empty());
                    assert!(links == after || links == Some(before), "{case}: {links:?}");
                    assert!(unlinked.is_err() || links == after, "{case}: {links:?}");
                    let kept = links.is_some().then_some(body);
                    assert_eq!(content(&journal, id).as_deref(), kept, "{case}");
                    // The outcome was reported: no power cut takes it back.
                    assert_eq!(*found.get_or_insert_with(|| links.clone()), links, "{case}");
                    drop(journal);
                    scratch.cut_power();
                }
            }
        }
    }
}

#[test]
fn of_a_last_unlink_and_a_new_link_at_once_one_is_told_that_it_was_too_late() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for _ in 0..200 {
        let id = scratch.adopt(&journal, SMALL);
        journal.link(id, message(1)).unwrap();
        let (linked, unlinked, settled) = thread::scope(|scope| {
            let linked = scope.spawn(|| journal.link(id, message(2)).unwrap());
            let unlinked = scope.spawn(|| journal.unlink(id, message(1), Deleted).unwrap());
            let settled = scope.spawn(|| match journal.open_work(id).unwrap() {
                Work::Commit { promised, .. } => {
                    let links: BTreeSet<_> = promised.belonging.links.into_iter().collect();
                    Some((links, journal.settle(&committed(id)).unwrap()))
                }
                Work::Erase { .. } | Work::Undo { .. } | Work::Nothing => None,
            });
            (
                linked.join().unwrap(),
                unlinked.join().unwrap(),
                settled.join().unwrap(),
            )
        });
        let is_deleted = room(&journal, id) == Some(Room::Deleted);
        // A settled file belongs to the store, and so do its links from then on.
        if let Some((links, Settling::Settled)) = settled {
            let in_journal = [
                (unlinked == Unlinked::Absent).then(|| message(1)),
                (linked == Linked::Linked).then(|| message(2)),
            ];
            let expected: BTreeSet<_> = in_journal.into_iter().flatten().collect();
            assert_eq!(links, expected, "{linked:?} {unlinked:?}");
            continue;
        }
        match (linked, unlinked) {
            (Linked::Linked, Unlinked::Stays) => {
                assert_eq!(links_of(&journal, id), [message(2)].into());
                assert_eq!(
                    journal.unlink(id, message(2), Deleted).unwrap(),
                    Unlinked::Last
                );
            }
            (Linked::Gone, Unlinked::Last) => assert!(is_deleted),
            other => panic!("{other:?}, {settled:?}"),
        }
        journal.erase(id).unwrap();
    }
}
