//! Files that are ready to become segments: blank ones, and those of dead segments. Some of them are
//! the reserve for a full disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Segment, Shape, Wal, lock};

/// Files that are kept beyond the reserve. A segment in one of them is written once; in a new file,
/// zeros are written before it.
const BEYOND_RESERVE: usize = 4;

/// A file that is ready to become a segment.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    /// Whether parts of it were never written since it was made of zeros.
    pub(super) is_blank: bool,
}

impl Spare {
    pub(super) fn blank(number: u32, file: Arc<File>) -> Self {
        let is_blank = true;
        Self {
            number,
            file,
            is_blank,
        }
    }
}

/// All spare files.
#[derive(Debug)]
pub(super) struct Spares {
    files: Vec<Spare>,
    next_number: u32,
    /// This many files are not used while a new one can be made.
    reserve: usize,
}

impl Spares {
    pub(super) fn new(next_number: u32) -> Self {
        Self {
            files: Vec::new(),
            next_number,
            reserve: 0,
        }
    }

    /// The next number. A number is never tried again: if making its file failed, the name may be
    /// taken.
    fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Takes a file in, unless there are enough, or it must not be written to.
    pub(super) fn take(&mut self, spare: Spare, shape: Shape) -> bool {
        let is_taken = self.files.len() < self.reserve + BEYOND_RESERVE
            && is_reusable(&spare.file, shape).unwrap_or(false);
        if is_taken {
            let mut numbers = self.files.iter().map(|known| known.number);
            debug_assert!(numbers.all(|number| number != spare.number), "{spare:?}");
            self.files.push(spare);
        }
        is_taken
    }
}

/// Whether a file has the size of a new segment, and no second name under which it is kept for an
/// admin.
fn is_reusable(file: &File, shape: Shape) -> io::Result<bool> {
    let found = file.metadata()?;
    Ok(found.len() == u64::from(shape.segment_bytes) && found.nlink() == 1)
}

impl Wal {
    /// Keeps this many files in reserve from now on, and makes the missing ones. A segment begins in
    /// one of them only if the disk has no room for another file.
    ///
    /// # Errors
    /// The disk's error.
    pub fn reserve(&self, count: usize) -> io::Result<()> {
        loop {
            let number = {
                let mut spares = lock(&self.spares);
                spares.reserve = count;
                if spares.files.len() >= count {
                    return Ok(());
                }
                spares.number()
            };
            let file = Arc::new(self.volume.make(number, self.shape.segment_bytes)?);
            lock(&self.spares).files.push(Spare::blank(number, file));
        }
    }

    /// Whether the reserve is complete. If not, a segment had to begin in one of its files.
    pub fn has_reserve(&self) -> bool {
        let spares = lock(&self.spares);
        spares.files.len() >= spares.reserve
    }

    /// Removes the files that only save time.
    ///
    /// # Errors
    /// The disk's error; the next start removes the other files.
    pub fn shrink(&self) -> io::Result<()> {
        let gone: Vec<_> = {
            let mut spares = lock(&self.spares);
            let reserve = spares.reserve.min(spares.files.len());
            spares.files.split_off(reserve)
        };
        let numbers: Vec<_> = gone.iter().map(|spare| spare.number).collect();
        self.volume.remove(&numbers)
    }

    /// A file in which a segment can begin.
    pub(super) fn spare_file(&self) -> io::Result<Spare> {
        let number = {
            let mut spares = lock(&self.spares);
            if spares.files.len() > spares.reserve
                && let Some(spare) = spares.files.pop()
            {
                return Ok(spare);
            }
            spares.number()
        };
        let made = self.volume.make(number, self.shape.segment_bytes);
        match made {
            Err(err) if is_full(&err) => lock(&self.spares).files.pop().ok_or(err),
            made => made.map(|file| Spare::blank(number, Arc::new(file))),
        }
    }

    /// Gives up the files of dead segments: they become spares, or are removed.
    pub(super) fn give_up(&self, dead: impl IntoIterator<Item = Spare>) -> io::Result<()> {
        let mut gone = Vec::new();
        for spare in dead {
            let number = spare.number;
            if !lock(&self.spares).take(spare, self.shape) {
                gone.push(number);
            }
        }
        self.volume.remove(&gone)
    }

    /// Gives the file of a segment one more name, under which it stays after a trim.
    ///
    /// # Errors
    /// The disk's error; `AlreadyExists` also if it was kept before; `NotFound` if it was trimmed.
    pub fn keep(&self, generation: u64, path: &Path) -> io::Result<()> {
        // While this lock is held, the segment is not trimmed.
        let segments = lock(&self.segments);
        let segment = segments.get(&generation).ok_or(io::ErrorKind::NotFound)?;
        self.volume.disk().link(&segment.file, path)
    }
}

impl Segment {
    /// Its file, after the segment is dead.
    pub(super) fn spare(&self) -> Spare {
        Spare {
            number: self.number,
            file: Arc::clone(&self.file),
            // A part of it may never have been written.
            is_blank: false,
        }
    }
}

fn is_full(err: &io::Error) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    full.contains(&err.kind())
}
