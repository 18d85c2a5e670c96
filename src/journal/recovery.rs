//! The findings of a start, and their fate.
//!
//! | found | left by a cut | becomes |
//! |---|---|---|
//! | the list of a form in `tmp` | before the form was promised | removed, after all that it names |
//! | anything else in `tmp` | while a record was written | removed: no promise is in `tmp` |
//! | a body without a record | before a promise, or while an entry was erased | removed |
//! | a record in `incoming`, `deferred` or `hold`, with its body | after the promise | kept |
//! | the same id in two rooms | between the two steps of a deferral | the later room's record is kept |
//! | a record in `settled`, with its body | after a commit | kept for its grace time |
//! | a record in `settled`, without its body | while it was evicted | removed: the store has the file |
//! | a record in `deleted`, with or without its body | after a delete | kept until the store holds nothing of it |
//! | a record that is torn, of an unknown form, or whose body is missing or short | by no cut: a damaged disk | `corrupt`, with the body |
//! | a record in `answered` | after its entry left | kept until its key's time is over, whatever becomes of the entry |
//! | a record in `answered` that is torn | while it was written | ignored, with all behind it: the entry has not left |
//! | a name that is no entry's | by no cut | `corrupt` if it is in a room, left alone elsewhere |
//! | a file in `spool` that no process has open | by a killed nginx | removed when it is old enough |

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::Record;
use super::error::{JournalError, OpenError};
use super::layout::{Layout, Room};
use super::lock::JournalLock;
use super::log::Log;
use super::rooms::{Place, Slot};
use super::volume::{Disk, Poison, if_there};
use super::{Journal, SharedSync, point};
use crate::config::JournalConfig;
use crate::file::{FileId, FileIds};

/// What a start found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Pending entries that were kept.
    pub pending: usize,
    /// Settled entries that were kept.
    pub settled: usize,
    /// Deletes that have to be finished.
    pub deleted: usize,
    /// Files of uploads and moves that were cut, removed.
    pub removed: usize,
    /// Entries and strange names that were set aside.
    pub corrupt: usize,
}

