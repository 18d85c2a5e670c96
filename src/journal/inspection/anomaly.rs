//! Damage of a journal.

use std::fmt;

use crate::file::FileId;
use crate::journal::layout::BODIES;
use crate::journal::record::RecordError;
use crate::journal::wal::Damage;

/// A fault that needs an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// A part of the log is damaged.
    Damage(Damage),
    /// A record cannot be read, though its frame is sound: another version may have written it.
    Record {
        /// The entry's id.
        id: FileId,
        /// Why.
        err: RecordError,
    },
    /// An entry has changes and no base.
    NoBase(FileId),
    /// A promised file lacks its body, or a part of it.
    NoBody {
        /// The entry's id.
        id: FileId,
        /// Why.
        fault: String,
    },
    /// A file among the bodies that belongs to no entry.
    LoneBody(String),
}

impl Anomaly {
    /// The name of the entry or the file.
    pub fn name(&self) -> String {
        match self {
            Self::Damage(_) => "wal".to_owned(),
            Self::Record { id, .. } | Self::NoBase(id) | Self::NoBody { id, .. } => id.to_string(),
            Self::LoneBody(name) => format!("{BODIES}/{name}"),
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(damage) => damage.fmt(formatter),
            Self::Record { id, err } => write!(formatter, "{id}: the record: {err}"),
            Self::NoBase(id) => write!(formatter, "{id}: has changes, and no base"),
            Self::NoBody { id, fault } => write!(formatter, "{id}: the body: {fault}"),
            Self::LoneBody(name) => write!(formatter, "{name}: a body that no entry has"),
        }
    }
}
