//! Looks into a journal, for admins: its entries, its faults, and the salvage of intact data. It writes
//! nothing into the journal.
//!
//! 1. The log is read and folded, as at a start. Faults that would refuse a start are noted and
//!    skipped.
//! 2. For bodies, the log is read a second time: only the last base of an entry counts.
//!
//! The memory holds an index of all entries, and one segment.

mod anomaly;
mod contents;
mod known;
mod live;
mod record_words;
mod salvage;
mod salvage_files;
mod salvage_uploads;
mod show;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

use crate::journal::layout::BODIES;

pub use anomaly::Anomaly;
pub use contents::{Contents, EntryInfo};
pub use known::KnownIds;
pub use live::Written;
pub use record_words::{state, words};
pub use salvage::Salvaged;
pub use salvage_files::SalvageError;
pub use show::Shown;

/// A journal, to be looked at.
#[derive(Debug, Clone)]
pub struct Inspection {
    journal: PathBuf,
}

impl Inspection {
    /// Looks at the journal in this directory.
    pub fn new(journal: &Path) -> Self {
        Self {
            journal: journal.to_owned(),
        }
    }

    fn wal(&self) -> PathBuf {
        self.journal.join("wal")
    }

    fn corrupt(&self) -> PathBuf {
        self.journal.join("corrupt")
    }

    fn bodies(&self) -> PathBuf {
        self.journal.join(BODIES)
    }
}
