//! Every call to the disk fails once, with every kind of error.

use super::disk::Fault;
use super::operations::{Entry, OPERATIONS, Place, Stage, check, check_after_restart, unchanged};
use super::scratch::{draft, room};
use crate::file::FileId;
use crate::journal::{AdoptError, Journal, Look, Room};

/// A new entry, promised by an adoption.
fn promised(id: FileId, content: &[u8]) -> (Entry, Vec<Place>) {
    let entry = Entry {
        name: "new",
        id,
        content: content.to_vec(),
        room: Room::Incoming,
    };
    (entry, vec![Some(Room::Incoming)])
}

/// Whether this entry was being deleted when an fsync failed: only a restart finds out what became of it.
fn is_deleted_perhaps(journal: &Journal, id: FileId) -> bool {
    journal.poison().is_some() && room(journal, id) == Some(Room::Deleted)
}

/// The calls that an adoption makes.
fn steps_of_an_adoption(content: Option<&[u8]>) -> Vec<&'static str> {
    let stage = Stage::new();
    let body = content.map(|content| stage.scratch.spooled(content));
    stage.journal.adopt(body.as_ref(), draft()).unwrap();
    stage.scratch.disk.calls()
}

#[test]
fn an_adoption_that_meets_one_failing_call_promises_all_or_leaves_nothing() {
    for content in [Some(&b"new"[..]), None] {
        for (call, step) in steps_of_an_adoption(content).into_iter().enumerate() {
            for fault in Fault::ALL {
                let case = format!("{step}, call {call}, {fault:?}, {content:?}");
                let stage = Stage::new();
                let body = content.map(|content| stage.scratch.spooled(content));
                stage.scratch.disk.fail_once(call, fault);
                let refusal = stage.journal.adopt(body.as_ref(), draft());
                let refusal = refusal.expect_err(&case);
                // Without a handle a directory is not even opened: no page can have been lost.
                let is_poisoned = step.starts_with("sync") && fault != Fault::TooManyFiles;
                assert_eq!(stage.journal.poison().is_some(), is_poisoned, "{case}");
                let is_no_space = matches!(refusal, AdoptError::NoSpace(_));
                assert_eq!(is_no_space, fault.is_no_space(), "{case}: {refusal}");
                check(&case, &stage.scratch, &stage.journal, &unchanged(&stage));

                stage.scratch.disk.heal();
                let again = stage.journal.adopt(body.as_ref(), draft());
                let mut expected = unchanged(&stage);
                if is_poisoned {
                    assert!(matches!(again, Err(AdoptError::Poisoned(_))), "{case}");
                } else {
                    let id = again.expect(&case).id();
                    expected.push(promised(id, content.unwrap_or_default()));
                }
                check(&case, &stage.scratch, &stage.journal, &expected);
                let Stage {
                    scratch, journal, ..
                } = stage;
                drop(journal);
                check_after_restart(&case, &scratch, &expected);
            }
        }
    }
}

#[test]
fn an_operation_that_meets_one_failing_call_loses_no_promise() {
    for operation in &OPERATIONS {
        for call in 0..operation.calls() {
            for fault in Fault::ALL {
                let stage = Stage::new();
                stage.scratch.disk.fail_once(call, fault);
                let is_ok = operation.run_on(&stage).is_ok();
                let calls = stage.scratch.disk.calls();
                let case = format!("{}, call {call} of {calls:?}, {fault:?}", operation.name);
                let entries = stage.entries.iter().cloned();
                let expected: Vec<_> = entries
                    .map(|entry| (entry.clone(), operation.places(&entry, is_ok)))
                    .collect();
                let Stage {
                    scratch, journal, ..
                } = stage;
                for (entry, _) in &expected {
                    let look = journal.look(entry.id);
                    let is_told = look.is_ok() || is_deleted_perhaps(&journal, entry.id);
                    assert!(is_told, "{case}: {look:?}");
                }
                drop(journal);
                check_after_restart(&case, &scratch, &expected);
            }
        }
    }
}

#[test]
fn an_operation_that_failed_once_can_be_done_again_without_a_restart() {
    for operation in &OPERATIONS {
        for call in 0..operation.calls() {
            for fault in Fault::ALL {
                let stage = Stage::new();
                stage.scratch.disk.fail_once(call, fault);
                let first = operation.run_on(&stage);
                let case = format!("{}, call {call}, {fault:?}: {first:?}", operation.name);
                stage.scratch.disk.heal();
                // A delete that has come half the way says so by its tombstone; what it did not
                // remove is the committer's to erase.
                let again = operation.run_on(&stage);
                let mut expected = unchanged(&stage);
                for (entry, places) in &mut expected {
                    if operation.targets.contains(&entry.name) {
                        *places = [&[operation.to], operation.between].concat();
                        let look = stage.journal.look(entry.id);
                        let is_told = look.is_ok() || is_deleted_perhaps(&stage.journal, entry.id);
                        assert!(is_told, "{case}, again {again:?}: {look:?}");
                    }
                }
                let Stage {
                    scratch, journal, ..
                } = stage;
                drop(journal);
                check_after_restart(&format!("{case}, again {again:?}"), &scratch, &expected);
            }
        }
    }
}

