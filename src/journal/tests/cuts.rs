//! Every operation is cut before each of its calls to the disk: by a kill, and by a power cut that
//! loses unsynced data. The state that a start then finds has to survive a power cut too.

use super::scratch::{Scratch, room};
use super::stage::{Entry, OPERATIONS, Operation, Stage, WAYS, restart_and_tell};
use crate::journal::Room;
use crate::journal::tests::unsynced::Tear;

pub(super) const TEARS: [Option<Tear>; 7] = [
    None,
    Some(Tear::Nothing),
    Some(Tear::Half),
    Some(Tear::End),
    Some(Tear::All),
    Some(Tear::Sectors(1)),
    Some(Tear::Sectors(2)),
];

/// Removes the data that a cut loses. A kill loses none.
pub(super) fn lose(scratch: &Scratch, tear: Option<Tear>) {
    scratch.disk.heal();
    if let Some(tear) = tear {
        scratch.disk.set_tear(tear);
        scratch.cut_power();
    }
}

impl Operation {
    /// Returns the number of its calls to the disk.
    pub(super) fn calls(&self, way: &str) -> usize {
        let stage = Stage::new();
        let id = stage.entry(way, self.state).id;
        (self.run)(&stage.journal, id).unwrap();
        stage.scratch.disk.calls().len()
    }
}

#[test]
fn a_cut_at_any_moment_of_an_operation_leaves_what_was_told() {
    for operation in &OPERATIONS {
        for way in WAYS {
            let calls = operation.calls(way);
            assert!(calls > 0, "{}", operation.name);
            for call in 0..=calls {
                for tear in TEARS {
                    let case = format!("{way}: {} cut before {call}, {tear:?}", operation.name);
                    let stage = Stage::new();
                    let Entry { id, place, .. } = *stage.entry(way, operation.state);
                    stage.scratch.disk.stop_at(call);
                    let done = (operation.run)(&stage.journal, id);
                    let Stage {
                        scratch,
                        journal,
                        mut entries,
                    } = stage;
                    drop(journal);
                    lose(&scratch, tear);
                    let places = if done.is_ok() {
                        vec![operation.to]
                    } else {
                        [&[place, operation.to], operation.between].concat()
                    };
                    restart_and_tell(&case, &scratch, &mut entries, id, &places);
                }
            }
        }
    }
}

#[test]
fn a_cut_at_any_moment_of_an_eviction_keeps_an_entry_or_lets_it_go() {
    let evict = |stage: &Stage| {
        stage.scratch.disk.heal();
        stage.journal.evict_settled()
    };
    let calls = {
        let stage = Stage::new();
        assert_eq!(evict(&stage).unwrap(), WAYS.len());
        stage.scratch.disk.calls().len()
    };
    for call in 0..=calls {
        for tear in TEARS {
            let case = format!("eviction cut before {call}, {tear:?}");
            let stage = Stage::new();
            stage.scratch.disk.stop_at(call);
            let done = stage.journal.evict_settled();
            let Stage {
                scratch,
                journal,
                mut entries,
            } = stage;
            drop(journal);
            lose(&scratch, tear);
            let journal = super::stage::restart(&case, &scratch);
            for entry in &mut entries {
                if entry.place == Some(Room::Settled) {
                    entry.place = room(&journal, entry.id);
                    let is_kept = entry.place == Some(Room::Settled);
                    assert!(entry.place.is_none() || is_kept, "{case}: {entry:?}");
                    assert!(done.is_err() || !is_kept, "{case}: {entry:?}");
                }
            }
            super::stage::check(&case, &scratch, &journal, &entries);
            drop(journal);
            scratch.cut_power();
            let journal = super::stage::restart(&case, &scratch);
            super::stage::check(&format!("{case}, twice"), &scratch, &journal, &entries);
        }
    }
}
