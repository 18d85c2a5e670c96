//! A journal with entries in each state, and every operation that moves one.

use std::time::Duration;

use super::scratch::{Scratch, committed, content, room};
use crate::file::FileId;
use crate::journal::Journal;
use crate::journal::{JournalError, Room};
use crate::message::links::Linked;

/// The room of an entry; `None` if the journal does not have it.
pub(super) type InRoom = Option<Room>;

/// An entry that was promised.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) id: FileId,
    pub(super) content: Vec<u8>,
    pub(super) is_linked: bool,
    pub(super) place: InRoom,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) scratch: Scratch,
    pub(super) journal: Journal,
    pub(super) entries: Vec<Entry>,
}

/// Each state, by a name of its own.
const STATES: [(&str, Room); 6] = [
    ("waiting", Room::Incoming),
    ("begun", Room::Incoming),
    ("deferred", Room::Deferred),
    ("held", Room::Hold),
    ("settled", Room::Settled),
    ("deleted", Room::Deleted),
];

/// Each way in.
pub(super) const WAYS: [&str; 4] = ["inline", "linked", "inline form", "linked form"];

impl Stage {
    /// Makes a stage with an entry in each state that came in each way.
    pub(super) fn new() -> Self {
        let mut scratch = Scratch::new();
        scratch.limits.settled_grace = Duration::ZERO;
        let journal = scratch.journal();
        let mut entries = Vec::new();
        for way in WAYS {
            let contents = STATES.map(|(state, _)| match way {
                "inline" => state.as_bytes().to_vec(),
                "inline form" => state.as_bytes()[..4].to_vec(),
                _ => format!("a longer body, of the one that is {state}").into_bytes(),
            });
            let ids: Vec<_> = if way.ends_with("form") {
                let parts = contents.each_ref().map(Vec::as_slice);
                scratch.try_adopt_form(&journal, &parts).unwrap()
            } else {
                let adopt = |content: &Vec<u8>| scratch.adopt(&journal, content);
                contents.iter().map(adopt).collect()
            };
            for ((id, (state, place)), content) in ids.into_iter().zip(STATES).zip(contents) {
                move_to(&journal, id, state);
                entries.push(Entry {
                    name: format!("{way}, {state}"),
                    id,
                    content,
                    is_linked: way.starts_with("linked"),
                    place: Some(place),
                });
            }
        }
        let stage = Self {
            scratch,
            journal,
            entries,
        };
        stage.scratch.disk.heal();
        stage
    }

    pub(super) fn entry(&self, way: &str, state: &str) -> &Entry {
        let name = format!("{way}, {state}");
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.unwrap()
    }
}

fn move_to(journal: &Journal, id: FileId, state: &str) {
    if state != "waiting" {
        journal.open_work(id).unwrap();
    }
    match state {
        "deferred" => journal.defer(id, "why", Duration::ZERO).unwrap(),
        "held" => journal.hold(id, "why").unwrap(),
        "settled" => drop(journal.settle(&committed(id)).unwrap()),
        "deleted" => drop(journal.delete(id).unwrap()),
        _ => {}
    }
}

/// A move of an entry.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    /// Its room after success.
    pub(super) to: InRoom,
    /// Other rooms in which it may be after a failure, beside the first one.
    pub(super) between: &'static [InRoom],
    pub(super) run: fn(&Journal, FileId) -> Result<(), JournalError>,
}

const fn operation(
    name: &'static str,
    state: &'static str,
    to: InRoom,
    run: fn(&Journal, FileId) -> Result<(), JournalError>,
) -> Operation {
    Operation {
        name,
        state,
        to,
        between: &[],
        run,
    }
}

