//! A journal on a directory of its own, and its files as they stand on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use sha2::Digest as _;

use super::disk::FaultyDisk;
use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis};
use crate::journal::{
    AdoptError, Adopted, Draft, Journal, Layout, LocalDisk, OpenError, Record, Recovered, Room,
};
use crate::spool::{ClaimError, Spool, SpooledBody};
use crate::store::{Committed, Evidence, Promised, Sent, Sha256};

pub(super) const HOUR: Duration = Duration::from_hours(1);

/// The name of the spool file of a test that needs no more than one at a time.
pub(super) const SPOOLED: &str = "0000000001";

#[derive(Debug)]
pub(super) struct Scratch {
    directory: tempfile::TempDir,
    pub(super) disk: FaultyDisk,
    pub(super) limits: JournalConfig,
}

impl Scratch {
    pub(super) fn new() -> Self {
        // In memory where there is such a place: no test here asks anything of a real disk.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        Journal::init(directory.path(), &LocalDisk).unwrap();
        Self {
            disk: FaultyDisk::new(directory.path().join("graveyard")),
            directory,
            limits: JournalConfig {
                node: 1,
                durability: Durability::Disk,
                log_body_bytes: 0,
                max_bytes: 100_000,
                max_entries: 20,
                min_free_bytes: 0,
                min_free_inodes: 0,
                settled_grace: HOUR,
                settled_max_bytes: 1000,
                answer_lifetime: HOUR,
                max_answers: 100,
                spool_orphan: HOUR,
            },
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.directory.path())
    }

    pub(super) fn try_open(&self) -> Result<(Journal, Recovered), OpenError> {
        let disk = Box::new(self.disk.clone());
        Journal::open(self.directory.path(), self.limits.clone(), disk)
    }

    pub(super) fn open(&self) -> (Journal, Recovered) {
        self.try_open().unwrap()
    }

    pub(super) fn journal(&self) -> Journal {
        self.open().0
    }

    /// Spools a body as nginx does, and claims it.
    pub(super) fn spooled(&self, content: &[u8]) -> SpooledBody {
        self.spooled_as(SPOOLED, content)
    }

    /// The same under a name of its own, beside others.
    pub(super) fn spooled_as(&self, name: &str, content: &[u8]) -> SpooledBody {
        let path = self.layout().spool().join(name);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, content).unwrap();
        self.claim_as(name).unwrap()
    }

    pub(super) fn claim(&self) -> Result<SpooledBody, ClaimError> {
        self.claim_as(SPOOLED)
    }

    fn claim_as(&self, name: &str) -> Result<SpooledBody, ClaimError> {
        let spool = Spool::open(&self.layout().spool()).unwrap();
        spool.claim(name.as_bytes(), None)
    }

    pub(super) fn try_adopt(&self, journal: &Journal, body: &[u8]) -> Result<Adopted, AdoptError> {
        journal.adopt(Some(&self.spooled(body)), draft())
    }

    pub(super) fn adopt(&self, journal: &Journal, body: &[u8]) -> FileId {
        self.try_adopt(journal, body).unwrap().id()
    }

    /// Loses what was not fsynced.
    pub(super) fn cut_power(&self) {
        let layout = self.layout();
        let rooms = Room::ALL.map(|room| layout.room(room));
        let others = [
            layout.bodies(),
            layout.tmp(),
            layout.corrupt(),
            layout.log(),
            layout.answered(),
        ];
        self.disk.cut_power(&[&rooms[..], &others[..]].concat());
    }

    /// Forges the record of an entry of `length` bytes.
    pub(super) fn forge_record(&self, room: Room, id: FileId, length: u64) {
        let bytes = record(id, length).encode().unwrap();
        fs::write(self.layout().record(room, id), bytes).unwrap();
    }

    /// Forges a body.
    pub(super) fn forge_body(&self, id: FileId, content: &[u8]) {
        fs::write(self.layout().body(id), content).unwrap();
    }

    /// All files of the journal but for marker and lock, by their names below it.
    pub(super) fn files(&self) -> HashMap<String, Vec<u8>> {
        let layout = self.layout();
        let mut files = HashMap::new();
        let mut directories = vec![layout.tmp(), layout.bodies(), layout.corrupt()];
        directories.extend(Room::ALL.map(|room| layout.room(room)));
        for path in directories.into_iter().flat_map(paths) {
            let name = path.strip_prefix(layout.journal()).unwrap();
            let name = name.to_str().unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
        files
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.files().into_keys().collect();
        names.sort();
        names
    }
}

fn paths(directory: PathBuf) -> Vec<PathBuf> {
    let found = fs::read_dir(directory).unwrap();
    found.map(|found| found.unwrap().path()).collect()
}

pub(super) fn draft() -> Draft {
    Draft {
        filename: None,
        content_type: MediaType::octet_stream(),
        metadata: Metadata::default(),
        request: None,
    }
}

/// Some id; another one for each number.
pub(super) fn id(number: u8) -> FileId {
    FileId::from_bytes([number; 12])
}

pub(super) fn record(id: FileId, length: u64) -> Record {
    let meta = FileMeta {
        filename: FileName::of_id(id),
        content_type: MediaType::octet_stream(),
        length,
        uploaded: UnixMillis(1_700_000_000_000),
        metadata: Metadata::default(),
        revision: None,
    };
    Record::new(id, meta, 0)
}

/// The proof of a commit.
pub(super) fn committed(id: FileId) -> Committed {
    let sha256 = Sha256([7; 32]);
    let sent = Sent { length: 5, sha256 };
    let evidence = Evidence {
        length: 5,
        sha256: Some(sha256),
        chunk_size_bytes: 4,
        chunks: 2,
        chunk_bytes: Some(5),
    };
    Committed::prove(id, sent, evidence).unwrap()
}

/// All bytes of a promised file, which are those that were promised.
pub(super) fn bytes_of(promised: &Promised) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(promised.meta.length).unwrap()];
    promised.body.read_exact_at(&mut bytes, 0).unwrap();
    let more = promised.body.read_exact_at(&mut [0], promised.meta.length);
    assert_eq!(more.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    promised.body.verify(sha256_of(&bytes)).unwrap();
    bytes
}

pub(super) fn sha256_of(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// The room that the index has an entry in.
pub(super) fn room(journal: &Journal, id: FileId) -> Option<Room> {
    journal.index().get(id).map(|slot| slot.room)
}
