//! The requests of clients, and their answers. Each line is on disk before the next request, and on another file
//! system than the one that is cut.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use kit::noise;

/// A client's knowledge of its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was sent without a 201: it may be there or not, but must be whole.
    Unknown,
    /// It was promised under this id.
    Promised(String),
    /// It was promised under this id; a delete was sent and not answered.
    Deleting(String),
    /// It was deleted under this id.
    Deleted(String),
}

/// One file. Its name is its key, and its content is made of its key.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) key: u64,
    pub(crate) length: usize,
    /// Whether it was sent as a body of its own, under its key as its Idempotency-Key.
    pub(crate) is_keyed: bool,
    pub(crate) state: State,
}

impl Upload {
    pub(crate) fn content(&self) -> Vec<u8> {
        noise(self.key, self.length)
    }

    pub(crate) fn id(&self) -> Option<&str> {
        match &self.state {
            State::Unknown => None,
            State::Promised(id) | State::Deleting(id) | State::Deleted(id) => Some(id),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    uploads: Mutex<BTreeMap<u64, Upload>>,
    file: File,
}

impl Ledger {
    pub(crate) fn create(path: &Path) -> Self {
        Self {
            uploads: Mutex::default(),
            file: File::create_new(path).expect("the ledger"),
        }
    }

    /// An upload is about to be sent.
    pub(crate) fn send(&self, key: u64, length: usize, is_keyed: bool) {
        self.write(&format!("sent {key} {length} {is_keyed}"));
        let upload = Upload {
            key,
            length,
            is_keyed,
            state: State::Unknown,
        };
        self.uploads.lock().expect("the ledger").insert(key, upload);
    }

    /// It is something else now.
    pub(crate) fn set(&self, key: u64, state: State) {
        self.write(&format!("{state:?} {key}"));
        let mut uploads = self.uploads.lock().expect("the ledger");
        uploads.get_mut(&key).expect("it was sent").state = state;
    }

    /// Without a lock: what several clients do at once costs one flush.
    fn write(&self, line: &str) {
        let line = format!("{line}\n");
        let written = (&self.file).write_all(line.as_bytes());
        written.expect("room for the ledger");
        let synced = self.file.sync_data();
        synced.expect("a disk that holds the ledger");
    }

    pub(crate) fn all(&self) -> Vec<Upload> {
        let uploads = self.uploads.lock().expect("the ledger");
        uploads.values().cloned().collect()
    }

    /// It is proven to be right, and need not be checked again.
    pub(crate) fn forget(&self, key: u64) {
        self.uploads.lock().expect("the ledger").remove(&key);
    }
}
