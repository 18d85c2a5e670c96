//! The state of the indexes that are built in the background, for status and metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::wanted_index::{Wanted, of_part};
use crate::store::{IndexStanding, IndexState, StoreError};

/// The state of each index at the last look.
#[derive(Debug)]
pub(super) struct SeenIndexes {
    states: Mutex<Vec<IndexState>>,
    /// Signals that an index may be gone.
    doubt: Notify,
}

impl Default for SeenIndexes {
    fn default() -> Self {
        let states = Wanted::ALL.map(|wanted| IndexState {
            name: wanted.name(),
            standing: IndexStanding::default(),
            done_percent: None,
            error: None,
        });
        Self {
            states: Mutex::new(states.into()),
            doubt: Notify::new(),
        }
    }
}

impl SeenIndexes {
    /// Asks for a look soon.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Waits until somebody asks for a look.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Every change is complete in itself, so a panic under the lock leaves it usable.
    pub(super) fn states(&self) -> MutexGuard<'_, Vec<IndexState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the state of an index, and logs it if it has changed.
    pub(super) fn note(&self, wanted: Wanted, standing: IndexStanding) {
        let mut states = self.states();
        let of_this = |state: &&mut IndexState| state.name == wanted.name();
        if let Some(state) = states.iter_mut().find(of_this) {
            let (name, was) = (state.name, state.standing);
            match standing {
                IndexStanding::Building if was != standing => {
                    log::info!("the index {name} is being made");
                }
                IndexStanding::Ready if was != standing => log::info!("the index {name} is there"),
                IndexStanding::Absent if was == IndexStanding::Ready => {
                    log::warn!("the index {name} is gone");
                }
                IndexStanding::Unknown
                | IndexStanding::Absent
                | IndexStanding::Building
                | IndexStanding::Ready => {}
            }
            if standing != IndexStanding::Building {
                state.done_percent = None;
            }
            if standing == IndexStanding::Ready {
                state.error = None;
            }
            state.standing = standing;
        }
    }

    /// Notes the progress of the indexes that are being built.
    pub(super) fn note_progress(&self, part: &str, done_percent: Option<u8>) {
        let names: Vec<_> = of_part(part).map(Wanted::name).collect();
        for state in &mut *self.states() {
            if names.contains(&state.name) && state.standing == IndexStanding::Building {
                state.done_percent = done_percent;
            }
        }
    }

    /// Notes why indexes could not be built.
    pub(super) fn note_failure(&self, lacking: &[Wanted], err: &StoreError) {
        let names: Vec<_> = lacking.iter().map(|wanted| wanted.name()).collect();
        let text = err.to_string();
        for state in &mut *self.states() {
            if names.contains(&state.name) {
                if state.error.as_ref() != Some(&text) {
                    log::warn!("the index {} cannot be made: {text}", state.name);
                }
                state.error = Some(text.clone());
                state.standing = IndexStanding::Absent;
                state.done_percent = None;
            }
        }
    }
}
