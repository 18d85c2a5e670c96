//! Deletes of messages: after a cut at any moment, a message goes as a whole, together with its
//! parts.

use super::message::{SHAPES, check, try_adopt};
use super::scratch::{Scratch, committed};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{
    Adopted, AdoptedMessage, Deletion, Journal, Lookup, MessageDeletion, Room, Settling, Standing,
    Work,
};
use crate::message::links::{Linked, Reason, Unlinked};

fn files(adopted: &AdoptedMessage) -> Vec<FileId> {
    adopted.files.iter().map(Adopted::id).collect()
}

/// Returns all entries that wait for a commit.
fn waiting(journal: &Journal) -> Vec<FileId> {
    let work = journal.work().into_iter().map(|(id, _)| id);
    work.filter(|id| journal.is_pending(*id)).collect()
}

/// Checks that a message and all its parts are deleted, and that the committer has the work on
/// each.
fn check_gone(case: &str, scratch: &Scratch, journal: &Journal, adopted: &AdoptedMessage) {
    let (files, message) = (files(adopted), &adopted.message);
    let package = files[0];
    assert!(journal.message(package).unwrap().is_none(), "{case}");
    assert_eq!(waiting(journal), [], "{case}");
    let bodies = Scratch::names(&scratch.layout().bodies());
    assert!(bodies.is_empty(), "{case}: {bodies:?}");
    for &id in &files {
        let looked = journal.lookup(id).unwrap();
        assert!(matches!(looked, Lookup::Deleted), "{case}: {looked:?}");
        let Work::Erase { message: of, .. } = journal.open_work(id).unwrap() else {
            panic!("{case}: {id} is no delete");
        };
        let is_package = id == package;
        assert_eq!(of.as_ref(), Some(message).filter(|_| is_package), "{case}");
    }
    let again = journal.delete_message(package).unwrap();
    assert_eq!(again, MessageDeletion::Already, "{case}");
}

#[test]
fn a_cut_at_any_moment_of_a_delete_leaves_the_whole_message_or_nothing_of_it() {
    for parts in SHAPES {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let adopted = try_adopt(&scratch, &journal, parts).unwrap();
            scratch.disk.heal();
            journal.delete_message(adopted.files[0].id()).unwrap();
            check_gone("without a cut", &scratch, &journal, &adopted);
            scratch.disk.calls().len()
        };
        assert!(calls > parts.len());
        for call in 0..=calls {
            for tear in [None].into_iter().chain(Tear::ALL.map(Some)) {
                let case = format!("{} parts, cut before {call}, {tear:?}", parts.len());
                let scratch = Scratch::new();
                let journal = scratch.journal();
                let adopted = try_adopt(&scratch, &journal, parts).unwrap();
                let id = adopted.files[0].id();
                scratch.disk.stop_at(call);
                let deleted = journal.delete_message(id);
                drop(journal);
                scratch.disk.heal();
                if let Some(tear) = tear {
                    scratch.disk.set_tear(tear);
                    scratch.cut_power();
                }
                let journal = restart(&case, &scratch);
                if deleted.is_err() && journal.message(id).unwrap().is_some() {
                    assert_eq!(check(&case, &scratch, &journal, parts), id, "{case}");
                    continue;
                }
                check_gone(&case, &scratch, &journal, &adopted);
                // A start has made everything durable.
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                check_gone(&case, &scratch, &journal, &adopted);
            }
        }
    }
}

#[test]
fn a_call_that_fails_leaves_a_message_that_can_be_deleted_or_parts_that_a_start_unties() {
    for parts in SHAPES {
        for fault in [Fault::Full, Fault::Broken, Fault::Short] {
            for call in 0.. {
                let case = format!("{} parts, {fault:?} in {call}", parts.len());
                let scratch = Scratch::new();
                let journal = scratch.journal();
                let adopted = try_adopt(&scratch, &journal, parts).unwrap();
                let id = adopted.files[0].id();
                scratch.disk.fail_once(call, fault);
                let deleted = journal.delete_message(id);
                if call >= scratch.disk.calls().len() {
                    break;
                }
                scratch.disk.heal();
                let is_there = journal.message(id).unwrap().is_some();
                assert!(deleted.is_err() || !is_there, "{case}");
                drop(journal);
                let journal = restart(&case, &scratch);
                if is_there && journal.message(id).unwrap().is_some() {
                    journal.delete_message(id).unwrap();
                }
                check_gone(&case, &scratch, &journal, &adopted);
            }
        }
    }
}

