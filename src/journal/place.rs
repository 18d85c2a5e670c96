//! A body on its way in: gives it a name among the bodies, and makes it durable.

use std::fs::File as OsFile;
use std::io;
use std::time::SystemTime;

use super::error::at;
use super::shared::Changed;
use super::volume::if_there;
use super::{AdoptError, Journal, point};
use crate::file::FileId;
use crate::spool::{Received, SpooledBody};

/// A body with a name among the bodies. If it is dropped without a promise, the name is removed.
pub(super) struct Placed<'a> {
    journal: &'a Journal,
    pub(super) id: FileId,
    file: PlacedFile<'a>,
    /// When it got that name.
    changed: Changed,
    fate: Fate,
}

/// The fate of the name when this is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is removed: no frame refers to it.
    Goes,
    /// A refused frame refers to it, and a start may still find that frame.
    GoesWhenOvertaken,
    Stays,
}

enum PlacedFile<'a> {
    Spooled(&'a SpooledBody),
    /// It came with the head of its request.
    Written(OsFile),
}

impl Placed<'_> {
    pub(super) fn file(&self) -> &OsFile {
        match &self.file {
            PlacedFile::Spooled(body) => body.file(),
            PlacedFile::Written(file) => file,
        }
    }

    pub(super) fn modified(&self) -> io::Result<SystemTime> {
        match &self.file {
            PlacedFile::Spooled(body) => Ok(body.modified()),
            PlacedFile::Written(file) => file.metadata()?.modified(),
        }
    }

    /// Notes that a frame which refers to it is about to be queued.
    pub(super) fn spoken_of(&mut self) {
        self.fate = Fate::GoesWhenOvertaken;
    }

    pub(super) fn keep(&mut self) {
        self.fate = Fate::Stays;
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        let goes = match self.fate {
            Fate::Goes => {
                debug_assert!(self.journal.known(self.id).is_none(), "{}", self.id);
                true
            }
            // A start must not find a frame without its body, so the frame's place in the log is
            // overwritten first. If that fails, the body stays, and the next start removes it. If a
            // panic came after the promise, the entry exists.
            Fate::GoesWhenOvertaken => {
                let journal = self.journal;
                journal.known(self.id).is_none() && journal.wal.trim(0).is_ok()
            }
            Fate::Stays => false,
        };
        if goes {
            let path = self.journal.layout.body(self.id);
            if let Err(err) = if_there(self.journal.disk().unlink(&path)) {
                log::error!("{}: cannot be removed: {err}", path.display());
            }
        }
    }
}

impl Journal {
    /// If a name is taken, it belongs to another entry: the next id is tried.
    pub(super) fn place_body<'a>(&'a self, body: Received<'a>) -> Result<Placed<'a>, AdoptError> {
        loop {
            let id = self.free_id();
            let path = self.layout.body(id);
            let placed = match body {
                Received::Spooled(body) => self
                    .disk()
                    .link(body.file(), &path)
                    .map(|()| PlacedFile::Spooled(body)),
                Received::Inline(bytes) => {
                    self.disk().create(&path, bytes).map(PlacedFile::Written)
                }
            };
            match placed {
                Ok(file) => {
                    return Ok(Placed {
                        journal: self,
                        id,
                        file,
                        changed: self.bodies_sync.changed(),
                        fate: Fate::Goes,
                    });
                }
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => {
                    // A disk that fails half-way may leave the name.
                    if let Err(err) = if_there(self.disk().unlink(&path)) {
                        log::error!("{}: cannot be removed: {err}", path.display());
                    }
                    return Err(at("place the body")(err));
                }
            }
        }
    }

    /// Gives the bytes of a body of another journal, up to this length, the name of this id: by a link if
    /// they never change, or by a copy with the same time.
    pub(super) fn place_foreign(
        &self,
        id: FileId,
        from: &OsFile,
        length: u64,
        changes: bool,
    ) -> io::Result<Placed<'_>> {
        let path = self.layout.body(id);
        // A cut leaves a body without an entry.
        if_there(self.disk().unlink(&path))?;
        // The other journal may be on another file system.
        let is_linked = !changes && self.disk().link(from, &path).is_ok();
        let file = if is_linked {
            OsFile::open(&path)?
        } else {
            let file = self.disk().create(&path, &[])?;
            self.disk().copy(from, &file, 0, length)?;
            file.set_modified(from.metadata()?.modified()?)?;
            file
        };
        Ok(Placed {
            journal: self,
            id,
            file: PlacedFile::Written(file),
            changed: self.bodies_sync.changed(),
            fate: Fate::Goes,
        })
    }

    /// Makes the body and its name survive a power cut.
    pub(super) fn sync_placed(&self, placed: &Placed<'_>) -> Result<(), AdoptError> {
        self.sync_file(placed.file())
            .map_err(at("fsync the body"))?;
        point!("adopt.body-fsynced");
        self.sync_bodies(placed.changed)
            .map_err(at("fsync the bodies' directory"))?;
        point!("adopt.bodies-fsynced");
        Ok(())
    }
}
