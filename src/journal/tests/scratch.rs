//! A journal on a directory of its own.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::Digest as _;

use crate::config::{Durability, JournalConfig};
use crate::file::{FileId, Window};
use crate::journal::record::Subject;
use crate::journal::tests::disk::FaultyDisk;
use crate::journal::wal::Shape;
use crate::journal::{AdoptError, Announcement, Announcer, LocalDisk, OpenError, Recovered, Room};
use crate::journal::{Adopted, Draft, Journal, Layout, Opened, room_of};
use crate::spool::{ClaimError, Spool, SpooledBody};
use crate::store::{Committed, Evidence, Sent, Sha256};

pub(super) const HOUR: Duration = Duration::from_hours(1);

/// The name of the spool file in a test that needs only one at a time.
pub(super) const SPOOLED: &str = "0000000001";

/// Bodies that are inline in the log, and bodies that are not.
pub(super) const SMALL: &[u8] = b"small";
pub(super) const LARGE: &[u8] = b"a body that does not stand in the log, as it is too long";

/// The largest inline body.
pub(super) const SMALL_BYTES: u32 = 32;

/// The segments are small, so that a few frames fill one.
pub(super) const SHAPE: Shape = Shape {
    segment_bytes: 28 * 1024,
    group_bytes: 12 * 1024,
};

#[derive(Debug)]
pub(super) struct Scratch {
    directory: tempfile::TempDir,
    pub(super) disk: FaultyDisk,
    announced: Arc<Mutex<Vec<Announcement>>>,
    pub(super) limits: JournalConfig,
}

impl Scratch {
    pub(super) fn new() -> Self {
        // This is in memory if possible: few tests here need a real disk.
        let memory = Path::new("/dev/shm");
        Self::below(&if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        })
    }

    /// A journal on another file system, if there is one in memory.
    pub(super) fn on_disk() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> Self {
        let directory = tempfile::tempdir_in(place).unwrap();
        Journal::init(directory.path(), &LocalDisk).unwrap();
        Self {
            disk: FaultyDisk::new(directory.path().join("graveyard")),
            announced: Arc::default(),
            directory,
            limits: JournalConfig {
                node: 1,
                durability: Durability::Disk,
                log_body_bytes: SMALL_BYTES,
                max_bytes: 100_000,
                max_entries: 200,
                min_free_bytes: 0,
                min_free_inodes: 0,
                settled_grace: HOUR,
                settled_max_bytes: 100_000,
                answer_lifetime: HOUR,
                max_answers: 100,
                spool_orphan: HOUR,
                upload_lifetime: HOUR,
                max_open_uploads: 100,
            },
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.directory.path())
    }

    pub(super) fn try_open(&self) -> Result<(Journal, Recovered), OpenError> {
        let disk = Box::new(self.disk.clone());
        let list = Arc::clone(&self.announced);
        let announcer = Announcer::new(move |announcement| {
            list.lock().unwrap().push(announcement);
        });
        Journal::open_shaped(self.path(), self.limits.clone(), disk, announcer, SHAPE)
    }

    /// The announcements since the last call.
    pub(super) fn announced(&self) -> Vec<Announcement> {
        std::mem::take(&mut self.announced.lock().unwrap())
    }

    pub(super) fn journal(&self) -> Journal {
        self.try_open().unwrap().0
    }

    /// Spools a body as nginx does, and claims it.
    pub(super) fn spooled(&self, content: &[u8]) -> SpooledBody {
        self.spooled_as(SPOOLED, content)
    }

    /// Spools a body under a name of its own, beside others.
    pub(super) fn spooled_as(&self, name: &str, content: &[u8]) -> SpooledBody {
        let path = self.layout().spool().join(name);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, content).unwrap();
        self.claim(name).unwrap()
    }

    pub(super) fn claim(&self, name: &str) -> Result<SpooledBody, ClaimError> {
        let spool = Spool::open(&self.layout().spool()).unwrap();
        spool.claim(name.as_bytes(), None)
    }

    pub(super) fn try_adopt(&self, journal: &Journal, body: &[u8]) -> Result<Adopted, AdoptError> {
        journal.adopt(Some(&self.spooled(body)), draft())
    }

    pub(super) fn adopt(&self, journal: &Journal, body: &[u8]) -> FileId {
        self.try_adopt(journal, body).unwrap().id()
    }

    /// Adopts a form of these parts, one behind the other.
    pub(super) fn try_adopt_form(
        &self,
        journal: &Journal,
        parts: &[&[u8]],
    ) -> Result<Vec<FileId>, AdoptError> {
        let mut offset = 2;
        let windows = parts.iter().map(|part| {
            let length = u64::try_from(part.len()).unwrap();
            let window = Window { offset, length };
            offset += length;
            (window, draft())
        });
        let windows = windows.collect();
        let body = self.spooled(&[b"--", parts.concat().as_slice()].concat());
        let adopted = journal.adopt_form(&body, windows)?;
        Ok(adopted.iter().map(Adopted::id).collect())
    }

    /// Loses unsynced data.
    pub(super) fn cut_power(&self) {
        let layout = self.layout();
        self.disk
            .cut_power(&[layout.bodies(), layout.wal(), layout.corrupt()]);
    }

    /// The names in a directory.
    pub(super) fn names(directory: &Path) -> Vec<String> {
        let found = fs::read_dir(directory).unwrap();
        let names = found.map(|found| found.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

pub(super) fn draft() -> Draft {
    Draft {
        subject: Subject(3),
        ..Draft::sample()
    }
}

/// Returns an id that no entry has.
pub(super) fn absent() -> FileId {
    FileId::from_bytes([1; 12])
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

pub(super) fn sha256_of(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// Returns the room that an entry is shown in.
pub(super) fn room(journal: &Journal, id: FileId) -> Option<Room> {
    journal.known(id).and_then(|known| room_of(known.phase))
}

/// Returns all bytes of an entry; `None` if it has none any more.
pub(super) fn content(journal: &Journal, id: FileId) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    match journal.open_window(id).unwrap()? {
        Opened::Memory(bytes) => Some(bytes.to_vec()),
        Opened::File(file, window) => {
            let mut bytes = vec![0; usize::try_from(window.length).unwrap()];
            file.read_exact_at(&mut bytes, window.offset).unwrap();
            Some(bytes)
        }
    }
}
