//! Every call to the disk panics once: that costs the thread that made it, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::log::{check_three, content, is_logged, logging, restart, three};
use super::operations::{Entry, OPERATIONS, Place, Stage, check, check_after_restart, unchanged};
use super::scratch::{committed, draft};
use crate::file::{FileId, Window};
use crate::journal::{AdoptError, Adopted, Journal, Room};

type Outcome = Result<Vec<Adopted>, AdoptError>;

const BODY: &[u8] = b"one, two, three";

/// A way to take a body over.
type Way = fn(&Stage) -> Outcome;

const WAYS: [(&str, Way); 2] = [("a body", adopt), ("a form", adopt_form)];

fn adopt(stage: &Stage) -> Outcome {
    let adopted = stage.scratch.try_adopt(&stage.journal, BODY);
    adopted.map(|adopted| vec![adopted])
}

fn adopt_form(stage: &Stage) -> Outcome {
    let body = stage.scratch.spooled(BODY);
    let parts = [0, 5, 10].map(|offset| (Window { offset, length: 3 }, draft()));
    stage.journal.adopt_form(&body, parts.into())
}

/// Whether a thread that does this panics.
fn panics<T>(act: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

fn promised(id: FileId) -> (Entry, Vec<Place>) {
    let entry = Entry {
        name: "new",
        id,
        content: BODY.to_vec(),
        room: Room::Incoming,
    };
    (entry, vec![Some(Room::Incoming)])
}

fn assert_nothing_is_reserved(journal: &Journal, case: &str) {
    let reserved = journal.index().reserved;
    assert_eq!((reserved.entries, reserved.bytes), (0, 0), "{case}");
}

#[test]
fn an_adoption_that_panics_leaves_nothing_and_the_next_one_is_promised() {
    for (way, adopt) in WAYS {
        let stage = Stage::new();
        adopt(&stage).unwrap();
        let calls = stage.scratch.disk.calls();
        for (call, step) in calls.iter().enumerate() {
            let case = format!("{way}, {step}, call {call}");
            // All of the form is there, and nobody was told.
            let is_whole = way == "a form" && call == calls.len() - 1;
            let stage = Stage::new();
            stage.scratch.disk.panic_once(call);
            assert!(panics(|| adopt(&stage)), "{case}");
            stage.scratch.disk.heal();
            assert_nothing_is_reserved(&stage.journal, &case);
            let mut expected = unchanged(&stage);
            if is_whole {
                continue;
            }
            check(&case, &stage.scratch, &stage.journal, &expected);
            let again = adopt(&stage).expect(&case);
            expected.extend(again.iter().map(|adopted| promised(adopted.id())));
            check(&case, &stage.scratch, &stage.journal, &expected);
            let Stage {
                scratch, journal, ..
            } = stage;
            drop(journal);
            check_after_restart(&case, &scratch, &expected);
        }
    }
}

#[test]
fn a_group_of_the_log_that_panics_is_taken_back_and_the_next_one_is_written() {
    for (call, is_followed) in [(0, true), (1, true), (2, true), (2, false)] {
        let scratch = logging();
        let journal = scratch.journal();
        let first = scratch.adopt(&journal, b"first");
        scratch.disk.panic_once(call);
        assert!(panics(|| scratch.adopt(&journal, b"lost")), "{call}");
        assert_nothing_is_reserved(&journal, "in the log");
        scratch.disk.heal();
        let mut kept = vec![(first, b"first".to_vec())];
        if is_followed {
            kept.push((scratch.adopt(&journal, b"next"), b"next".to_vec()));
        }
        let journal = restart(&scratch, journal);
        for (id, body) in &kept {
            assert_eq!(&content(&journal, *id), body, "{call}");
        }
        let incoming = journal.totals(Room::Incoming).entries;
        assert_eq!(usize::try_from(incoming).unwrap(), kept.len(), "{call}");
    }
}

#[test]
fn an_operation_that_panics_loses_no_promise_and_can_be_done_again_without_a_restart() {
    for operation in &OPERATIONS {
        for call in 0..operation.calls() {
            let case = format!("{}, call {call}", operation.name);
            let stage = Stage::new();
            stage.scratch.disk.panic_once(call);
            assert!(panics(|| operation.run_on(&stage)), "{case}");
            stage.scratch.disk.heal();
            for entry in &stage.entries {
                let look = stage.journal.look(entry.id);
                assert!(look.is_ok(), "{case}: {look:?}");
            }
            // What was written half is in the way once, and a delete says that it was begun.
            for _ in 0..2 {
                drop(operation.run_on(&stage));
            }
            let mut expected = unchanged(&stage);
            for (entry, places) in &mut expected {
                if operation.targets.contains(&entry.name) {
                    *places = [&[operation.to], operation.between].concat();
                }
            }
            let Stage {
                scratch, journal, ..
            } = stage;
            drop(journal);
            check_after_restart(&case, &scratch, &expected);
        }
    }
}

#[test]
fn an_entry_whose_unpacking_panics_is_in_the_log_as_before_and_no_file_of_it_comes_back() {
    let (scratch, journal, [_, target, _]) = three();
    journal.unpack(target).unwrap();
    for (call, step) in scratch.disk.calls().iter().enumerate() {
        let case = format!("{step}, call {call}");
        let (scratch, journal, ids) = three();
        scratch.disk.panic_once(call);
        assert!(panics(|| journal.unpack(ids[1])), "{case}");
        scratch.disk.heal();
        assert!(is_logged(&journal, ids[1]), "{case}");
        check_three(&case, &journal, ids, &[Some(Room::Incoming)]);
        journal.settle(&committed(ids[1])).unwrap();
        journal.evict_settled().unwrap();
        let journal = restart(&scratch, journal);
        check_three(&case, &journal, ids, &[None]);
    }
}
