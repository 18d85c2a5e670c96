//! The state of another node: up, or down after looks without an answer.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The pause between two looks at a node.
const PAUSE: Duration = Duration::from_secs(3);

/// The pause between two looks at a node that did not answer the last one, or that is in doubt.
pub(super) const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// After so many looks without an answer the pause is long again.
const SHORT_PAUSES: u32 = 10;

/// So many looks in a row without an answer mean that a node is down. One alone may be a restart.
const DOWN: u32 = 2;

/// The state of another node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerState {
    /// When it answered a look last, with the right number.
    pub seen: Option<SystemTime>,
    /// Where it is, in digits; `None` until its name is looked up.
    pub(super) address: Option<SocketAddr>,
    /// The error of the last look, if it failed.
    pub error: Option<String>,
    /// The looks in a row without an answer.
    pub(super) failures: u32,
    /// When the next look is due.
    pub(super) again: Option<Instant>,
}

impl PeerState {
    /// The state of a node that tells no address.
    pub(super) fn without_address() -> Self {
        Self {
            error: Some("tells no address, and the settings name none".to_owned()),
            failures: DOWN,
            ..Self::default()
        }
    }

    /// Returns whether it answered one of the last looks.
    pub fn is_up(&self) -> bool {
        self.seen.is_some() && !self.is_down()
    }

    /// Returns whether the node is not asked until a look finds it up.
    pub(super) fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// The pause until the next look.
    pub(super) fn pause(&self) -> Duration {
        match self.failures {
            0 | SHORT_PAUSES.. => PAUSE,
            _ => SHORT_PAUSE,
        }
    }
}
