//! Everything that moves an entry, and a journal with an entry in each state to try it on.

use std::time::Duration;

use super::log;
use super::scratch::{Scratch, committed, room};
use crate::file::{FileId, UnixMillis};
use crate::journal::{Journal, JournalError, Look, Room};

/// Where an entry is; `None` when the journal has nothing of it.
pub(super) type Place = Option<Room>;

/// An entry that was promised.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) id: FileId,
    pub(super) content: Vec<u8>,
    pub(super) room: Room,
}

/// A journal with entries in every room.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) scratch: Scratch,
    pub(super) journal: Journal,
    pub(super) entries: Vec<Entry>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut scratch = Scratch::new();
        scratch.limits.settled_grace = Duration::ZERO;
        let journal = scratch.journal();
        let names = [
            ("waiting", Room::Incoming),
            ("begun", Room::Incoming),
            ("deferred", Room::Deferred),
            ("held", Room::Hold),
            ("settled", Room::Settled),
            ("settled too", Room::Settled),
            ("deleted", Room::Deleted),
        ];
        let mut entries = Vec::new();
        for (name, room) in names {
            let content = name.as_bytes().to_vec();
            let id = scratch.adopt(&journal, &content);
            if name != "waiting" && room != Room::Deferred {
                journal.open_work(id).unwrap();
            }
            match room {
                Room::Incoming | Room::Settled => {}
                Room::Deferred => journal.defer(id, "why", UnixMillis(1)).unwrap(),
                Room::Hold => journal.hold(id, "why").unwrap(),
                Room::Deleted => drop(journal.delete(id).unwrap()),
            }
            entries.push(Entry {
                name,
                id,
                content,
                room,
            });
        }
        // Last, so that no later adoption has fsynced what they have left.
        for entry in entries.iter().filter(|entry| entry.room == Room::Settled) {
            if entry.name == "settled too" {
                journal.hold(entry.id, "why").unwrap();
            }
            journal.settle(&committed(entry.id)).unwrap();
        }
        scratch.disk.heal();
        Self {
            scratch,
            journal,
            entries,
        }
    }

    pub(super) fn id(&self, name: &str) -> FileId {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        entry.unwrap().id
    }
}

/// A move of entries, all from the room of the first target.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) targets: &'static [&'static str],
    /// Where they are after it has gone well.
    pub(super) to: Place,
    /// Where else they may be after it has failed, beside where they were.
    pub(super) between: &'static [Place],
    /// Where a power cut may put them although it went well, as nothing was promised to anybody.
    pub(super) undone: &'static [Place],
    pub(super) run: fn(&Journal, FileId) -> Result<(), JournalError>,
}

pub(super) const OPERATIONS: [Operation; 14] = [
    Operation {
        name: "settle a new entry",
        targets: &["begun"],
        to: Some(Room::Settled),
        between: &[],
        undone: &[Some(Room::Incoming)],
        run: settle,
    },
    Operation {
        name: "settle a deferred entry",
        targets: &["deferred"],
        to: Some(Room::Settled),
        between: &[],
        undone: &[Some(Room::Deferred)],
        run: settle,
    },
    Operation {
        name: "settle a held entry",
        targets: &["held"],
        to: Some(Room::Settled),
        between: &[],
        undone: &[Some(Room::Hold)],
        run: settle,
    },
    Operation {
        name: "defer",
        targets: &["begun"],
        to: Some(Room::Deferred),
        between: &[],
        undone: &[],
        run: defer,
    },
    Operation {
        name: "defer again",
        targets: &["deferred"],
        to: Some(Room::Deferred),
        between: &[],
        undone: &[],
        run: defer,
    },
    Operation {
        name: "hold a new entry",
        targets: &["begun"],
        to: Some(Room::Hold),
        between: &[],
        undone: &[],
        run: hold,
    },
    Operation {
        name: "hold a deferred entry",
        targets: &["deferred"],
        to: Some(Room::Hold),
        between: &[],
        undone: &[],
        run: hold,
    },
    Operation {
        name: "retry a held entry",
        targets: &["held"],
        to: Some(Room::Incoming),
        // With records in both rooms a start believes that in `hold`.
        between: &[Some(Room::Hold)],
        undone: &[],
        run: |journal, id| journal.retry(id).map(drop),
    },
    Operation {
        name: "delete an untouched entry",
        targets: &["waiting"],
        to: Some(Room::Deleted),
        between: &[],
        undone: &[],
        run: delete,
    },
    Operation {
        name: "delete an entry whose commit has begun",
        targets: &["begun"],
        to: Some(Room::Deleted),
        between: &[],
        undone: &[],
        run: delete,
    },
    Operation {
        name: "delete a held entry",
        targets: &["held"],
        to: Some(Room::Deleted),
        between: &[],
        undone: &[],
        run: delete,
    },
    Operation {
        name: "delete a settled entry",
        targets: &["settled"],
        to: None,
        between: &[],
        undone: &[],
        run: delete,
    },
    Operation {
        name: "erase",
        targets: &["deleted"],
        to: None,
        between: &[],
        undone: &[Some(Room::Deleted)],
        run: Journal::erase,
    },
    Operation {
        name: "evict",
        targets: &["settled", "settled too"],
        to: None,
        between: &[],
        undone: &[Some(Room::Settled)],
        run: |journal, _| journal.evict_settled().map(drop),
    },
];

