//! Taking a node out of service: it refuses new uploads and goes on with everything else.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;

use crate::http::Problem;
use crate::http::problem::Reason;

/// Seconds after which a balancer sends uploads elsewhere.
const RETRY_SECONDS: u32 = 5;

/// Uploads come for this long after a drain begins, if a balancer got a yes for them: small bodies
/// on slow links take time.
const PROMISED: Duration = Duration::from_mins(1);

/// Whether this node is being drained. A restart forgets it.
#[derive(Debug)]
pub(in crate::http) struct Drain {
    since: Mutex<Option<Instant>>,
    /// When a balancer got a yes last.
    promised: Mutex<Option<Instant>>,
    /// A secret that only a balancer gets, with each yes. It stays the same until this process ends.
    word: String,
}

impl Default for Drain {
    fn default() -> Self {
        // The standard library seeds each hasher from the operating system's random source.
        let word = RandomState::new().hash_one(Instant::now());
        Self {
            since: Mutex::default(),
            promised: Mutex::default(),
            word: format!("{word:016x}"),
        }
    }
}

impl Drain {
    pub(in crate::http) fn is_on(&self) -> bool {
        self.since().is_some()
    }

    /// The word that goes with a yes to a balancer, and comes back with the upload.
    pub(in crate::http) fn word(&self) -> &str {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = Some(Instant::now());
        &self.word
    }

    /// Whether no upload comes any more, not even with that word.
    pub(in crate::http) fn is_closed(&self) -> bool {
        let promised = *self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_on() && promised.is_none_or(|promised| promised.elapsed() > PROMISED)
    }

    /// Whether an upload comes with that word.
    pub(in crate::http) fn has_promised(&self, word: Option<&HeaderValue>) -> bool {
        word.is_some_and(|word| word == self.word.as_str())
    }

    /// Refuses an upload before its body is read, unless it brings the word of a yes. An upload
    /// with a body that is here is not checked: it was let in before.
    pub(in crate::http) fn check(&self, word: Option<&HeaderValue>) -> Result<(), Problem> {
        match self.since() {
            None => Ok(()),
            Some(since) => {
                if self.has_promised(word) && since.elapsed() < PROMISED {
                    Ok(())
                } else {
                    Err(Problem::draining())
                }
            }
        }
    }

    /// Begins or ends the drain.
    pub(in crate::http) fn set(&self, is_on: bool) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_on {
            // A second request does not begin the drain anew.
            since.get_or_insert_with(Instant::now);
            log::info!("draining: no new uploads are taken");
        } else {
            *since = None;
            log::info!("uploads are taken again");
        }
    }

    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Problem {
    fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "This node takes no more files. Send the request again.",
        )
        .because(Reason::Drain)
        .retry_after(RETRY_SECONDS)
    }
}
