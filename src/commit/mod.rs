//! Moving promises into the store, at a pace that the store can bear.
//!
//! The queue on disk is the truth; what is in memory here is made anew from it at each start. An
//! outage of the store is no entry's fault: everything waits, and nothing is counted as an
//! attempt. Only the store itself, or a ping, can say that there is one: any other failure is the
//! entry's own. Whatever goes well ends an outage. This room must never know what the store is made of, nor who uploads.

mod arrivals;
mod attempt;
mod backlog;
pub(crate) mod backoff;
mod committer;
mod group;
mod health;
mod pace;
mod slots;
mod tally;
mod throttle;
mod traffic;

pub use arrivals::{Arrival, Arrivals};
pub use backlog::Backlog;
pub use committer::Committer;
pub use health::{Health, StoreStanding, StoreState};
pub use slots::Slots;
pub use tally::{Tally, TallySnapshot};
pub use traffic::Traffic;
