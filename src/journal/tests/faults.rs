//! Every call to the disk fails once, with every kind of error.

use std::fs;
use std::thread;
use std::time::Duration;

use super::adoption::pending;
use super::scratch::{LARGE, SMALL, Scratch, absent, content, draft, room};
use super::stage::{Entry, OPERATIONS, Operation, Stage, WAYS, check, restart, restart_and_tell};
use crate::journal::Journal;
use crate::journal::tests::disk::FaultyDisk;
use crate::journal::tests::fault::Fault;
use crate::journal::{AdoptError, LocalDisk};

/// The failing part: an operation on an entry that came in one way.
struct Failing<'a> {
    operation: &'a Operation,
    way: &'a str,
    call: usize,
    fault: Fault,
}

impl Failing<'_> {
    /// Whether the operation succeeded although a call failed; if a repetition may help, it is
    /// repeated.
    fn run(&self, case: &str) {
        let Operation { state, to, .. } = *self.operation;
        let stage = Stage::new();
        let Entry { id, place, .. } = *stage.entry(self.way, state);
        stage.scratch.disk.fail_once(self.call, self.fault);
        let done = (self.operation.run)(&stage.journal, id);
        stage.scratch.disk.heal();
        let between = self.operation.between;
        let mut places = if done.is_ok() {
            vec![to]
        } else {
            [&[place, to], between].concat()
        };
        if done.is_err() && stage.journal.poison().is_none() {
            // An operation that was half done goes on from there.
            let again = (self.operation.run)(&stage.journal, id);
            assert!(again.is_ok(), "{case}, again: {again:?}");
            places = [&[to], between].concat();
        }
        let found = room(&stage.journal, id);
        assert!(places.contains(&found), "{case}: {found:?}, {places:?}");
        let others = stage.entries.iter().filter(|other| other.id != id);
        for other in others {
            let name = &other.name;
            assert_eq!(
                room(&stage.journal, other.id),
                other.place,
                "{case}: {name}"
            );
            let look = stage.journal.lookup(other.id);
            assert!(look.is_ok(), "{case}: {name}: {look:?}");
        }
        let Stage {
            scratch,
            journal,
            mut entries,
        } = stage;
        drop(journal);
        restart_and_tell(case, &scratch, &mut entries, id, &places);
    }
}

#[test]
fn an_operation_that_meets_one_failing_call_loses_nothing_and_can_be_done_again() {
    for operation in &OPERATIONS {
        for way in WAYS {
            for call in 0..operation.calls(way) {
                for fault in Fault::ALL {
                    let name = operation.name;
                    let case = format!("{way}, {name}, {fault:?} in {call}");
                    let failing = Failing {
                        operation,
                        way,
                        call,
                        fault,
                    };
                    failing.run(&case);
                }
            }
        }
    }
}