fn settle(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.settle(&committed(id)).map(drop)
}

fn defer(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.defer(id, "again", UnixMillis(2))
}

fn hold(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.hold(id, "for good")
}

fn delete(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.delete(id).map(drop)
}

impl Operation {
    /// Does it to the entries of a stage.
    pub(super) fn run_on(&self, stage: &Stage) -> Result<(), JournalError> {
        (self.run)(&stage.journal, stage.id(self.targets[0]))
    }

    /// How many calls to the disk it makes.
    pub(super) fn calls(&self) -> usize {
        let stage = Stage::new();
        self.run_on(&stage).unwrap();
        stage.scratch.disk.calls().len()
    }

    /// Where an entry may be after it.
    pub(super) fn places(&self, entry: &Entry, is_ok: bool) -> Vec<Place> {
        if !self.targets.contains(&entry.name) {
            return vec![Some(entry.room)];
        }
        if is_ok {
            return vec![self.to];
        }
        [&[Some(entry.room), self.to], self.between].concat()
    }
}

/// Sees that every entry is in one of its places, whole, and that the disk holds nothing else.
pub(super) fn check(
    case: &str,
    scratch: &Scratch,
    journal: &Journal,
    entries: &[(Entry, Vec<Place>)],
) {
    let mut files = scratch.files();
    for (entry, places) in entries {
        let (name, id) = (entry.name, entry.id);
        let place = room(journal, id);
        assert!(
            places.contains(&place),
            "{case}: {name} is in {place:?}, not in one of {places:?}"
        );
        let body = files.remove(&format!("body/{id}"));
        if log::is_logged(journal, id) {
            assert_eq!(log::content(journal, id), entry.content, "{case}: {name}");
            assert_eq!(body, None, "{case}: {name} is in the log and has a body");
            continue;
        }
        match (journal.look(id), place) {
            (Ok(Look::Absent), None) => assert_eq!(body, None, "{case}: {name}"),
            (Ok(Look::Deleted), Some(Room::Deleted)) => {}
            (Ok(Look::Kept(kept)), _) => {
                assert_eq!(Some(kept.room), place, "{case}: {name}");
                let body = body.unwrap_or_else(|| panic!("{case}: {name} has no body"));
                assert_eq!(body, entry.content, "{case}: {name}");
            }
            (look, _) => panic!("{case}: {name} is in {place:?} and looks like {look:?}"),
        }
        if let Some(place) = place {
            let record = files.remove(&format!("{place}/{id}.json"));
            assert!(record.is_some(), "{case}: {name} has no record in {place}");
        }
    }
    let left: Vec<_> = files.keys().collect();
    assert!(left.is_empty(), "{case}: {left:?} are nobody's");
    for room in Room::ALL {
        let here = journal.index().in_room(room).len();
        let counted = usize::try_from(journal.totals(room).entries).unwrap();
        assert_eq!(here, counted, "{case}: the count of {room}");
    }
}

/// All entries of a stage, where they are.
pub(super) fn unchanged(stage: &Stage) -> Vec<(Entry, Vec<Place>)> {
    let entries = stage.entries.iter().cloned();
    entries
        .map(|entry| (entry.clone(), vec![Some(entry.room)]))
        .collect()
}

/// Opens the journal on a sound disk and checks it as [`check`] does.
pub(super) fn check_after_restart(
    case: &str,
    scratch: &Scratch,
    entries: &[(Entry, Vec<Place>)],
) -> Journal {
    scratch.disk.heal();
    let opened = scratch.try_open();
    let (journal, recovered) = opened.unwrap_or_else(|err| panic!("{case}: {err}"));
    assert_eq!(recovered.corrupt, 0, "{case}");
    check(case, scratch, &journal, entries);
    journal
}
