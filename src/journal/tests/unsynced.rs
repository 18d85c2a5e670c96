//! What a power cut takes back, and how much of it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::journal::{Disk as _, LocalDisk};

/// What a power cut may undo.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) graveyard: PathBuf,
    pub(super) graves: usize,
    pub(super) names: HashMap<PathBuf, Before>,
    pub(super) inodes: HashSet<u64>,
    /// Files with what was written into them: where, how much, and what was there before.
    pub(super) overwritten: HashMap<u64, Vec<(u64, usize, Vec<u8>)>>,
    pub(super) tear: Tear,
}

/// What a power cut leaves of bytes that were written into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tear {
    Nothing,
    Half,
    AllButOne,
    /// The last half of them.
    End,
    All,
}

impl Tear {
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Half,
        Self::AllButOne,
        Self::End,
        Self::All,
    ];
}

/// What a name meant when its directory was last fsynced.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) grave: Option<PathBuf>,
    /// A rename is one step: where it has left the one directory, it has reached the other, and
    /// the other way round.
    pub(super) moved_to: Option<PathBuf>,
}

impl Unsynced {
    pub(super) fn new(graveyard: PathBuf) -> Self {
        Self {
            graveyard,
            graves: 0,
            names: HashMap::new(),
            inodes: HashSet::new(),
            overwritten: HashMap::new(),
            tear: Tear::Half,
        }
    }

    pub(super) fn change(&mut self, path: &Path) {
        if self.names.contains_key(path) {
            return;
        }
        let grave = self.graveyard.join(self.graves.to_string());
        self.graves += 1;
        let before = Before {
            grave: fs::hard_link(path, &grave).is_ok().then_some(grave),
            moved_to: None,
        };
        self.names.insert(path.to_owned(), before);
    }

    pub(super) fn write(&mut self, file: &File) {
        self.inodes.insert(file.metadata().unwrap().ino());
    }

    pub(super) fn overwrite(&mut self, file: &File, bytes: &[u8], offset: u64) {
        let mut before = vec![0; bytes.len()];
        let read = file.read_at(&mut before, offset).unwrap();
        before.truncate(read);
        let writes = self.overwritten.entry(file.metadata().unwrap().ino());
        writes.or_default().push((offset, bytes.len(), before));
    }

    /// Takes back a write, or a part of it.
    pub(super) fn tear(&self, file: &File, (offset, length, before): &(u64, usize, Vec<u8>)) {
        let lost = match self.tear {
            Tear::Nothing => 0..*length,
            Tear::Half => length / 2..*length,
            Tear::AllButOne => length.saturating_sub(1)..*length,
            Tear::End => 0..length / 2,
            Tear::All => 0..0,
        };
        for at in lost {
            let byte = before.get(at).copied().unwrap_or_default();
            let place = offset + u64::try_from(at).unwrap();
            LocalDisk.write_at(file, &[&[byte]], place).unwrap();
        }
    }

    pub(super) fn names_in(&self, directory: &Path) -> Vec<PathBuf> {
        let names = self.names.keys();
        let here = names.filter(|name| name.parent() == Some(directory));
        here.cloned().collect()
    }

    pub(super) fn sync(&mut self, names: &[PathBuf]) {
        for name in names {
            let before = self.names.remove(name);
            if let Some(moved_to) = before.and_then(|before| before.moved_to) {
                self.names.remove(&moved_to);
            }
            self.names
                .retain(|_, before| before.moved_to.as_ref() != Some(name));
        }
    }

    pub(super) fn lose(&mut self, directories: &[PathBuf]) {
        for (name, before) in self.names.drain() {
            if name.exists() {
                fs::remove_file(&name).unwrap();
            }
            if let Some(grave) = before.grave {
                fs::hard_link(grave, name).unwrap();
            }
        }
        for directory in directories {
            for found in fs::read_dir(directory).unwrap() {
                let file = File::options()
                    .read(true)
                    .write(true)
                    .open(found.unwrap().path());
                let file = file.unwrap();
                let metadata = file.metadata().unwrap();
                if let Some(writes) = self.overwritten.get(&metadata.ino()) {
                    writes
                        .iter()
                        .rev()
                        .for_each(|write| self.tear(&file, write));
                } else if self.inodes.contains(&metadata.ino()) {
                    file.set_len(metadata.len() / 2).unwrap();
                }
            }
        }
        self.inodes.clear();
        self.overwritten.clear();
    }
}
