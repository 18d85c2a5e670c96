//! Another process with this node's number.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Peers;

/// A twin is forgotten if it was not seen for this long.
const TWIN_LIFETIME: Duration = Duration::from_secs(30);

/// Another process with this node's number.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Its name.
    pub instance: String,
    /// The place at which it was seen: an address, or the store.
    pub place: String,
    seen: Instant,
}

impl Peers {
    /// Another process with this node's number, if it was seen a short while ago.
    pub fn twin(&self) -> Option<Sighting> {
        let twin = held(&self.twin).clone();
        twin.filter(|twin| twin.seen.elapsed() < TWIN_LIFETIME)
    }

    /// Reports a twin. Ids still differ in their random bytes, but no node can tell which disk has
    /// a file.
    pub(super) fn report_twin(&self, instance: String, place: &str) {
        if self.twin().is_none_or(|known| known.instance != instance) {
            log::error!(
                "node number {} is used twice: here, and by {instance}, seen in {place}. Give each \
                 node a number of its own",
                self.node
            );
        }
        *held(&self.twin) = Some(Sighting {
            instance,
            place: place.to_owned(),
            seen: Instant::now(),
        });
    }
}

/// Takes a lock. A panic under it does no harm: each change is one assignment.
pub(super) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
