//! The idempotency keys of requests that are being carried out.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Sha256;

/// The outcome of claiming a key.
#[derive(Debug)]
pub enum Claim<T> {
    /// The request is new: carry it out while this lives.
    First(Running),
    /// The request was answered with this.
    Answered(T),
    /// The request is being carried out at this moment.
    Running,
    /// Another request has this key.
    Other,
}

/// The claimed keys. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<HashSet<Sha256>>>);

/// A request that is being carried out. Dropping it frees its key.
#[derive(Debug)]
pub struct Running {
    claims: Claims,
    key: Sha256,
}

impl Claims {
    /// Claims a key; `None` while another request holds it. Only the holder may then call
    /// [`super::Keys::find`].
    pub fn claim(&self, key: Sha256) -> Option<Running> {
        let is_free = self.keys().insert(key);
        is_free.then(|| Running {
            claims: self.clone(),
            key,
        })
    }

    /// A thread that panicked leaves them usable: each change is complete in itself.
    fn keys(&self) -> MutexGuard<'_, HashSet<Sha256>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.claims.keys().remove(&self.key);
    }
}
