//! Changes: a frame that says what is new of an entry whose base stands before it.

use std::time::Duration;

use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::store::Sha256;

/// A moment by the log's own clock, in milliseconds: it counts the time that the journal has served, so
/// no wall clock that jumps makes anything due, late or forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(pub u64);

impl LogTime {
    /// So much later.
    #[must_use]
    pub fn later(self, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(pause))
    }

    /// How long it is from another moment to this one; nothing if this one is over then.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// News of an entry. Each says all that a change can say, so the last one counts; an extent
/// says all of its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An attempt to commit it failed by its own fault; the next is due at a time.
    Deferred {
        /// When.
        due: LogTime,
        /// How often, and why.
        why: Why,
    },
    /// It waits for an admin.
    Held(Why),
    /// It is due now, as if it had never failed.
    Waiting,
    /// The store has it, by this proof.
    Settled(Settled),
    /// An upload resource has grown: its extent of this number has so many bytes now.
    Extent {
        /// Which: the next one, or the last.
        number: u32,
        /// All of the extent's bytes.
        length: u64,
        /// When the upload lapses, if it does not grow again.
        lapses: LogTime,
    },
    /// Nothing is left of the entry.
    Gone,
}

/// Why an entry is not in the store yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// Attempts that failed by its own fault.
    pub attempts: u16,
    /// The last one's reason.
    pub reason: String,
}

/// A proven commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// When it was noted.
    pub at: LogTime,
    /// The digest of what the store has.
    pub sha256: Sha256,
}

impl Why {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), RecordError> {
        writer.number32(self.attempts.into());
        writer.text(&self.reason)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let attempts = u16::try_from(reader.number32()?);
        Ok(Self {
            attempts: attempts.map_err(|_| RecordError::Damaged("too many attempts"))?,
            reason: reader.text()?.to_owned(),
        })
    }
}

impl Change {
    /// The time that the frame's head tells.
    pub(super) fn moment(&self) -> LogTime {
        match self {
            Self::Deferred { due, .. } => *due,
            Self::Settled(settled) => settled.at,
            Self::Extent { lapses, .. } => *lapses,
            Self::Held(_) | Self::Waiting | Self::Gone => LogTime(0),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), RecordError> {
        match self {
            Self::Deferred { why, .. } | Self::Held(why) => why.write(writer)?,
            Self::Settled(settled) => writer.digest(settled.sha256),
            Self::Extent { number, length, .. } => {
                writer.number32(*number);
                writer.number64(*length);
            }
            Self::Waiting | Self::Gone => {}
        }
        Ok(())
    }
}
