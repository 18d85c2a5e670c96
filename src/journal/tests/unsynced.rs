//! The changes that a power cut takes back.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::journal::{Disk as _, LocalDisk};

/// The changes that a power cut may undo.
#[derive(Debug)]
pub(in crate::journal) struct Unsynced {
    pub(in crate::journal) graveyard: PathBuf,
    pub(in crate::journal) graves: usize,
    pub(in crate::journal) names: HashMap<PathBuf, Before>,
    pub(in crate::journal) inodes: HashSet<u64>,
    /// Files with what was written into them.
    pub(in crate::journal) overwritten: HashMap<u64, Vec<Overwritten>>,
    pub(in crate::journal) tear: Tear,
    /// Whether the kernel drops the data of a failed fsync: they still read as written, and no later
    /// fsync writes them.
    pub(in crate::journal) is_forgetful: bool,
    forgotten: HashMap<u64, Vec<Overwritten>>,
}

/// The place and length of a write into a file, and the bytes before it.
type Overwritten = (u64, usize, Vec<u8>);

/// The part of written bytes that a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Tear {
    Nothing,
    Half,
    AllButOne,
    /// The last half of the bytes.
    End,
    All,
    /// Some sectors of a disk and not others; this number determines which.
    Sectors(u64),
}

impl Tear {
    pub(in crate::journal) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Half,
        Self::AllButOne,
        Self::End,
        Self::All,
    ];
}

/// The file of a name when its directory was last fsynced.
#[derive(Debug)]
pub(in crate::journal) struct Before {
    pub(in crate::journal) grave: Option<PathBuf>,
    /// A rename is one step: if it has left the one directory, it has reached the other, and the other
    /// way round.
    pub(in crate::journal) moved_to: Option<PathBuf>,
}

impl Unsynced {
    pub(in crate::journal) fn new(graveyard: PathBuf) -> Self {
        Self {
            graveyard,
            graves: 0,
            names: HashMap::new(),
            inodes: HashSet::new(),
            overwritten: HashMap::new(),
            tear: Tear::Half,
            is_forgetful: false,
            forgotten: HashMap::new(),
        }
    }

    pub(in crate::journal) fn change(&mut self, path: &Path) {
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

    pub(in crate::journal) fn write(&mut self, file: &File) {
        self.inodes.insert(file.metadata().unwrap().ino());
    }

    /// A file gets a name. If it has another one in that directory, its fsyncs count for this one, too.
    pub(in crate::journal) fn name(&mut self, file: &File, to: &Path) {
        let ino = file.metadata().unwrap().ino();
        let names = fs::read_dir(to.parent().unwrap()).unwrap();
        let mut inodes = names.map(|found| found.unwrap().metadata().unwrap().ino());
        if inodes.all(|other| other != ino) {
            self.write(file);
        }
    }

    pub(in crate::journal) fn overwrite(&mut self, file: &File, bytes: &[u8], offset: u64) {
        let mut before = vec![0; bytes.len()];
        let read = file.read_at(&mut before, offset).unwrap();
        before.truncate(read);
        let ino = file.metadata().unwrap().ino();
        if let Some(forgotten) = self.forgotten.get_mut(&ino) {
            let end = offset + u64::try_from(bytes.len()).unwrap();
            forgotten.retain(|(begin, length, _)| {
                *begin < offset || begin + u64::try_from(*length).unwrap() > end
            });
        }
        let writes = self.overwritten.entry(ino);
        writes.or_default().push((offset, bytes.len(), before));
    }

    /// An fsync of this file succeeded.
    pub(in crate::journal) fn keep(&mut self, ino: u64) {
        self.inodes.remove(&ino);
        self.overwritten.remove(&ino);
    }

    /// An fsync of this file failed.
    pub(in crate::journal) fn forget(&mut self, ino: u64) {
        if self.is_forgetful {
            let lost = self.overwritten.remove(&ino).unwrap_or_default();
            self.forgotten.entry(ino).or_default().extend(lost);
        }
    }

    /// Takes back a write, or a part of it.
    fn take_back(tear: Tear, file: &File, (offset, length, before): &Overwritten) {
        let one = |range: Range<usize>| Vec::from([range]);
        let lost = match tear {
            Tear::Nothing => one(0..*length),
            Tear::Half => one(length / 2..*length),
            Tear::AllButOne => one(length.saturating_sub(1)..*length),
            Tear::End => one(0..length / 2),
            Tear::All => Vec::new(),
            Tear::Sectors(seed) => lost_sectors(seed, *offset, *length),
        };
        for range in lost {
            let was = before.get(range.start..range.end.min(before.len()));
            let mut bytes = was.unwrap_or_default().to_vec();
            bytes.resize(range.len(), 0);
            let place = offset + u64::try_from(range.start).unwrap();
            LocalDisk.write_at(file, &[&bytes], place).unwrap();
        }
    }

    pub(in crate::journal) fn names_in(&self, directory: &Path) -> Vec<PathBuf> {
        let names = self.names.keys();
        let here = names.filter(|name| name.parent() == Some(directory));
        here.cloned().collect()
    }

    pub(in crate::journal) fn sync(&mut self, names: &[PathBuf]) {
        for name in names {
            let before = self.names.remove(name);
            if let Some(moved_to) = before.and_then(|before| before.moved_to) {
                self.names.remove(&moved_to);
            }
            self.names
                .retain(|_, before| before.moved_to.as_ref() != Some(name));
        }
    }

    pub(in crate::journal) fn lose(&mut self, directories: &[PathBuf]) {
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
                        .for_each(|write| Self::take_back(self.tear, &file, write));
                } else if self.inodes.contains(&metadata.ino()) {
                    file.set_len(metadata.len() / 2).unwrap();
                }
                let forgotten = self.forgotten.get(&metadata.ino()).into_iter().flatten();
                for write in forgotten.rev() {
                    Self::take_back(Tear::Nothing, &file, write);
                }
            }
        }
        self.inodes.clear();
        self.overwritten.clear();
        self.forgotten.clear();
    }
}

/// The parts of a write that are lost: whole sectors of the file.
fn lost_sectors(seed: u64, offset: u64, length: usize) -> Vec<Range<usize>> {
    const SECTOR_BYTES: usize = 512;
    let skew = usize::try_from(offset).unwrap() % SECTOR_BYTES;
    let begins = (0..skew + length).step_by(SECTOR_BYTES);
    let sectors =
        begins.map(|begin| begin.saturating_sub(skew)..length.min(begin + SECTOR_BYTES - skew));
    let is_lost = |sector: &Range<usize>| {
        let place = offset + u64::try_from(sector.start).unwrap();
        let mut hasher = DefaultHasher::new();
        (seed, place, length).hash(&mut hasher);
        hasher.finish().is_multiple_of(2)
    };
    sectors.filter(is_lost).collect()
}