impl Journal {
    /// Makes the directories of a journal, and its marker. Does nothing where all is there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn init(data_dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
        let layout = Layout::new(data_dir);
        for path in layout.directories() {
            fs::create_dir_all(&path).map_err(OpenError::at(&path))?;
        }
        let marker = layout.marker();
        if !marker.exists() {
            let file = disk
                .create(&marker, b"gridspool journal\n")
                .map_err(OpenError::at(&marker))?;
            disk.sync_file(&file).map_err(OpenError::at(&marker))?;
        }
        disk.sync_directory(layout.journal())
            .map_err(OpenError::at(layout.journal()))
    }

    /// Tries what a journal needs of its directories, without opening it: a sidecar may be at
    /// work on it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(data_dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
        let layout = Layout::new(data_dir);
        if !layout.marker().is_file() {
            return Err(OpenError::NoMarker(layout.marker()));
        }
        for path in layout.directories() {
            names(&path)?;
        }
        try_link(&layout, disk)
    }

    /// Opens a journal and recovers what the last sidecar left, as the table above says.
    ///
    /// 1. The marker is there.
    /// 2. The lock is ours.
    /// 3. A link from the spool works.
    /// 4. All names are fsynced: whatever is believed from here on survives a power cut, and nothing
    ///    is removed for the sake of a name that might be lost.
    /// 5. `tmp` is emptied, and with a form that was cut goes what it had moved already.
    /// 6. The answers are read, and the end of the last file of them is made to last.
    /// 7. The rooms are read.
    /// 8. The log is read, and its last group is made to last: what it has and the rooms have not is
    ///    in `incoming` too.
    /// 9. Bodies without a record are removed.
    /// 10. If anything was removed or moved, all names are fsynced again: what was cleared away stays
    ///     away, whatever is done next.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is served then.
    pub fn open(
        data_dir: &Path,
        limits: JournalConfig,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, Recovered), OpenError> {
        let layout = Layout::new(data_dir);
        if !layout.marker().is_file() {
            return Err(OpenError::NoMarker(layout.marker())); // 1
        }
        let lock = JournalLock::take(&layout.lock())?; // 2
        point!("open.locked");
        try_link(&layout, disk.as_ref())?; // 3
        point!("open.link-tried");
        let journal = Self {
            disk,
            ids: FileIds::new(limits.node),
            limits,
            layout,
            index: Arc::default(),
            poison: Poison::default(),
            bodies_sync: SharedSync::default(),
            log: Log::default(),
            answers: Arc::default(),
            _lock: lock,
        };
        journal.sync_directories()?; // 4
        point!("open.names-fsynced");
        let mut recovered = Recovered::default();
        journal.empty_tmp(&mut recovered)?; // 5
        point!("open.tmp-emptied");
        journal.read_answers()?; // 6
        point!("open.answers-read");
        journal.read_rooms(&mut recovered)?; // 7
        point!("open.rooms-read");
        journal.replay(&mut recovered)?; // 8
        point!("open.log-read");
        journal.remove_lone_bodies(&mut recovered)?; // 9
        point!("open.bodies-removed");
        if recovered != Recovered::default() {
            journal.sync_directories()?; // 10
        }
        point!("open.removals-fsynced");
        let entries = |room| usize::try_from(journal.totals(room).entries).unwrap_or(usize::MAX);
        recovered.settled = entries(Room::Settled);
        recovered.deleted = entries(Room::Deleted);
        recovered.pending = entries(Room::Incoming) + entries(Room::Deferred) + entries(Room::Hold);
        Ok((journal, recovered))
    }

    fn empty_tmp(&self, recovered: &mut Recovered) -> Result<(), OpenError> {
        for name in names(&self.layout.tmp())? {
            let path = self.layout.tmp().join(&name);
            if Layout::is_form(&name) {
                recovered.removed += fs::read(&path)
                    .and_then(|list| self.undo_listed(&list))
                    .map_err(OpenError::at(&path))?;
            }
            self.recovered_unlink(&path, recovered)?;
        }
        Ok(())
    }

    fn read_rooms(&self, recovered: &mut Recovered) -> Result<(), OpenError> {
        let bodies = body_lengths(&self.layout)?;
        let mut unreadable = Vec::new();
        for room in Room::ALL {
            for name in names(&self.layout.room(room))? {
                let path = self.layout.room(room).join(&name);
                let Some(id) = Layout::record_id(&name) else {
                    log::error!("{}: no record's name; moved to corrupt", path.display());
                    self.move_to_corrupt(&path).map_err(OpenError::at(&path))?;
                    recovered.corrupt += 1;
                    continue;
                };
                let body = bodies.get(&id).copied();
                self.read_record(room, id, body, recovered, &mut unreadable)?;
            }
        }
        recovered.corrupt += unreadable.len();
        for (room, id) in unreadable {
            let path = self.layout.record(room, id);
            // The body goes along, unless another room has a good record of it.
            let moved = match self.index().get(id) {
                Some(_) => self.move_to_corrupt(&path),
                None => self.move_entry_to_corrupt(room, id),
            };
            moved.map_err(OpenError::at(&path))?;
        }
        Ok(())
    }

    /// Judges one record. Rooms come in order, so an id that is known already is in an earlier one.
    fn read_record(
        &self,
        room: Room,
        id: FileId,
        body: Option<u64>,
        recovered: &mut Recovered,
        unreadable: &mut Vec<(Room, FileId)>,
    ) -> Result<(), OpenError> {
        let path = self.layout.record(room, id);
        let bytes = fs::read(&path).map_err(OpenError::at(&path))?;
        let judged = Record::decode(id, &bytes).and_then(|record| match (room, body) {
            (Room::Deleted, _) => Ok(Some(record)),
            (Room::Settled, None) => Ok(None),
            (_, None) => Err("the body is missing".to_owned()),
            (_, Some(length)) => check_window(&record, length)
                .map(|()| Some(record))
                .map_err(|err| err.to_string()),
        });
        match judged {
            Ok(Some(record)) => {
                if let Some(earlier) = self.index().get(id) {
                    self.recovered_unlink(&self.layout.record(earlier.room, id), recovered)?;
                }
                let slot = Slot {
                    room,
                    length: record.meta.length,
                    record_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                    is_begun: true,
                    is_keyed: record.answer.is_some(),
                    place: Place::Files,
                };
                self.index().insert(id, slot);
                self.learn(id, record.answer.as_ref());
            }
            Ok(None) => self.recovered_unlink(&path, recovered)?,
            Err(reason) => {
                log::error!("{}: {reason}; moved to corrupt", path.display());
                unreadable.push((room, id));
            }
        }
        Ok(())
    }

    fn remove_lone_bodies(&self, recovered: &mut Recovered) -> Result<(), OpenError> {
        for name in names(&self.layout.bodies())? {
            if let Some(id) = Layout::body_id(&name)
                && self
                    .index()
                    .get(id)
                    .is_none_or(|slot| slot.place != Place::Files)
            {
                self.recovered_unlink(&self.layout.bodies().join(name), recovered)?;
            }
        }
        Ok(())
    }

    fn recovered_unlink(&self, path: &Path, recovered: &mut Recovered) -> Result<(), OpenError> {
        self.disk.unlink(path).map_err(OpenError::at(path))?;
        recovered.removed += 1;
        Ok(())
    }
}

