//! Files that are ready to become segments, and the reserve of them for a full disk.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Wal, lock};

/// Blank files.
#[derive(Debug)]
pub(super) struct Spares {
    pub(super) files: Vec<(u32, File)>,
    next_number: u32,
    /// How many are not to be used as long as another can be made.
    reserve: usize,
}

impl Spares {
    pub(super) fn new(files: Vec<(u32, File)>, next_number: u32) -> Self {
        Self {
            files,
            next_number,
            reserve: 0,
        }
    }

    /// A number is not tried again: its name may be taken if its file could not be made.
    fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

impl Wal {
    /// Keeps so many blank files in reserve from now on, and makes those that are missing. A segment
    /// begins in one of them only if the disk has no room for another file.
    ///
    /// # Errors
    /// What the disk says.
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
            let file = self.volume.make(number, self.shape.segment_bytes)?;
            lock(&self.spares).files.push((number, file));
        }
    }

    /// Whether the reserve is whole: if not, a segment had to begin in a part of it.
    pub fn has_reserve(&self) -> bool {
        let spares = lock(&self.spares);
        spares.files.len() >= spares.reserve
    }

    /// A file to begin a segment in.
    pub(super) fn blank_file(&self) -> io::Result<(u32, File)> {
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
            made => made.map(|file| (number, file)),
        }
    }

    /// Gives the file of a segment one more name, under which it stays when it is trimmed.
    ///
    /// # Errors
    /// What the disk says; `AlreadyExists` also when it was kept before.
    pub fn keep(&self, generation: u64, path: &Path) -> io::Result<()> {
        let segment = lock(&self.segments).get(&generation).cloned();
        let segment = segment.ok_or(io::ErrorKind::NotFound)?;
        self.volume.disk().link(&segment.file, path)
    }
}

fn is_full(err: &io::Error) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    full.contains(&err.kind())
}
