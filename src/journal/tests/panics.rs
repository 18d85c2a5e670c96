//! Every call to the disk panics once: only the calling thread is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::adoption::{WAYS_IN, adopt, pending};
use super::scratch::{LARGE, Scratch, content, room};
use super::stage::{OPERATIONS, Stage, WAYS, check, restart, restart_and_tell};
use crate::journal::Journal;

/// Returns whether a thread panics in this function.
fn panics<T>(act: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

fn assert_nothing_is_reserved(journal: &Journal, case: &str) {
    let reserved = journal.state().reserved;
    assert_eq!((reserved.entries, reserved.bytes), (0, 0), "{case}");
}

/// Checks that everything pending can be read.
fn assert_whole(case: &str, scratch: &Scratch, journal: &Journal) {
    let ids = pending(journal);
    let mut linked = 0;
    for &id in &ids {
        assert!(content(journal, id).is_some(), "{case}: {id}");
        linked += usize::from(scratch.layout().body(id).exists());
    }
    let bodies = Scratch::names(&scratch.layout().bodies());
    assert_eq!(bodies.len(), linked, "{case}: {bodies:?}, {ids:?}");
}

#[test]
fn an_adoption_that_panics_leaves_nothing_and_the_next_one_is_promised() {
    for way in 0..WAYS_IN {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.heal();
            adopt(&scratch, &journal, way).unwrap();
            scratch.disk.calls()
        };
        for call in 0..calls.len() {
            let case = format!("way {way}, call {call} of {calls:?}");
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.panic_once(call);
            assert!(panics(|| adopt(&scratch, &journal, way)), "{case}");
            scratch.disk.heal();
            assert_nothing_is_reserved(&journal, &case);
            let untold = pending(&journal);
            // The head that confirms a group is written after the promise.
            assert!(untold.is_empty() || call == calls.len() - 1, "{case}");
            assert_whole(&case, &scratch, &journal);
            let again = adopt(&scratch, &journal, way).expect(&case);
            let here = pending(&journal);
            assert_eq!(here.len(), untold.len() + again.len(), "{case}");
            assert_whole(&case, &scratch, &journal);
            drop(journal);
            scratch.cut_power();
            let journal = restart(&case, &scratch);
            assert_eq!(pending(&journal), here, "{case}");
            assert_whole(&case, &scratch, &journal);
        }
    }
}

#[test]
fn a_group_that_panics_is_taken_back_though_nothing_comes_behind_it() {
    for call in 0..4 {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let first = scratch.adopt(&journal, b"first");
        scratch.disk.panic_once(call);
        let is_panic = panics(|| scratch.adopt(&journal, b"lost"));
        assert!(is_panic, "{call}");
        scratch.disk.heal();
        let told = pending(&journal);
        assert!(told == [first] || call == 3, "{call}");
        drop(journal);
        let journal = restart("panicked", &scratch);
        assert_eq!(pending(&journal), told, "{call}");
        assert_eq!(content(&journal, first).unwrap(), b"first", "{call}");
    }
}

#[test]
fn an_operation_that_panics_loses_no_promise_and_can_be_done_again_without_a_restart() {
    for operation in &OPERATIONS {
        for way in WAYS {
            for call in 0..operation.calls(way) {
                let case = format!("{way}, {}, call {call}", operation.name);
                let stage = Stage::new();
                let id = stage.entry(way, operation.state).id;
                stage.scratch.disk.panic_once(call);
                let is_panic = panics(|| (operation.run)(&stage.journal, id));
                assert!(is_panic, "{case}");
                stage.scratch.disk.heal();
                for entry in &stage.entries {
                    let look = stage.journal.lookup(entry.id);
                    assert!(look.is_ok(), "{case}: {}: {look:?}", entry.name);
                }
                // The operation may have happened.
                drop((operation.run)(&stage.journal, id));
                let places = [&[operation.to], operation.between].concat();
                let found = room(&stage.journal, id);
                assert!(places.contains(&found), "{case}: {found:?}");
                let Stage {
                    scratch,
                    journal,
                    mut entries,
                } = stage;
                drop(journal);
                restart_and_tell(&case, &scratch, &mut entries, id, &places);
            }
        }
    }
}

#[test]
fn an_eviction_that_panics_lets_deletes_go_on_and_the_next_one_ends_it() {
    let calls = {
        let stage = Stage::new();
        stage.journal.evict_settled().unwrap();
        stage.scratch.disk.calls()
    };
    for call in 0..calls.len() {
        let case = format!("call {call} of {calls:?}");
        let mut stage = Stage::new();
        stage.scratch.disk.panic_once(call);
        let is_panic = panics(|| stage.journal.evict_settled());
        assert!(is_panic, "{case}");
        stage.scratch.disk.heal();
        let deleted = stage.entry("linked", "settled").id;
        // It does not wait for a lost thread.
        stage.journal.delete(deleted).expect(&case);
        stage.journal.evict_settled().expect(&case);
        for entry in &mut stage.entries {
            if entry.name.ends_with(" settled") {
                entry.place = None;
            }
        }
        check(&case, &stage.scratch, &stage.journal, &stage.entries);
        stage.scratch.adopt(&stage.journal, LARGE);
    }
}