/// Sees that a body holds all of its entry's window.
pub(super) fn check_window(record: &Record, body_bytes: u64) -> Result<(), JournalError> {
    let end = record.window.offset.checked_add(record.window.length);
    if end.is_some_and(|end| end <= body_bytes) {
        return Ok(());
    }
    Err(JournalError::Unreadable {
        id: record.id,
        reason: format!(
            "the body has {body_bytes} bytes, the record needs {:?}",
            record.window
        ),
    })
}

/// Adopts an empty file by way of the spool, as the real ones will come, and takes it back.
fn try_link(layout: &Layout, disk: &dyn Disk) -> Result<(), OpenError> {
    // By process, so that a check beside a running sidecar does not meet that one's.
    let name = format!("link-test-{}", std::process::id());
    let (spooled, linked) = (layout.spool().join(&name), layout.tmp().join(&name));
    for leftover in [&spooled, &linked] {
        if_there(disk.unlink(leftover)).map_err(OpenError::at(leftover))?;
    }
    let file = disk
        .create(&spooled, &[])
        .map_err(OpenError::at(&spooled))?;
    let link = disk.link(&file, &linked);
    point!("open.linked");
    disk.unlink(&spooled).map_err(OpenError::at(&spooled))?;
    link.map_err(OpenError::NoLinks)?;
    disk.unlink(&linked).map_err(OpenError::at(&linked))
}

/// The names in a directory.
pub(super) fn names(path: &Path) -> Result<Vec<OsString>, OpenError> {
    let read = || -> std::io::Result<Vec<OsString>> {
        fs::read_dir(path)?
            .map(|found| Ok(found?.file_name()))
            .collect()
    };
    read().map_err(OpenError::at(path))
}

/// The bodies on disk and their lengths in bytes.
fn body_lengths(layout: &Layout) -> Result<HashMap<FileId, u64>, OpenError> {
    let length = |name: &OsStr| -> Result<u64, OpenError> {
        let path: PathBuf = layout.bodies().join(name);
        Ok(fs::metadata(&path).map_err(OpenError::at(&path))?.len())
    };
    names(&layout.bodies())?
        .iter()
        .filter_map(|name| Some((Layout::body_id(name)?, name)))
        .map(|(id, name)| Ok((id, length(name)?)))
        .collect()
}