#[test]
fn a_part_of_another_message_stays_with_it() {
    let other = FileId::from_bytes([9; FileId::BYTES]);
    for parts in SHAPES.into_iter().filter(|parts| !parts.is_empty()) {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let adopted = try_adopt(&scratch, &journal, parts).unwrap();
        let files = files(&adopted);
        assert_eq!(journal.link(files[1], other).unwrap(), Linked::Linked);
        journal.delete_message(files[0]).unwrap();
        drop(journal);
        for case in ["after a start", "after another"] {
            let journal = restart(case, &scratch);
            assert_eq!(waiting(&journal), [files[1]], "{case}");
            let Work::Commit { promised, .. } = journal.open_work(files[1]).unwrap() else {
                panic!("{case}: it is to be committed");
            };
            assert_eq!(promised.belonging.links, [other], "{case}");
            assert_eq!(journal.delete(files[1]).unwrap(), Deletion::Linked);
        }
    }
}

#[test]
fn the_store_alone_tells_of_a_message_and_of_parts_that_are_settled() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let adopted = try_adopt(&scratch, &journal, SHAPES[1]).unwrap();
    let files = files(&adopted);
    let settle = |id| journal.settle(&committed(id)).unwrap();
    // A part settles before its message, which is deleted afterwards.
    assert_eq!(settle(files[1]), Settling::Settled);
    journal.delete_message(files[0]).unwrap();
    assert!(matches!(journal.lookup(files[1]), Ok(Lookup::Absent)));
    assert_eq!(waiting(&journal), []);
    assert_eq!(settle(files[2]), Settling::Deleted);
    // A message settles, and the store deletes it.
    let adopted = try_adopt(&scratch, &journal, SHAPES[0]).unwrap();
    let files = self::files(&adopted);
    settle(files[0]);
    for _ in 0..2 {
        let deleted = journal.delete_message(files[0]).unwrap();
        assert_eq!(deleted, MessageDeletion::Settled(adopted.message.clone()));
        assert_eq!(journal.standing(files[0]), Standing::Committed);
    }
    for _ in 0..2 {
        journal.leave_settled(files[0]).unwrap();
        assert_eq!(journal.length(files[0]), None);
        let deleted = journal.delete_message(files[0]).unwrap();
        assert_eq!(deleted, MessageDeletion::NotHere);
    }
    // A part that waits does not leave, and a file is no message.
    journal.leave_settled(files[1]).unwrap();
    assert_eq!(journal.try_lookup(files[1]).unwrap(), Some(Room::Incoming));
    let deleted = journal.delete_message(files[1]).unwrap();
    assert_eq!(deleted, MessageDeletion::NotHere);
    assert_eq!(
        journal.unlink(files[1], files[0], Reason::Deleted).unwrap(),
        Unlinked::Last
    );
    assert!(matches!(journal.lookup(files[1]), Ok(Lookup::Deleted)));
}

#[test]
fn a_tombstone_that_is_copied_forward_still_tells_of_the_message() {
    for parts in SHAPES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let adopted = try_adopt(&scratch, &journal, parts).unwrap();
        journal.delete_message(adopted.files[0].id()).unwrap();
        for id in files(&adopted) {
            journal.copy_one(id).unwrap();
        }
        check_gone("copied", &scratch, &journal, &adopted);
        drop(journal);
        let journal = restart("copied", &scratch);
        check_gone("copied", &scratch, &journal, &adopted);
        for id in files(&adopted) {
            journal.erase(id).unwrap();
            assert!(matches!(journal.lookup(id), Ok(Lookup::Absent)));
        }
    }
}
