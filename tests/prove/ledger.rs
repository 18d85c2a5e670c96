//! The requests of clients, and their answers. Each line is on disk before the next request, on a
//! file system that is never cut.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use kit::noise;

use crate::joined::Joined;
use crate::pieces::Pieces;
use crate::whole::Whole;

/// A client's knowledge of its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was sent without a 201: it may exist or not, but must be whole.
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

impl State {
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::Promised(id) | Self::Deleting(id) | Self::Deleted(id) => Some(id),
        }
    }
}

impl Upload {
    pub(crate) fn content(&self) -> Vec<u8> {
        noise(self.key, self.length)
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.state.id()
    }
}

/// One message. Its key is the id that its sender gave it, and is in its package. Its parts are
/// files with keys of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: u64,
    /// The key and the length of each part.
    pub(crate) parts: Vec<(u64, usize)>,
    /// The number of its receiver.
    pub(crate) to: usize,
    /// The id of the message that it forwards; its parts are the parts of that message.
    pub(crate) source: Option<String>,
    pub(crate) state: State,
    /// The ids of its parts, once they are known.
    pub(crate) part_ids: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    uploads: Mutex<BTreeMap<u64, Upload>>,
    messages: Mutex<BTreeMap<u64, Message>>,
    /// Those of the uploads that come in pieces.
    pieces: Mutex<BTreeMap<u64, Pieces>>,
    /// Those of the uploads that are made of partial ones.
    joined: Mutex<BTreeMap<u64, Joined>>,
    file: File,
}

impl Ledger {
    pub(crate) fn create(path: &Path) -> Self {
        Self {
            uploads: Mutex::default(),
            messages: Mutex::default(),
            pieces: Mutex::default(),
            joined: Mutex::default(),
            file: File::create_new(path).expect("the ledger"),
        }
    }

    /// Records that an upload is about to be sent.
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

    /// Records a new state of an upload.
    pub(crate) fn set(&self, key: u64, state: State) {
        self.write(&format!("{state:?} {key}"));
        let mut uploads = self.uploads.lock().expect("the ledger");
        uploads.get_mut(&key).expect("it was sent").state = state;
    }

    /// Records that a message is about to be sent, or has changed.
    pub(crate) fn set_message(&self, message: Message) {
        self.write(&format!("{message:?}"));
        let mut messages = self.messages.lock().expect("the ledger");
        messages.insert(message.key, message);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        let messages = self.messages.lock().expect("the ledger");
        messages.values().cloned().collect()
    }

    /// Returns whether a message is promised under this id, and no client has begun to delete it.
    pub(crate) fn is_promised(&self, id: &str) -> bool {
        let messages = self.messages.lock().expect("the ledger");
        let promised = State::Promised(id.to_owned());
        messages.values().any(|message| message.state == promised)
    }

    /// Forgets a message: it is proven to be right or was refused for good, and need not be checked
    /// again.
    pub(crate) fn forget_message(&self, key: u64) {
        self.pieces.lock().expect("the ledger").remove(&key);
        self.messages.lock().expect("the ledger").remove(&key);
    }

    /// Records that an upload in pieces is about to be sent, or has changed.
    pub(crate) fn set_pieces(&self, pieces: &Pieces) {
        self.write(&format!("{pieces:?}"));
        let mut all = self.pieces.lock().expect("the ledger");
        all.insert(pieces.key, pieces.clone());
    }

    /// The uploads in pieces, each with the state of what it becomes: of the first file of a form.
    pub(crate) fn pieces(&self) -> Vec<(Pieces, State)> {
        let pieces = self.pieces.lock().expect("the ledger");
        let messages = self.messages.lock().expect("the ledger");
        let uploads = self.uploads.lock().expect("the ledger");
        let state = |one: &Pieces| match one.whole {
            Whole::Message(_) => &messages.get(&one.key).expect("it was sent").state,
            Whole::File | Whole::Part(_) | Whole::Form(_) => {
                &uploads.get(&one.key).expect("it was sent").state
            }
        };
        let each = pieces.values();
        each.map(|one| (one.clone(), state(one).clone())).collect()
    }

    /// Records that a file of parts is about to be sent, or has changed.
    pub(crate) fn set_joined(&self, joined: &Joined) {
        self.write(&format!("{joined:?}"));
        let mut all = self.joined.lock().expect("the ledger");
        all.insert(joined.key, joined.clone());
    }

    /// The files of parts, each with its state.
    pub(crate) fn joined(&self) -> Vec<(Joined, State)> {
        let joined = self.joined.lock().expect("the ledger");
        let uploads = self.uploads.lock().expect("the ledger");
        let state = |key: &u64| uploads.get(key).expect("it was sent").state.clone();
        let each = joined.iter();
        each.map(|(key, one)| (one.clone(), state(key))).collect()
    }

    /// Writes a line without a lock, so that lines of several clients share one flush.
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

    /// Forgets an upload: it is proven to be right, and need not be checked again.
    pub(crate) fn forget(&self, key: u64) {
        self.pieces.lock().expect("the ledger").remove(&key);
        self.joined.lock().expect("the ledger").remove(&key);
        self.uploads.lock().expect("the ledger").remove(&key);
    }
}
