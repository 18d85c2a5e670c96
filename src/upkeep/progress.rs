//! How far a check has come, and where that is written down.
//!
//! The file is written in place: one that is torn by a cut is begun anew, which costs time and
//! nothing else.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::UpkeepError;
use crate::bucket::Place;
use crate::file::hex;

/// What is being looked through.
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

/// Counts since the check was begun, however often it was cut since.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being looked through.
    pub phase: Phase,
    /// The id that was seen last of it, if any was.
    pub(super) after: Option<String>,
    /// Files in the bucket when the check began, about.
    pub files_expected: u64,
    /// Entries of the journal that were looked at.
    pub entries: u64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes, as MongoDB sent them.
    pub bytes: u64,
    /// Chunks that were looked up.
    pub chunks: u64,
    /// Ids whose chunks have no file, and may still get one.
    pub waiting: u64,
    /// Ids whose chunks have no file, old enough to be cleared away.
    pub orphans: u64,
    /// Those of them that were removed.
    pub removed: u64,
    /// All that is wrong.
    pub findings: u64,
}

impl Progress {
    /// The place that a cut run has reached; a new beginning if there was none.
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

    /// Where this phase goes on.
    pub(super) fn place(&self) -> Option<Place> {
        self.after
            .as_deref()
            .and_then(hex::read)
            .and_then(Place::from_bytes)
    }

    /// Goes on behind a place, or in the next phase.
    pub(super) fn move_to(&mut self, place: Option<&Place>, next: Phase) {
        let digits = |place: &Place| {
            std::fmt::from_fn(|formatter| hex::write(place.bytes(), formatter)).to_string()
        };
        self.after = place.map(digits);
        if place.is_none() {
            self.phase = next;
        }
    }
}
