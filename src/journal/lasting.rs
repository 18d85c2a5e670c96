//! Making last what a start has found, before anybody hears of it.
//!
//! A sidecar that was killed leaves names and bytes that only the kernel knows. A start reads them like
//! all others, and answers by them; so they must survive a power cut from then on.
//!
//! - Names: every directory is fsynced before anything in it is believed or removed, and once more
//!   when the start has removed or moved something.
//! - Records and bodies need nothing: each was fsynced before its record came into a room.
//! - The log and the kept answers may end in bytes that were written and not fsynced; the last file
//!   alone, as nothing is written behind a failure that cannot be taken back. Its end is written anew
//!   and then fsynced: after an fsync that failed, the kernel takes pages for clean that never reached
//!   the disk, and a second fsync would succeed.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Journal;
use super::error::OpenError;
use super::layout::Room;

impl Journal {
    /// Fsyncs every directory, each once. `corrupt` comes first, as what is moved there takes its body
    /// along before its record; then the rooms, as a body goes after its record.
    pub(super) fn sync_directories(&self) -> Result<(), OpenError> {
        let layout = &self.layout;
        let rooms = Room::ALL.map(|room| layout.room(room));
        let others = [
            layout.tmp(),
            layout.bodies(),
            layout.log(),
            layout.answered(),
        ];
        let directories = [layout.corrupt()].into_iter().chain(rooms).chain(others);
        for path in directories {
            self.sync_directory(&path).map_err(OpenError::at(&path))?;
        }
        Ok(())
    }

    /// Writes what was read at this place of a file there once more, and fsyncs it.
    pub(super) fn write_anew(&self, path: &Path, bytes: &[u8], place: u64) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        if !bytes.is_empty() {
            self.disk.write_at(&file, &[bytes], place)?;
        }
        self.disk.sync_bytes(&file)
    }
}
