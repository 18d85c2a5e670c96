//! The rooms on disk: the one place that forms and reads the journal's paths.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::file::FileId;

/// A directory of records. The room that an entry's record is in is the entry's state.
///
/// In order: where a cut has left an id in two rooms, the later one is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Promised, not tried yet or tried without a fault of its own.
    Incoming,
    /// Promised; an attempt failed, and the record says when the next one is due.
    Deferred,
    /// Promised; no attempt can help until an admin has looked. The record has the reason.
    Hold,
    /// Proven in the store; the body stays for a while.
    Settled,
    /// Deleted by a caller, until nothing of it is left anywhere.
    Deleted,
}

impl Room {
    /// All rooms, in order.
    pub const ALL: [Self; 5] = [
        Self::Incoming,
        Self::Deferred,
        Self::Hold,
        Self::Settled,
        Self::Deleted,
    ];

    /// The directory's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Settled => "settled",
            Self::Deleted => "deleted",
        }
    }

    /// Whether an entry here is promised and not yet proven in the store.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Incoming | Self::Deferred | Self::Hold)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The directory that holds the bodies of all entries, whatever room their records are in: a
/// change of state is one rename, and a download never meets a body that has moved.
pub const BODIES: &str = "body";

/// Ends the name of a record.
const RECORD_SUFFIX: &str = ".json";

/// Ends the name of a segment of the log.
const SEGMENT_SUFFIX: &str = ".log";

/// Ends the name of a file of answers.
const ANSWERS_SUFFIX: &str = ".answers";

/// Ends the name of the list of a form's entries.
const FORM_SUFFIX: &str = ".form";

/// Paths below a data directory.
#[derive(Debug, Clone)]
pub struct Layout {
    data: PathBuf,
    journal: PathBuf,
}

impl Layout {
    /// The paths below `data`.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            journal: data.join("journal"),
        }
    }

    /// Where nginx spools bodies.
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// Where nginx caches slices.
    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// The journal itself.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// The file that shows that this is the journal's disk and not an empty mount point.
    pub fn marker(&self) -> PathBuf {
        self.journal.join("gridspool-journal")
    }

    /// The file whose lock admits one sidecar.
    pub fn lock(&self) -> PathBuf {
        self.journal.join("lock")
    }

    /// Where records are written before they have a room.
    pub fn tmp(&self) -> PathBuf {
        self.journal.join("tmp")
    }

    /// Where all bodies are.
    pub fn bodies(&self) -> PathBuf {
        self.journal.join(BODIES)
    }

    /// What cannot be read, for an admin to look at.
    pub fn corrupt(&self) -> PathBuf {
        self.journal.join("corrupt")
    }

    /// Where small uploads are.
    pub fn log(&self) -> PathBuf {
        self.journal.join("log")
    }

    /// A segment of the log.
    pub fn segment(&self, generation: u64) -> PathBuf {
        self.log().join(format!("{generation:016}{SEGMENT_SUFFIX}"))
    }

    /// The segment that a name in the log is that of; `None` if it is none's.
    pub fn generation(name: &OsStr) -> Option<u64> {
        name.to_str()?.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()
    }

    /// Where the records of entries that have left are kept, for those who ask again.
    pub fn answered(&self) -> PathBuf {
        self.journal.join("answered")
    }

    /// A file of such records.
    pub fn answers(&self, generation: u64) -> PathBuf {
        let name = format!("{generation:016}{ANSWERS_SUFFIX}");
        self.answered().join(name)
    }

    /// The number in a name of such a file; `None` if it is none.
    pub fn answers_generation(name: &OsStr) -> Option<u64> {
        name.to_str()?.strip_suffix(ANSWERS_SUFFIX)?.parse().ok()
    }

    /// A room's directory.
    pub fn room(&self, room: Room) -> PathBuf {
        self.journal.join(room.name())
    }

    /// Every directory, parents first.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut all = vec![
            self.data.clone(),
            self.spool(),
            self.cache(),
            self.journal.clone(),
            self.tmp(),
            self.bodies(),
            self.corrupt(),
            self.log(),
            self.answered(),
        ];
        all.extend(Room::ALL.map(|room| self.room(room)));
        all
    }

    /// The record of an entry in a room.
    pub fn record(&self, room: Room, id: FileId) -> PathBuf {
        self.room(room).join(format!("{id}{RECORD_SUFFIX}"))
    }

    /// The record of an entry while it is written.
    pub fn record_in_writing(&self, id: FileId) -> PathBuf {
        self.tmp().join(format!("{id}{RECORD_SUFFIX}"))
    }

    /// The list of a form's entries while they are written, by the first of them.
    pub fn form_in_writing(&self, first: FileId) -> PathBuf {
        self.tmp().join(format!("{first}{FORM_SUFFIX}"))
    }

    /// Whether a name in `tmp` is that of a form's list.
    pub fn is_form(name: &OsStr) -> bool {
        name.to_str()
            .is_some_and(|name| name.ends_with(FORM_SUFFIX))
    }

    /// The body of an entry.
    pub fn body(&self, id: FileId) -> PathBuf {
        self.bodies().join(id.to_string())
    }

    /// The entry that a name in a room belongs to; `None` if it is no record's name.
    pub fn record_id(name: &OsStr) -> Option<FileId> {
        name.to_str()?.strip_suffix(RECORD_SUFFIX)?.parse().ok()
    }

    /// The entry that a name among the bodies belongs to; `None` if it is no body's name.
    pub fn body_id(name: &OsStr) -> Option<FileId> {
        name.to_str()?.parse().ok()
    }
}
