//! The port for indexes that are built in the background.

use futures::future::BoxFuture;

/// The state of an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IndexStanding {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// The index does not exist, and nobody builds it.
    Absent,
    /// The index is being built.
    Building,
    /// The index exists.
    Ready,
}

impl IndexStanding {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Absent, Self::Building, Self::Ready];

    /// Returns its word in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Absent => "absent",
            Self::Building => "building",
            Self::Ready => "ready",
        }
    }
}

/// The state of an index at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexState {
    /// Its collection and fields.
    pub name: &'static str,
    /// Its state.
    pub standing: IndexStanding,
    /// The percentage of the present step that is done, if the store tells it.
    pub done_percent: Option<u8>,
    /// The reason why it could not be built.
    pub error: Option<String>,
}

/// Builds indexes in the background.
pub trait Indexes: Send + Sync {
    /// Returns all wanted indexes, as the last look found them.
    fn states(&self) -> Vec<IndexState>;

    /// Builds missing indexes, and looks for them again and again, because an admin who empties the
    /// store removes them. Only one of several nodes builds at a time. This never ends. Its drop
    /// may leave an index unfinished, and the next look finishes it. `instance` is the name of this
    /// process among all nodes.
    fn keep<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, ()>;
}
