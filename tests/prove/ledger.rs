//! What clients did and were told, in the memory of a process that no fault strikes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::noise;

/// What a client knows of its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was sent, and no 201 came: it may be there or not, but whole.
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

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    uploads: Mutex<BTreeMap<u64, Upload>>,
}

impl Ledger {
    /// An upload is about to be sent.
    pub(crate) fn send(&self, key: u64, length: usize, is_keyed: bool) {
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
        let mut uploads = self.uploads.lock().expect("the ledger");
        uploads.get_mut(&key).expect("it was sent").state = state;
    }

    pub(crate) fn all(&self) -> Vec<Upload> {
        let uploads = self.uploads.lock().expect("the ledger");
        uploads.values().cloned().collect()
    }

    /// What is proven to be as it should, and need not be looked at again.
    pub(crate) fn forget(&self, key: u64) {
        self.uploads.lock().expect("the ledger").remove(&key);
    }
}
