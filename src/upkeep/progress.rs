//! The progress of a check, and the file that keeps it.
//!
//! The file is overwritten in place. A cut can tear it; the check then begins anew, which costs time
//! only.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::UpkeepError;
use crate::bucket::Cursor;
use crate::file::hex;

/// The phase of a check.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The journal of this node.
    #[default]
    Journal,
    /// The files of the bucket.
    Files,
    /// The chunks of the bucket.
    Chunks,
}

/// Counts since the check was begun, over all interruptions.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// The id that this phase saw last, if any.
    pub(super) after: Option<String>,
    /// The approximate number of files in the bucket when the check began.
    pub files_expected: u64,
    /// Entries of the journal that were checked.
    pub entries: u64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes, as MongoDB sent them.
    pub bytes: u64,
    /// Chunks that were looked up.
    pub chunks: u64,
    /// Ids with chunks but without a file; they may still get one.
    pub waiting: u64,
    /// Ids with chunks but without a file, old enough to be cleared away.
    pub orphans: u64,
    /// Links to lost messages that are old enough to be cleared away.
    pub lost_links: u64,
    /// Orphans and lost links that were removed.
    pub removed: u64,
    /// All faults.
    pub findings: u64,
}

impl Progress {
    /// The progress of an interrupted run, or a new beginning.
    pub(super) fn read(path: Option<&Path>) -> Self {
        let Some(text) = path.and_then(|path| fs::read_to_string(path).ok()) else {
            return Self::default();
        };
        serde_json::from_str(&text).unwrap_or_else(|err| {
            log::warn!("what a run before has reached cannot be read ({err}); beginning anew");
            Self::default()
        })
    }

    /// Writes it down.
    pub(super) fn write(&self, path: Option<&Path>) -> Result<(), UpkeepError> {
        let Some(path) = path else {
            return Ok(());
        };
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(path, text))
            .map_err(|source| UpkeepError::State {
                path: path.to_owned(),
                source,
            })
    }

    /// The place at which this phase goes on.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.after
            .as_deref()
            .and_then(hex::read)
            .and_then(Cursor::from_bytes)
    }

    /// Goes on behind a place, or in the next phase.
    pub(super) fn move_to(&mut self, place: Option<&Cursor>, next: Phase) {
        let digits = |place: &Cursor| {
            std::fmt::from_fn(|formatter| hex::write(place.bytes(), formatter)).to_string()
        };
        self.after = place.map(digits);
        if place.is_none() {
            self.phase = next;
        }
    }
}
