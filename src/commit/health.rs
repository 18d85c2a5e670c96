//! The health of the store, seen by pings that never stop.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backoff;
use crate::journal::point::point;
use crate::store::{Store, StoreError};

/// The pause between two pings of a store that answers.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// The pause between two pings of a store that does not answer. It is short, so that a backlog
/// begins to drain soon.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(4);

/// The outcome of the last ping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreStanding {
    /// No answer.
    #[default]
    Down,
    /// The store answers, and is given no files, as its acknowledgements prove too little.
    Refused,
    /// The store answers.
    Up,
}

impl StoreStanding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Down, Self::Refused, Self::Up];

    /// The word in status and for balancers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Refused => "refused",
            Self::Up => "up",
        }
    }

    /// Whether the store answers, and takes files.
    pub fn is_up(self) -> bool {
        self == Self::Up
    }
}

/// The state of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreState {
    /// As of the last ping.
    pub standing: StoreStanding,
    /// When a ping was last answered.
    pub seen: Option<SystemTime>,
    /// Since when nothing has answered at all.
    pub silent_since: Option<Instant>,
    /// The error of the last ping that failed.
    pub error: Option<String>,
}

/// The store's state. Shared by reference.
#[derive(Debug)]
pub(super) struct Health {
    state: watch::Sender<StoreState>,
    /// Failures by the store's fault since the last success.
    outages: AtomicU32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(StoreState::default()),
            outages: AtomicU32::new(0),
        }
    }
}

impl Health {
    /// The state as of the last ping.
    pub(super) fn state(&self) -> StoreState {
        self.state.borrow().clone()
    }

    /// Waits until the store has answered. A store that answers pings and fails at commits gets longer
    /// and longer pauses.
    pub(super) async fn until_fit(&self) {
        let outages = self.outages.load(Ordering::Relaxed);
        if outages > 0 {
            tokio::time::sleep(backoff::pause(outages, FIRST_RETRY, LONGEST_RETRY)).await;
        }
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        if state
            .wait_for(|state| state.standing.is_up())
            .await
            .is_err()
        {
            log::error!("nobody watches the store any more");
        }
    }

    /// Whether anything failed by the store's fault since the last success.
    pub(super) fn is_shaken(&self) -> bool {
        self.outages.load(Ordering::Relaxed) > 0
    }

    /// Records that a commit, or the end of a delete, failed by the store's fault.
    pub(super) fn report_outage(&self, err: &StoreError) {
        self.outages.fetch_add(1, Ordering::Relaxed);
        self.set_failed(err);
    }

    /// Records that a commit, or the end of a delete, succeeded: an outage is over.
    pub(super) fn report_success(&self) {
        self.outages.store(0, Ordering::Relaxed);
    }

    /// Records that the store failed; the next ping that is answered takes this back.
    fn set_failed(&self, err: &StoreError) {
        let standing = match err {
            StoreError::Unfit(_) => StoreStanding::Refused,
            StoreError::Unavailable(_)
            | StoreError::TimedOut(_)
            | StoreError::Failed(_)
            | StoreError::Refused(_)
            | StoreError::Body(_)
            | StoreError::Damaged(_)
            | StoreError::Gone(_) => StoreStanding::Down,
        };
        self.state.send_modify(|state| {
            if state.standing != standing || state.error.is_none() {
                log::warn!("{err}");
            }
            state.standing = standing;
            state.silent_since = matches!(err, StoreError::Unavailable(_))
                .then(|| state.silent_since.unwrap_or_else(Instant::now));
            state.error = Some(err.to_string());
        });
    }

    fn set_up(&self) {
        self.state.send_modify(|state| {
            if !state.standing.is_up() {
                log::info!("the store answers");
            }
            *state = StoreState {
                standing: StoreStanding::Up,
                seen: Some(SystemTime::now()),
                silent_since: None,
                error: None,
            };
        });
    }

    /// Pings until it is told to stop.
    pub(super) async fn watch(&self, store: &dyn Store, stop: CancellationToken) {
        let mut failures = 0;
        let watching = async {
            loop {
                point!("store.pinged");
                let pause = match store.ping().await {
                    Ok(()) => {
                        failures = 0;
                        self.set_up();
                        PING_INTERVAL
                    }
                    Err(err) => {
                        failures += 1;
                        self.set_failed(&err);
                        backoff::pause(failures, FIRST_RETRY, LONGEST_RETRY)
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        stop.run_until_cancelled(watching)
            .await
            .unwrap_or_else(|| log::debug!("the store is no longer watched"));
    }
}
