//! Sets unreadable data aside, for an admin to look at.

use std::io;
use std::path::Path;

use super::index::{Phase, Refused};
use super::step::StepError;
use super::volume::if_there;
use super::{Journal, JournalError, Layout, at, point};
use crate::file::FileId;

impl Journal {
    /// Takes an unreadable entry out, and keeps everything that is left of it.
    ///
    /// 1. Its body moves to `corrupt`; the segment of its record gets one more name there.
    /// 2. Both directories are fsynced.
    /// 3. `gone` is queued and synced: the entry is out. If it was deleted meanwhile, its tombstone stays.
    ///
    /// # Errors
    /// The disk's error; then the entry stays.
    pub fn set_aside(&self, id: FileId, reason: &str) -> Result<(), JournalError> {
        let Some(known) = self.known(id) else {
            return Ok(());
        };
        log::error!("{id}: {reason}; moved to corrupt");
        let generation = self.wal.generation_of(known.base.group());
        let keep = || -> io::Result<()> {
            move_to_corrupt(&self.layout, self.disk(), &self.layout.body(id))?;
            if let Some(generation) = generation {
                self.keep_segment(generation)?;
            } // 1
            point!("set-aside.moved");
            self.wal.volume().sync_directory(&self.layout.corrupt())?;
            self.sync_bodies(self.bodies_sync.changed()) // 2
        };
        keep().map_err(at(id, "move to corrupt"))?;
        match self.step(|index, tail| index.give_up(id, tail)) {
            // A delete came meanwhile, and the committer ends it.
            Err(StepError::Refused(Refused::Absent | Refused::Is(Phase::Deleted))) => Ok(()),
            done => done.map_err(|err| err.of(id, "note that it is set aside")), // 3
        }
    }

    /// Gives a segment one more name in `corrupt`, unless it has one.
    pub(super) fn keep_segment(&self, generation: u64) -> io::Result<()> {
        let path = self.layout.corrupt().join(format!("wal-{generation}"));
        match self.wal.keep(generation, &path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            kept => kept,
        }
    }
}

/// Moves one file to `corrupt`. The new name begins with the file's directory, and ends with a number
/// if that name is taken, so that no file replaces another. A missing file is not an error: its absence
/// is the damage.
pub(super) fn move_to_corrupt(
    layout: &Layout,
    disk: &dyn super::Disk,
    path: &Path,
) -> io::Result<()> {
    let last = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let name = format!("{}-{}", last(path.parent()), last(Some(path)));
    let mut to = layout.corrupt().join(&name);
    let mut number = 1;
    while to.try_exists()? {
        number += 1;
        to = layout.corrupt().join(format!("{name}.{number}"));
    }
    if_there(disk.rename(path, &to)).map(|_| ())
}
