//! The journal on disk: the one place that forms and reads its paths.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::file::FileId;

/// The directory that holds the bodies of all entries that do not stand in the log.
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

    /// The file that shows that this is the journal's disk and not an empty mount point, and tells the
    /// journal's form.
    pub fn marker(&self) -> PathBuf {
        self.journal.join("gridspool-journal")
    }

    /// A plain file where journals of the first form have a directory: programs that know no other form
    /// refuse to start, and to begin a journal here.
    pub fn barrier(&self) -> PathBuf {
        self.journal.join("incoming")
    }

    /// The file whose lock admits one sidecar.
    pub fn lock(&self) -> PathBuf {
        self.journal.join("lock")
    }

    /// Where all bodies are that do not stand in the log.
    pub fn bodies(&self) -> PathBuf {
        self.journal.join(BODIES)
    }

    /// Where the log is.
    pub fn wal(&self) -> PathBuf {
        self.journal.join("wal")
    }

    /// What cannot be read, for an admin to look at.
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

    /// The entry that a name among the bodies belongs to; `None` if it is no body's name.
    pub fn body_id(name: &OsStr) -> Option<FileId> {
        name.to_str()?.parse().ok()
    }
}
