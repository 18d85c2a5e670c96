//! The paths of the journal. Only this file builds and reads them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::file::FileId;

/// The directory of all bodies that are not inline in the log.
pub const BODIES: &str = "body";

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

    /// nginx's spool directory.
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// nginx's cache directory.
    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// The journal's directory.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// The marker: shows that this is the journal's disk and not an empty mount point, and states the
    /// journal's format.
    pub fn marker(&self) -> PathBuf {
        self.journal.join("gridspool-journal")
    }

    /// The mark of a journal whose entries another node takes over, with the number of that node.
    pub fn rescued(&self) -> PathBuf {
        self.journal.join("rescued")
    }

    /// A plain file where journals of the first format have a directory. Programs that only know that
    /// format refuse to start on this journal, and to make a new one here.
    pub fn barrier(&self) -> PathBuf {
        self.journal.join("incoming")
    }

    /// The journal's name.
    pub fn identity(&self) -> PathBuf {
        self.journal.join("identity")
    }

    /// The number under which the list of nodes has this journal.
    pub fn joined(&self) -> PathBuf {
        self.journal.join("number")
    }

    /// The names of the last processes that served this journal.
    pub fn processes(&self) -> PathBuf {
        self.journal.join("processes")
    }

    /// The file with the lock that admits only one sidecar.
    pub fn lock(&self) -> PathBuf {
        self.journal.join("lock")
    }

    /// The directory of all bodies that are not inline in the log.
    pub fn bodies(&self) -> PathBuf {
        self.journal.join(BODIES)
    }

    /// The directory of the log.
    pub fn wal(&self) -> PathBuf {
        self.journal.join("wal")
    }

    /// The directory of unreadable data, for an admin to look at.
    pub fn corrupt(&self) -> PathBuf {
        self.journal.join("corrupt")
    }

    /// Every directory, parents first.
    pub fn directories(&self) -> Vec<PathBuf> {
        vec![
            self.data.clone(),
            self.spool(),
            self.cache(),
            self.journal.clone(),
            self.bodies(),
            self.wal(),
            self.corrupt(),
        ]
    }

    /// The body of an entry.
    pub fn body(&self, id: FileId) -> PathBuf {
        self.bodies().join(id.to_string())
    }

    /// The entry of a file name in the directory of bodies; `None` if it is not the name of a body.
    pub fn body_id(name: &OsStr) -> Option<FileId> {
        name.to_str()?.parse().ok()
    }
}
