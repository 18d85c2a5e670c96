//! Reading an entry where it is in the log, and giving it files of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::super::body::OpenBody;
use super::super::entry::Record;
use super::super::error::JournalError;
use super::super::layout::Room;
use super::super::point;
use super::super::rooms::{Place, Slot};
use super::super::settle::at;
use super::super::volume::if_there;
use super::frame::{self, Frame};
use super::{Journal, Position, lock};
use crate::file::{FileId, Window};

/// An entry as the log has it.
#[derive(Debug)]
pub(in crate::journal) struct Logged {
    pub(in crate::journal) record: Record,
    pub(in crate::journal) body: Bytes,
    pub(in crate::journal) segment: Arc<File>,
    /// Where the body is in the segment.
    pub(in crate::journal) window: Window,
}

impl Journal {
    /// Reads the record of an entry; `None` if the entry has left the log meanwhile.
    pub(in crate::journal) fn logged_record(
        &self,
        id: FileId,
        position: Position,
    ) -> Result<Option<Record>, JournalError> {
        let Some((_, bytes)) = self.read_log(id, position, position.record())? else {
            return Ok(None);
        };
        Record::decode(id, &bytes)
            .map(Some)
            .map_err(|reason| JournalError::Unreadable { id, reason })
    }

    /// Opens an entry for a reader of all of its body, who verifies both by the body's digest.
    pub(in crate::journal) fn open_logged(
        &self,
        id: FileId,
        position: Position,
    ) -> Result<Option<(Record, OpenBody)>, JournalError> {
        let Some((segment, bytes)) = self.read_log(id, position, position.front())? else {
            return Ok(None);
        };
        let unreadable = |reason: String| JournalError::Unreadable { id, reason };
        let front = frame::decode_front(position, &bytes)
            .filter(|front| front.id == id)
            .ok_or_else(|| unreadable(frame::DAMAGED.to_owned()))?;
        if front.is_plain && self.logged(id, position)?.is_none() {
            return Ok(None);
        }
        let record = Record::decode(id, front.record).map_err(unreadable)?;
        let front = (!front.is_plain).then(|| bytes.clone());
        let body = OpenBody {
            id,
            index: Arc::clone(&self.index),
            file: segment,
            window: position.body(),
            front,
        };
        Ok(Some((record, body)))
    }

    /// Reads all of an entry, and sees that it is what was written.
    pub(in crate::journal) fn logged(
        &self,
        id: FileId,
        position: Position,
    ) -> Result<Option<Logged>, JournalError> {
        let Some((segment, bytes)) = self.read_log(id, position, position.frame())? else {
            return Ok(None);
        };
        let unreadable = |reason: String| JournalError::Unreadable { id, reason };
        match frame::decode(&bytes) {
            Some((
                Frame::File {
                    id: found,
                    record,
                    body,
                },
                _,
            )) if found == id => Ok(Some(Logged {
                record: Record::decode(id, record).map_err(unreadable)?,
                body: bytes.slice_ref(body),
                segment,
                window: position.body(),
            })),
            _ => Err(unreadable(frame::DAMAGED.to_owned())),
        }
    }

    fn read_log(
        &self,
        id: FileId,
        position: Position,
        window: Window,
    ) -> Result<Option<(Arc<File>, Bytes)>, JournalError> {
        let read = || -> io::Result<(Arc<File>, Bytes)> {
            let segment = self.segment(position.generation)?;
            let mut bytes = vec![0; usize::try_from(window.length).map_err(io::Error::other)?];
            segment.read_exact_at(&mut bytes, window.offset)?;
            Ok((segment, bytes.into()))
        };
        match read() {
            Ok(found) => Ok(Some(found)),
            Err(err) => {
                let lost = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
                let slot = self.index().get(id);
                if slot.is_none_or(|slot| slot.place != Place::Log(position)) {
                    Ok(None)
                } else if lost.contains(&err.kind()) {
                    let reason = format!("its part of the log is missing: {err}");
                    Err(JournalError::Unreadable { id, reason })
                } else {
                    Err(at(id, "read the log")(err))
                }
            }
        }
    }

