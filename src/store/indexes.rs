//! The port for indexes that are made beside all other work.

use futures::future::BoxFuture;

/// How far an index is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IndexStanding {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It is not there, and nobody makes it.
    Absent,
    /// It is being made.
    Building,
    /// It is there.
    Ready,
}

impl IndexStanding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Absent, Self::Building, Self::Ready];

    /// The word in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Absent => "absent",
            Self::Building => "building",
            Self::Ready => "ready",
        }
    }
}

/// An index as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexState {
    /// Its collection and fields.
    pub name: &'static str,
    /// How far it is.
    pub standing: IndexStanding,
    /// The part of the present step that is done, in percent, if the store tells.
    pub done_percent: Option<u8>,
    /// Why it is not there, if it could not be made.
    pub error: Option<String>,
}

/// Makes indexes while all else goes on.
pub trait Indexes: Send + Sync {
    /// All that there should be, as they were seen last.
    fn states(&self) -> Vec<IndexState>;

    /// Makes those that are not there, and looks for them again and again: whoever empties the store takes them
    /// away. Of several nodes one does so at a time. Never ends; dropping it may leave an index half made, which
    /// the next one to look finishes. `instance` is the name of this process among all nodes.
    fn keep<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, ()>;
}