pub(super) const OPERATIONS: [Operation; 17] = [
    operation("settle", "begun", Some(Room::Settled), settle),
    operation(
        "settle a deferred one",
        "deferred",
        Some(Room::Settled),
        settle,
    ),
    operation("settle a held one", "held", Some(Room::Settled), settle),
    operation("defer", "begun", Some(Room::Deferred), defer),
    operation("defer again", "deferred", Some(Room::Deferred), defer),
    operation("hold", "begun", Some(Room::Hold), hold),
    operation("hold a deferred one", "deferred", Some(Room::Hold), hold),
    operation("retry", "held", Some(Room::Incoming), |journal, id| {
        journal.retry(id).map(drop)
    }),
    operation("delete", "waiting", Some(Room::Deleted), delete),
    operation("delete a begun one", "begun", Some(Room::Deleted), delete),
    operation("delete a held one", "held", Some(Room::Deleted), delete),
    Operation {
        between: &[Some(Room::Deleted)],
        ..operation("delete a settled one", "settled", None, delete)
    },
    operation("erase", "deleted", None, Journal::erase),
    operation("link", "begun", Some(Room::Incoming), link),
    operation(
        "link a deferred one",
        "deferred",
        Some(Room::Deferred),
        link,
    ),
    operation("link a held one", "held", Some(Room::Hold), link),
    operation("copy", "deferred", Some(Room::Deferred), |journal, id| {
        journal.copy_one(id)
    }),
];

fn settle(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.settle(&committed(id)).map(drop)
}

fn defer(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.defer(id, "again", Duration::ZERO)
}

fn hold(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.hold(id, "for good")
}

fn link(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    let linked = journal.link(id, super::scratch::absent())?;
    assert_eq!(linked, Linked::Linked);
    Ok(())
}

fn delete(journal: &Journal, id: FileId) -> Result<(), JournalError> {
    journal.delete(id).map(drop)
}

/// Checks that each entry is whole and in its room, and that the disk holds nothing else.
pub(super) fn check(case: &str, scratch: &Scratch, journal: &Journal, entries: &[Entry]) {
    let mut bodies = Scratch::names(&scratch.layout().bodies());
    for Entry {
        name,
        id,
        content: expected,
        is_linked,
        place,
    } in entries
    {
        assert_eq!(room(journal, *id), *place, "{case}: {name}");
        let is_kept = !matches!(place, None | Some(Room::Deleted));
        let found = content(journal, *id);
        assert_eq!(
            found.as_ref(),
            is_kept.then_some(expected),
            "{case}: {name}"
        );
        if is_kept && *is_linked {
            let body = id.to_string();
            assert!(bodies.contains(&body), "{case}: {name} has no body");
            bodies.retain(|name| *name != body);
        }
    }
    assert!(bodies.is_empty(), "{case}: {bodies:?} are nobody's");
    let corrupt = Scratch::names(&scratch.layout().corrupt());
    assert!(corrupt.is_empty(), "{case}: {corrupt:?}");
}

/// Opens the journal on a sound disk.
pub(super) fn restart(case: &str, scratch: &Scratch) -> Journal {
    scratch.disk.heal();
    let opened = scratch.try_open();
    let (journal, recovered) = opened.unwrap_or_else(|err| panic!("{case}: {err}"));
    assert_eq!(recovered.corrupt, 0, "{case}");
    journal
}

/// Does the same, if one entry may be in any of these rooms. The found room is then fixed: it has
/// to be the same after a power cut. Returns that room.
pub(super) fn restart_and_tell(
    case: &str,
    scratch: &Scratch,
    entries: &mut [Entry],
    id: FileId,
    places: &[InRoom],
) {
    let journal = restart(case, scratch);
    let found = room(&journal, id);
    assert!(
        places.contains(&found),
        "{case}: {found:?}, not one of {places:?}"
    );
    let entry = entries.iter_mut().find(|entry| entry.id == id);
    entry.unwrap().place = found;
    check(case, scratch, &journal, entries);
    drop(journal);
    scratch.cut_power();
    let journal = restart(case, scratch);
    check(
        &format!("{case}, then told and cut"),
        scratch,
        &journal,
        entries,
    );
}
