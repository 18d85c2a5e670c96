//! Whether the store answers, as seen by a ping that never stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backoff;
use crate::store::Store;

/// Between two pings of a store that answers.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Between two pings of a store that does not: short, so that a backlog begins to drain at once.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(4);

/// What is known of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Whether the last ping was answered.
    pub is_up: bool,
    /// When a ping was answered last.
    pub seen: Option<SystemTime>,
    /// What the last ping that failed said.
    pub error: Option<String>,
}

/// The store's state, shared.
#[derive(Debug, Clone)]
pub struct Health {
    state: watch::Sender<StoreState>,
    /// Commits that failed by the store's fault since the last one that went well.
    outages: Arc<AtomicU32>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(StoreState::default()),
            outages: Arc::default(),
        }
    }
}

impl Health {
    /// The state as of the last ping.
    pub fn state(&self) -> StoreState {
        self.state.borrow().clone()
    }

    /// Waits until the store has answered. One that answers pings and fails at commits is given
    /// ever longer rests.
    pub(super) async fn until_fit(&self) {
        let outages = self.outages.load(Ordering::Relaxed);
        if outages > 0 {
            tokio::time::sleep(backoff::pause(outages, FIRST_RETRY, LONGEST_RETRY)).await;
        }
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        if state.wait_for(|state| state.is_up).await.is_err() {
            log::error!("nobody watches the store any more");
        }
    }

    /// Whether a commit failed by the store's fault, and none went well since.
    pub(super) fn is_shaken(&self) -> bool {
        self.outages.load(Ordering::Relaxed) > 0
    }

    /// Says that a commit failed by the store's fault.
    pub(super) fn report_outage(&self, error: String) {
        self.outages.fetch_add(1, Ordering::Relaxed);
        self.set_down(error);
    }

    /// Says that a commit went well.
    pub(super) fn report_commit(&self) {
        self.outages.store(0, Ordering::Relaxed);
    }

    /// Says that the store failed; the next answered ping takes it back.
    fn set_down(&self, error: String) {
        self.state.send_modify(|state| {
            if state.is_up || state.error.is_none() {
                log::warn!("{error}");
            }
            state.is_up = false;
            state.error = Some(error);
        });
    }

    fn set_up(&self) {
        self.state.send_modify(|state| {
            if !state.is_up {
                log::info!("the store answers");
            }
            *state = StoreState {
                is_up: true,
                seen: Some(SystemTime::now()),
                error: None,
            };
        });
    }

    /// Pings until it is told to stop.
    pub async fn watch(self, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut failures = 0;
        let watching = async {
            loop {
                let pause = match store.ping().await {
                    Ok(()) => {
                        failures = 0;
                        self.set_up();
                        PING_INTERVAL
                    }
                    Err(err) => {
                        failures += 1;
                        self.set_down(err.to_string());
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