/// Whether any file of a directory contains these bytes.
fn has(directory: &std::path::Path, bytes: &[u8]) -> bool {
    Scratch::names(directory).iter().any(|name| {
        let found = fs::read(directory.join(name)).unwrap();
        found.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn an_unreadable_entry_loses_neither_record_nor_body_when_setting_it_aside_fails() {
    let aside = |stage: &Stage, way| {
        let id = stage.entry(way, "begun").id;
        stage.journal.set_aside(id, "unreadable")
    };
    for way in WAYS {
        let calls = {
            let stage = Stage::new();
            aside(&stage, way).unwrap();
            stage.scratch.disk.calls()
        };
        for call in 0..calls.len() {
            for fault in Fault::ALL {
                let case = format!("{way}, {fault:?} in {call} of {calls:?}");
                let stage = Stage::new();
                let entry = stage.entry(way, "begun").clone();
                stage.scratch.disk.fail_once(call, fault);
                let done = aside(&stage, way);
                let Stage {
                    scratch, journal, ..
                } = stage;
                drop(journal);
                scratch.disk.heal();
                let (journal, _) = scratch.try_open().expect(&case);
                assert!(
                    done.is_err() || room(&journal, entry.id).is_none(),
                    "{case}"
                );
                let layout = scratch.layout();
                let places = [layout.bodies(), layout.wal(), layout.corrupt()];
                let is_there = places.iter().any(|path| has(path, &entry.content));
                assert!(is_there, "{case}");
                journal.set_aside(entry.id, "unreadable").expect(&case);
                assert_eq!(room(&journal, entry.id), None, "{case}");
                assert!(has(&layout.corrupt(), &entry.content), "{case}");
            }
        }
    }
}

#[test]
fn a_start_that_meets_a_failing_call_loses_nothing_and_the_next_one_succeeds() {
    let left_over = || {
        let Stage {
            scratch,
            journal,
            mut entries,
        } = Stage::new();
        drop(journal);
        let layout = scratch.layout();
        fs::write(layout.body(absent()), b"lone").unwrap();
        // One entry was being evicted.
        let name = "linked, settled";
        let evicted = entries.iter_mut().find(|entry| entry.name == name);
        let evicted = evicted.unwrap();
        fs::remove_file(layout.body(evicted.id)).unwrap();
        evicted.place = None;
        scratch.disk.heal();
        (scratch, entries)
    };
    let (scratch, _) = left_over();
    drop(scratch.journal());
    let calls = scratch.disk.calls();
    assert!(calls.len() > 5, "{calls:?}");
    for call in 0..calls.len() {
        for fault in Fault::ALL {
            let case = format!("{fault:?} in {call} of {calls:?}");
            let (scratch, entries) = left_over();
            scratch.disk.fail_once(call, fault);
            let opened = scratch.try_open();
            if let Ok((journal, _)) = opened {
                check(&case, &scratch, &journal, &entries);
            }
            let journal = restart(&case, &scratch);
            check(&case, &scratch, &journal, &entries);
            drop(journal);
            scratch.cut_power();
            let journal = restart(&case, &scratch);
            check(&format!("{case}, cut"), &scratch, &journal, &entries);
        }
    }
}

#[test]
fn a_page_that_another_thread_was_told_of_while_this_one_adopted_breaks_the_promise() {
    // fsync reports a lost page only once, to the first caller.
    for body in [SMALL, LARGE] {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.adopt(&journal, b"before");
            scratch.disk.heal();
            scratch.adopt(&journal, body);
            scratch.disk.calls()
        };
        let syncs = (0..calls.len()).filter(|&call| calls[call].starts_with("sync"));
        for call in syncs {
            let case = format!("call {call} of {calls:?}");
            let scratch = Scratch::new();
            let journal = scratch.journal();
            let before = scratch.adopt(&journal, b"before");
            let spooled = scratch.spooled(body);
            scratch.disk.pause_at(call);
            let refusal = thread::scope(|scope| {
                let adopting = scope.spawn(|| journal.adopt(Some(&spooled), draft()));
                scratch.disk.during_pause(|| {
                    scratch.disk.fail_then(call + 1, Fault::Broken);
                    journal.wal.volume().sync_names().unwrap_err();
                });
                adopting.join().unwrap()
            });
            let is_refused = matches!(refusal, Err(AdoptError::Poisoned(_)));
            assert!(is_refused, "{case}: {refusal:?}");
            assert_eq!(pending(&journal), [before], "{case}");
            scratch.disk.heal();
            let reason = journal.poison().unwrap().to_owned();
            assert!(reason.contains("error 5"), "{reason}");
            assert!(journal.check_admission(1).is_err(), "{case}");
            assert_eq!(content(&journal, before).unwrap(), b"before", "{case}");
        }
    }
}

#[test]
fn a_spool_file_that_cannot_be_removed_goes_the_next_time() {
    for fault in Fault::ALL {
        let mut scratch = Scratch::new();
        scratch.limits.spool_orphan = Duration::ZERO;
        let journal = scratch.journal();
        let orphan = scratch.layout().spool().join("0000000007");
        fs::write(&orphan, b"left").unwrap();
        scratch.disk.heal();
        scratch.disk.fail_once(0, fault);
        journal.remove_spool_orphans().unwrap_err();
        assert!(orphan.exists(), "{fault:?}");
        assert_eq!(journal.remove_spool_orphans().unwrap(), 1, "{fault:?}");
        assert!(!orphan.exists() && journal.poison().is_none(), "{fault:?}");
    }
}

#[test]
fn a_journal_that_was_made_half_is_no_journal_until_it_is_made_again() {
    let steps = {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(directory.path().join("graveyard"));
        Journal::init(&directory.path().join("data"), &disk).unwrap();
        disk.calls()
    };
    assert!(steps.len() > 2, "{steps:?}");
    for (call, step) in steps.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("{step}, {fault:?}");
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path().join("data");
            let disk = FaultyDisk::new(directory.path().join("graveyard"));
            disk.fail_once(call, fault);
            Journal::init(&data, &disk).expect_err(&case);
            disk.heal();
            Journal::init(&data, &disk).expect(&case);
            Journal::check(&data, &LocalDisk).expect(&case);
        }
    }
}

#[test]
fn an_upload_is_refused_and_leaves_nothing_when_nobody_can_tell_how_many_inodes_are_free() {
    for fault in Fault::ALL {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        for body in [SMALL, LARGE] {
            scratch.disk.fail_inodes(Some(fault));
            scratch.try_adopt(&journal, body).unwrap_err();
            assert!(pending(&journal).is_empty(), "{fault:?}");
            assert!(
                Scratch::names(&scratch.layout().bodies()).is_empty(),
                "{fault:?}"
            );
            assert!(journal.poison().is_none(), "{fault:?}");
            scratch.disk.fail_inodes(None);
        }
        scratch.adopt(&journal, LARGE);
    }
}