    /// Gives an entry of the log its files, in `incoming`; does nothing to any other.
    ///
    /// 1. What an earlier attempt left is removed.
    /// 2. The body is written, with the time of the upload, and the record into `tmp`.
    /// 3. Both are fsynced, and the directory of bodies.
    /// 4. The record moves into `incoming`, and that is fsynced.
    /// 5. The index knows it by its files, and its frame is to be noted as gone.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 to 3 | the frame; a body, a record in `tmp` | keeps the frame, removes the rest |
    /// | 4, 5 | the frame and the files | keeps the files, notes that the frame is gone |
    ///
    /// # Errors
    /// What the disk says; the entry is in the log as before then.
    pub(in crate::journal) fn unpack(&self, id: FileId) -> Result<(), JournalError> {
        let is_in_log = |slot: Slot| matches!(slot.place, Place::Log(_));
        if !self.index().get(id).is_some_and(is_in_log) {
            return Ok(());
        }
        let _alone = lock(&self.log.unpacking);
        let slot = self.index().get(id);
        let Some(Place::Log(position)) = slot.map(|slot| slot.place) else {
            return Ok(());
        };
        let Some(logged) = self.logged(id, position)? else {
            return Ok(());
        };
        self.remove_files(id)?; // 1
        point!("unpack.cleared");
        let mut half_done = HalfUnpacked {
            journal: self,
            id,
            is_over: false,
        };
        let written = self.write_files(&logged); // 2 to 4
        half_done.is_over = true;
        let mut index = self.index();
        let slot = index.get(id);
        if written.is_ok()
            && let Some(slot) = slot.filter(|&slot| is_in_log(slot))
        {
            let place = Place::Files;
            index.insert(id, Slot { place, ..slot }); // 5
            drop(index);
            point!("unpack.done");
            self.log.release(position.generation);
            self.log.note_gone(id);
            return Ok(());
        }
        drop(index);
        // It failed, or was settled meanwhile.
        self.remove_files(id)?;
        written.map_err(at(id, "give an entry of the log its files"))
    }

    fn write_files(&self, logged: &Logged) -> io::Result<()> {
        let id = logged.record.id;
        let encoded = logged.record.encode()?;
        let in_writing = self.layout.record_in_writing(id);
        let body = self.disk.create(&self.layout.body(id), &logged.body)?;
        body.set_modified(logged.record.meta.uploaded.to_system_time())?;
        let record = self.disk.create(&in_writing, &encoded)?; // 2
        point!("unpack.files-written");
        self.sync_file(&body)?;
        self.sync_file(&record)?;
        self.sync_directory(&self.layout.bodies())?; // 3
        point!("unpack.files-fsynced");
        self.disk
            .rename(&in_writing, &self.layout.record(Room::Incoming, id))?;
        point!("unpack.record-moved");
        self.sync_directory(&self.layout.room(Room::Incoming)) // 4
    }

    /// Removes files of an entry that is in the log alone. A record that was moved goes for good
    /// before its body: else it would look like a promise without one.
    fn remove_files(&self, id: FileId) -> Result<(), JournalError> {
        let remove = || -> io::Result<()> {
            let moved = self.layout.record(Room::Incoming, id);
            if if_there(self.disk.unlink(&moved))?.is_some() {
                self.sync_directory(&self.layout.room(Room::Incoming))?;
            }
            if_there(self.disk.unlink(&self.layout.record_in_writing(id)))?;
            if_there(self.disk.unlink(&self.layout.body(id))).map(drop)
        };
        remove().map_err(at(id, "remove files of an entry of the log"))
    }

    /// Keeps the segment of an unreadable entry for an admin: a second name in `corrupt`.
    pub(in crate::journal) fn keep_segment(&self, generation: u64) -> io::Result<()> {
        let path = self.layout.segment(generation);
        let name = format!("log-{generation}");
        let Some(segment) = if_there(File::open(path))? else {
            return Ok(());
        };
        match self.disk.link(&segment, &self.layout.corrupt().join(name)) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }
}

/// An entry that is being given its files. Those that a panic leaves are removed: they are nobody's.
struct HalfUnpacked<'a> {
    journal: &'a Journal,
    id: FileId,
    is_over: bool,
}

impl Drop for HalfUnpacked<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(err) = self.journal.remove_files(self.id)
        {
            log::error!("{err}");
        }
    }
}
