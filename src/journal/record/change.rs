//! Changes: a frame with the news of an entry. The entry's base stands before it.

use std::time::Duration;

use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::store::Sha256;

/// A moment by the log's own clock, in milliseconds. The clock counts the time for which the journal
/// was served, so a jump of the wall clock makes nothing due, late or forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(pub u64);

impl LogTime {
    /// The moment after this time.
    #[must_use]
    pub fn later(self, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(pause))
    }

    /// The time from an earlier moment to this one; zero if that moment is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The news of an entry. Each change replaces the changes before it, so the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An attempt to commit it failed by its own fault; the next one has a due time.
    Deferred {
        /// When.
        due: LogTime,
        /// The number of failed attempts, and the last reason.
        why: Why,
    },
    /// It waits for an admin.
    Held(Why),
    /// It is due now, as if it had never failed.
    Waiting,
    /// The store has it; this is the proof.
    Settled(Settled),
    /// An upload has grown.
    Grown(Growth),
    /// Nothing is left of the entry.
    Gone,
}

/// The bytes of an upload that may still grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The number of bytes that are there for good: its offset.
    pub length: u64,
    /// The length of the whole upload, if it is known.
    pub declared: Option<u64>,
    /// When the upload expires if it does not grow again.
    pub lapses: LogTime,
    /// The key of the answer with the files or the message that it has become. It has no bytes of its
    /// own then, and takes no more.
    pub made: Option<Sha256>,
}

/// The reason why an entry is not in the store yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// Attempts that failed by its own fault.
    pub attempts: u16,
    /// The reason of the last failure.
    pub reason: String,
}

/// A proven commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// When it was recorded.
    pub at: LogTime,
    /// The digest of the file in the store.
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

impl Growth {
    /// Whether an upload can have these bytes after others: an offset that was told never shrinks, a
    /// length that was declared stays, and nothing follows what it has become.
    pub(in crate::journal) fn follows(&self, before: &Self) -> bool {
        before.made.is_none()
            && self.length >= before.length
            && (before.declared.is_none() || self.declared == before.declared)
    }

    /// The bytes of room that it has a right to.
    pub(in crate::journal) fn room(&self) -> u64 {
        if self.made.is_some() {
            return 0;
        }
        self.declared.unwrap_or_default().max(self.length)
    }

    /// The bytes that its own body has.
    pub(in crate::journal) fn kept(&self) -> u64 {
        self.made.map_or(self.length, |_| 0)
    }

    /// The bytes that have not come of these.
    pub(in crate::journal) fn expected(&self) -> u64 {
        self.room().saturating_sub(self.length)
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), RecordError> {
        writer.number64(self.length);
        writer.optional(self.declared.as_ref(), |writer, declared| {
            writer.number64(*declared);
            Ok(())
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, lapses: LogTime) -> Result<Self, RecordError> {
        let growth = Self {
            length: reader.number64()?,
            declared: reader.optional(Reader::number64)?,
            lapses,
            made: None,
        };
        if growth
            .declared
            .is_none_or(|declared| declared >= growth.length)
        {
            Ok(growth)
        } else {
            Err(RecordError::Damaged("longer than it was declared"))
        }
    }
}

impl Change {
    /// The time in the frame's head.
    pub(super) fn moment(&self) -> LogTime {
        match self {
            Self::Deferred { due, .. } => *due,
            Self::Settled(settled) => settled.at,
            Self::Grown(growth) => growth.lapses,
            Self::Held(_) | Self::Waiting | Self::Gone => LogTime(0),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), RecordError> {
        match self {
            Self::Deferred { why, .. } | Self::Held(why) => why.write(writer)?,
            Self::Settled(settled) => writer.digest(settled.sha256),
            Self::Grown(growth) => {
                growth.write(writer)?;
                growth.made.into_iter().for_each(|key| writer.digest(key));
            }
            Self::Waiting | Self::Gone => {}
        }
        Ok(())
    }
}
