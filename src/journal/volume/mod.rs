//! The disk under the log: files of a fixed size, every call that changes what a crash leaves behind,
//! and poison. It knows nothing of records.
//!
//! # The life of a file
//! 1. [`Volume::make`] gives it its whole size in zeros, and reserves the room on the disk, so that no
//!    later write makes the file grow or finds the disk full.
//! 2. It syncs the file, and then the directory. The file survives a power cut before its owner writes.
//! 3. [`Volume::write`] and [`Volume::sync`] work on the open file. The owner keeps it open, and may
//!    overwrite it from the beginning.
//! 4. [`Volume::remove`] unlinks files, and syncs the directory once for all of them.
//!
//! | cut after | leaves | the owner |
//! |---|---|---|
//! | 1 | no file, or a short one of zeros | removes it |
//! | 2 | a file of zeros, or with its owner's earlier bytes | uses it |
//! | 3 | blocks of 512 bytes, each old or new, until the sync returns | judges them |
//! | 4, before the directory's sync | some of the files | knows that they mean nothing |
//!
//! # Poison
//! After one failed fsync nothing is written any more. The kernel drops the pages that it could not
//! write, and the next fsync would succeed without them.

mod disk;
mod poison;
#[cfg(test)]
mod tests;
mod unsynced;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use disk::if_there;
pub use disk::{Disk, LocalDisk};
pub use poison::{Poison, Poisoned};
pub use unsynced::UnsyncedDisk;

/// The least number of digits in a file's name.
const NAME_DIGITS: usize = 8;

/// The end of a file's name.
const SUFFIX: &str = ".wal";

/// A directory of files of a fixed size.
#[derive(Debug)]
pub struct Volume {
    disk: Box<dyn Disk>,
    directory: PathBuf,
    poison: Poison,
}

impl Volume {
    /// The files in an existing directory. Touches nothing.
    pub fn new(disk: Box<dyn Disk>, directory: &Path) -> Self {
        Self {
            disk,
            directory: directory.to_owned(),
            poison: Poison::default(),
        }
    }

    /// The path of a file.
    pub fn path(&self, number: u32) -> PathBuf {
        self.directory
            .join(format!("{number:0NAME_DIGITS$}{SUFFIX}"))
    }

    /// The numbers of all files, in order. Other names in the directory are ignored.
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
    /// The disk's error.
    pub fn open(&self, number: u32) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(number))
    }

    /// Makes a file of this many zeros, which survives a power cut. Steps 1 and 2.
    ///
    /// # Errors
    /// `AlreadyExists` if the number is taken; the disk's error. Then there is no such file, unless it
    /// cannot be removed either, which is logged.
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

    /// Writes all pieces one behind the other at an offset of a file, and leaves them unsynced.
    ///
    /// # Errors
    /// The disk's error; then any part of the pieces may be written. Poison.
    pub fn write(&self, file: &File, pieces: &[&[u8]], place: usize) -> io::Result<()> {
        self.check()?;
        self.write_unchecked(file, pieces, place)
    }

    /// Like [`Volume::write`], even on a poisoned volume: for bytes that take back a refused write, and
    /// that promise nothing.
    ///
    /// # Errors
    /// The disk's error.
    pub fn write_unchecked(&self, file: &File, pieces: &[&[u8]], place: usize) -> io::Result<()> {
        let place = u64::try_from(place).map_err(io::Error::other)?;
        self.disk.write_at(file, pieces, place)
    }

    /// Makes a file's bytes survive a power cut.
    ///
    /// # Errors
    /// The disk's error, which poisons the volume.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.check()?;
        self.disk
            .sync_bytes(file)
            .inspect_err(|err| self.poison.set("the log", err))?;
        // The kernel may have reported our lost page to another thread.
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
    /// The disk's error; some files may be gone then.
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

    /// The disk itself, for files of this journal outside of the volume.
    pub fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Makes a file of this journal outside of the volume survive a power cut.
    ///
    /// # Errors
    /// As [`Volume::sync`].
    pub fn sync_elsewhere(&self, file: &File) -> io::Result<()> {
        self.check()?;
        let synced = self.disk.sync_file(file);
        synced.inspect_err(|err| self.poison.set("a file", err))?;
        Ok(self.check()?)
    }

    /// Makes the names in a directory of this journal survive a power cut.
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

    /// The reason why nothing is written; `None` while all is well.
    pub fn poison(&self) -> Option<&str> {
        self.poison.reason()
    }

    /// Checks that writing is allowed.
    ///
    /// # Errors
    /// Poison.
    pub fn check(&self) -> Result<(), Poisoned> {
        self.poison.check()
    }
}

/// The number in a file's name; `None` if no volume gives such a name.
fn number_of(name: &OsStr) -> Option<u32> {
    let digits = name.to_str()?.strip_suffix(SUFFIX)?;
    let is_ours = digits.len() >= NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}
