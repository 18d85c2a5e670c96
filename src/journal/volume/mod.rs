//! The disk under the log: files of a fixed size, each call that changes what a crash leaves behind,
//! and poison. It knows nothing of records.
//!
//! # The life of a file
//! 1. [`Volume::make`] gives it its whole size and the room for that on the disk, all zeros, so that no
//!    later write makes the file grow or finds the disk full.
//! 2. It syncs the file, and then the directory. The file is there for good before its owner writes.
//! 3. [`Volume::write`] and [`Volume::sync`] work on the open file. The owner keeps it open, and may
//!    begin anew in it.
//! 4. [`Volume::remove`] unlinks files, and syncs the directory once for all of them.
//!
//! | cut after | leaves | the owner |
//! |---|---|---|
//! | 1 | no file, or one that is short, all zeros | removes it |
//! | 2 | a file of zeros, or of what its owner wrote before | uses it |
//! | 3 | blocks of 512 bytes, each old or new, until the sync returns | judges them |
//! | 4, before the directory's sync | some of the files | knows that they mean nothing |
//!
//! # Poison
//! After one failed fsync nothing is written any more. The kernel drops the pages that it could not
//! write, and the next fsync says that all is well.

mod disk;
mod poison;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

pub(super) use disk::if_there;
pub use disk::{Disk, LocalDisk, UnsyncedDisk};
pub use poison::{Poison, Poisoned};

/// Ends the name of a file.
const SUFFIX: &str = ".wal";

/// A directory of files of a fixed size.
#[derive(Debug)]
pub struct Volume {
    disk: Box<dyn Disk>,
    directory: PathBuf,
    poison: Poison,
}

impl Volume {
    /// The files in a directory, which must be there. Touches nothing.
    pub fn new(disk: Box<dyn Disk>, directory: &Path) -> Self {
        Self {
            disk,
            directory: directory.to_owned(),
            poison: Poison::default(),
        }
    }

    /// The path of a file.
    pub fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:08}{SUFFIX}"))
    }

    /// The numbers of all files, in order. Other names in the directory are left alone.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for found in fs::read_dir(&self.directory)? {
            numbers.extend(number_of(&found?.file_name()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(&self, number: u32) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(number))
    }

    /// Makes a file of so many zeros, which survives a power cut. Steps 1 and 2.
    ///
    /// # Errors
    /// `AlreadyExists` if the number is taken; what the disk says. There is no such file then, unless
    /// it cannot be removed either, which the log of the process tells.
    pub fn make(&self, number: u32, bytes: u32) -> io::Result<File> {
        self.check()?;
        let path = self.path(number);
        let file = self.disk.create(&path, &[])?;
        self.give_room(&file, bytes).inspect_err(|_| {
            if let Err(err) = if_there(self.disk.unlink(&path)) {
                log::error!("{}: cannot be removed: {err}", path.display());
            }
        })?;
        Ok(file)
    }

    fn give_room(&self, file: &File, bytes: u32) -> io::Result<()> {
        self.disk.allocate(file, bytes.into())?; // 1
        self.sync(file)?; // 2
        self.sync_names()
    }

    /// Writes pieces behind each other at a place in a file, and leaves them unsynced.
    ///
    /// # Errors
    /// What the disk says; any part of them may be written then. Poison.
    pub fn write(&self, file: &File, pieces: &[&[u8]], place: usize) -> io::Result<()> {
        self.check()?;
        self.write_unchecked(file, pieces, place)
    }

    /// As [`Volume::write`], though the volume may be poisoned: for bytes that take back what was
    /// refused, and on which no word is given.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_unchecked(&self, file: &File, pieces: &[&[u8]], place: usize) -> io::Result<()> {
        let place = u64::try_from(place).map_err(io::Error::other)?;
        self.disk.write_at(file, pieces, place)
    }

    /// Makes a file's bytes survive a power cut.
    ///
    /// # Errors
    /// What the disk says: the volume is poisoned from then on.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.check()?;
        self.disk
            .sync_bytes(file)
            .inspect_err(|err| self.poison.set("the log", err))?;
        // The kernel may have told another thread of a lost page that was ours.
        Ok(self.check()?)
    }

    /// Makes the names of the files survive a power cut.
    ///
    /// # Errors
    /// As [`Volume::sync`].
    pub fn sync_names(&self) -> io::Result<()> {
        self.check()?;
        self.disk
            .sync_directory(&self.directory)
            .inspect_err(|err| self.poison.set("the log's directory", err))
    }

    /// Removes files for good. Step 4.
    ///
    /// # Errors
    /// What the disk says; some may be gone then.
    pub fn remove(&self, numbers: &[u32]) -> io::Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.check()?;
        for &number in numbers {
            if_there(self.disk.unlink(&self.path(number)))?;
        }
        self.sync_names()
    }

    /// The disk itself, for files of the same journal elsewhere.
    pub fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Makes a file of the same journal elsewhere survive a power cut.
    ///
    /// # Errors
    /// As [`Volume::sync`].
    pub fn sync_elsewhere(&self, file: &File) -> io::Result<()> {
        self.check()?;
        let synced = self.disk.sync_file(file);
        synced.inspect_err(|err| self.poison.set("a file", err))?;
        Ok(self.check()?)
    }

    /// Makes the names in a directory of the same journal survive a power cut.
    ///
    /// # Errors
    /// As [`Volume::sync`].
    pub fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.disk
            .sync_directory(path)
            .inspect_err(|err| self.poison.set(&path.display().to_string(), err))?;
        Ok(self.check()?)
    }

    /// Why nothing is written any more; `None` while all is well.
    pub fn poison(&self) -> Option<&str> {
        self.poison.reason()
    }

    /// Says whether anything may be written.
    ///
    /// # Errors
    /// Poison.
    pub fn check(&self) -> Result<(), Poisoned> {
        self.poison.check()
    }
}

/// The number in the name of a file; `None` if the name is none that a volume gives.
fn number_of(name: &OsStr) -> Option<u32> {
    let digits = name.to_str()?.strip_suffix(SUFFIX)?;
    let is_ours = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}