#[test]
fn an_unreadable_entry_loses_neither_record_nor_body_when_setting_it_aside_fails() {
    for call in 0..2 {
        for fault in Fault::ALL {
            let case = format!("call {call}, {fault:?}");
            let stage = Stage::new();
            let id = stage.id("begun");
            stage.scratch.disk.fail_once(call, fault);
            stage.journal.set_aside(id, "unreadable").expect_err(&case);
            let Stage {
                scratch, journal, ..
            } = stage;
            drop(journal);
            scratch.disk.heal();
            drop(scratch.open());
            let files = scratch.files();
            let name = id.to_string();
            let mine = files.iter().filter(|(path, _)| path.contains(&name));
            assert_eq!(mine.count(), 2, "{case}: {:?}", scratch.names());
            assert!(files.values().any(|content| content == b"begun"), "{case}");
        }
    }
}

#[test]
fn a_start_that_meets_a_failing_call_loses_nothing_and_the_next_one_succeeds() {
    let left_over = || {
        let stage = Stage::new();
        let layout = stage.scratch.layout();
        std::fs::write(layout.tmp().join("left"), b"").unwrap();
        let id = super::scratch::id;
        stage.scratch.forge_body(id(1), b"lone");
        stage.scratch.forge_record(Room::Settled, id(2), 4);
        stage.scratch.forge_record(Room::Incoming, id(3), 9);
        stage.scratch.forge_body(id(3), b"short");
        stage
            .scratch
            .forge_record(Room::Incoming, stage.id("deferred"), 8);
        let Stage {
            scratch,
            journal,
            entries,
        } = stage;
        drop(journal);
        scratch.disk.heal();
        (scratch, entries)
    };
    let (scratch, _) = left_over();
    drop(scratch.open());
    for call in 0..scratch.disk.calls().len() {
        for fault in Fault::ALL {
            let case = format!("call {call}, {fault:?}");
            let (scratch, entries) = left_over();
            scratch.disk.fail_once(call, fault);
            drop(scratch.try_open());
            scratch.disk.heal();
            let (journal, _) = scratch.try_open().expect(&case);
            for entry in entries {
                let found = room(&journal, entry.id);
                assert_eq!(found, Some(entry.room), "{case}: {}", entry.name);
            }
            let files = scratch.files();
            let corrupt = files
                .iter()
                .filter(|(name, _)| name.starts_with("corrupt/"));
            let corrupt: Vec<_> = corrupt.collect();
            assert_eq!(corrupt.len(), 2, "{case}: {:?}", scratch.names());
            assert!(corrupt.iter().any(|(_, content)| *content == b"short"));
            assert!(scratch.names().iter().all(|name| !name.contains("tmp/")));
        }
    }
}

#[test]
fn a_failed_fsync_ends_all_promises_and_nothing_else() {
    let stage = Stage::new();
    stage.scratch.disk.fail_once(0, Fault::Broken);
    let syncing = stage
        .journal
        .sync_directory(&stage.scratch.layout().bodies());
    assert!(syncing.is_err());
    stage.scratch.disk.heal();
    let reason = stage.journal.poison().unwrap();
    assert!(
        reason.contains("body") && reason.contains("error 5"),
        "{reason}"
    );
    let refusal = stage.scratch.try_adopt(&stage.journal, b"new").unwrap_err();
    assert!(matches!(refusal, AdoptError::Poisoned(_)));
    assert!(stage.journal.check_admission(1).is_err());
    for operation in OPERATIONS
        .iter()
        .filter(|operation| operation.name != "evict")
    {
        let stage = Stage::new();
        stage
            .journal
            .set_poison("a file", &std::io::Error::other("gone"));
        operation.run_on(&stage).unwrap();
    }
    let look = stage.journal.look(stage.id("waiting"));
    assert!(matches!(look, Ok(Look::Kept(_))), "downloads go on");
}

#[test]
fn a_page_that_another_thread_was_told_of_while_this_one_adopted_breaks_the_promise() {
    // fsync tells of a lost page once, to whoever asks first.
    let stage = Stage::new();
    let steps = steps_of_an_adoption(Some(b"new"));
    let body = stage.scratch.spooled(b"new");
    stage.scratch.disk.pause_at(steps.len() - 1);
    let refusal = std::thread::scope(|scope| {
        let adopting = scope.spawn(|| stage.journal.adopt(Some(&body), draft()));
        let lost = std::io::Error::other("gone");
        let tell = || stage.journal.set_poison("a file", &lost);
        stage.scratch.disk.during_pause(tell);
        adopting.join().unwrap()
    });
    assert!(matches!(refusal, Err(AdoptError::Poisoned(_))));
    check(
        "poisoned",
        &stage.scratch,
        &stage.journal,
        &unchanged(&stage),
    );
}
