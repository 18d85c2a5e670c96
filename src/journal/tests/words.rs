//! Answers about the unfinished step of another thread, and a cut right after them: what was answered
//! stays true.

use std::thread;
use std::time::Duration;

use super::cuts::{TEARS, lose};
use super::races::waits;
use super::scratch::{committed, room};
use super::stage::{InRoom, Stage, WAYS, restart};
use crate::file::FileId;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{Deletion, Journal, Lookup, Retried, Settling};
use crate::journal::{JournalError, Room};

/// An operation on an entry, and another caller's question during it.
struct Word {
    name: &'static str,
    state: &'static str,
    act: fn(&Journal, FileId) -> Result<(), JournalError>,
    /// Asks; returns whether the answer says that the operation is done.
    is_told: fn(&Journal, FileId) -> bool,
    /// The room of the entry after that.
    then: InRoom,
}

fn delete(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.delete(id).map(drop)
}

fn deletes(journal: &Journal, id: FileId, expected: Deletion) -> bool {
    matches!(journal.delete(id), Ok(found) if found == expected)
}

const DELETED: InRoom = Some(Room::Deleted);

const WORDS: [Word; 9] = [
    Word {
        name: "a second delete",
        state: "waiting",
        act: delete,
        is_told: |journal, id| deletes(journal, id, Deletion::Already),
        then: DELETED,
    },
    Word {
        name: "a second delete of one whose commit has begun",
        state: "begun",
        act: delete,
        is_told: |journal, id| deletes(journal, id, Deletion::Already),
        then: DELETED,
    },
    Word {
        name: "a look while it is deleted",
        state: "deferred",
        act: delete,
        is_told: |journal, id| matches!(journal.lookup(id), Ok(Lookup::Deleted)),
        then: DELETED,
    },
    Word {
        name: "a glance while it is deleted",
        state: "held",
        act: delete,
        is_told: |journal, id| {
            let room = journal.try_lookup(id);
            matches!(room, Ok(Some(room)) if room == Room::Deleted)
        },
        then: DELETED,
    },
    Word {
        name: "a second retry",
        state: "held",
        act: |journal, id| journal.retry(id).map(drop),
        is_told: |journal, id| {
            let retried = journal.retry(id);
            matches!(retried, Ok(Retried::NotPutOff(Room::Incoming)))
        },
        then: Some(Room::Incoming),
    },
    Word {
        name: "a second proof",
        state: "begun",
        act: |journal, id| journal.settle(&committed(id)).map(drop),
        is_told: |journal, id| matches!(journal.settle(&committed(id)), Ok(Settling::Settled)),
        then: Some(Room::Settled),
    },
    Word {
        name: "a delete while it is evicted",
        state: "settled",
        act: |journal, _| journal.evict_settled().map(drop),
        is_told: |journal, id| deletes(journal, id, Deletion::NotHere),
        then: None,
    },
    Word {
        name: "a second delete of a settled one",
        state: "settled",
        act: delete,
        is_told: |journal, id| deletes(journal, id, Deletion::NotHere),
        then: None,
    },
    Word {
        name: "a delete while it is erased",
        state: "deleted",
        act: Journal::erase,
        is_told: |journal, id| deletes(journal, id, Deletion::NotHere),
        then: None,
    },
];

impl Word {
    fn calls(&self, way: &str) -> Vec<&'static str> {
        let stage = Stage::new();
        let id = stage.entry(way, self.state).id;
        (self.act)(&stage.journal, id).unwrap();
        stage.scratch.disk.calls()
    }

    /// Stops the disk for good in a call, after another caller has asked at that moment. Returns
    /// whether the answer said that the operation is done; if so, that must stay true.
    fn tell_and_cut(&self, case: &str, way: &str, call: usize, tear: Option<Tear>) -> bool {
        let stage = Stage::new();
        let id = stage.entry(way, self.state).id;
        let (disk, journal) = (&stage.scratch.disk, &stage.journal);
        disk.pause_at(call);
        let is_told = thread::scope(|scope| {
            let acting = scope.spawn(|| drop((self.act)(journal, id)));
            let mut asking = None;
            disk.during_pause(|| {
                let thread = scope.spawn(|| (self.is_told)(journal, id));
                waits(journal, &thread);
                asking = Some(thread);
                disk.stop_then(call);
            });
            acting.join().unwrap();
            asking.unwrap().join().unwrap()
        });
        let Stage {
            scratch, journal, ..
        } = stage;
        drop(journal);
        lose(&scratch, tear);
        let journal = restart(case, &scratch);
        if is_told {
            assert_eq!(room(&journal, id), self.then, "{case}");
        }
        is_told
    }
}

#[test]
fn nobody_is_told_of_what_a_kill_or_a_power_cut_undoes() {
    for word in &WORDS {
        for way in WAYS {
            let calls = word.calls(way);
            let mut told = 0;
            for call in 0..calls.len() {
                for tear in TEARS {
                    let case = format!("{way}, {}: call {call} of {calls:?}, {tear:?}", word.name);
                    told += usize::from(word.tell_and_cut(&case, way, call, tear));
                }
            }
            assert!(told > 0, "{way}, {}: nobody was told", word.name);
        }
    }
}

#[test]
fn what_was_moved_often_and_then_deleted_does_not_come_back_whatever_the_disk_wrote() {
    let moves: [fn(&Journal, FileId); 3] = [
        |journal, id| journal.defer(id, "why", Duration::ZERO).unwrap(),
        |journal, id| {
            journal.defer(id, "why", Duration::ZERO).unwrap();
            journal.hold(id, "why").unwrap();
        },
        |journal, id| {
            journal.hold(id, "why").unwrap();
            journal.retry(id).unwrap();
        },
    ];
    for (number, act) in moves.into_iter().enumerate() {
        for is_erased in [false, true] {
            for way in WAYS {
                for tear in TEARS {
                    let case = format!("{way}, moves {number}, erased {is_erased}, {tear:?}");
                    let stage = Stage::new();
                    let id = stage.entry(way, "waiting").id;
                    act(&stage.journal, id);
                    stage.journal.delete(id).unwrap();
                    if is_erased {
                        stage.journal.erase(id).unwrap();
                    }
                    let Stage {
                        scratch, journal, ..
                    } = stage;
                    drop(journal);
                    lose(&scratch, tear);
                    let journal = restart(&case, &scratch);
                    let expected = (!is_erased).then_some(Room::Deleted);
                    assert_eq!(room(&journal, id), expected, "{case}");
                }
            }
        }
    }
}
