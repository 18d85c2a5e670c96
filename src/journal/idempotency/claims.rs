//! The keys of requests that are being carried out.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Sha256;

/// The fate of a request that has a key.
#[derive(Debug)]
pub enum Claim<T> {
    /// It comes for the first time: carry it out while this lives.
    First(Running),
    /// It was answered with this.
    Answered(T),
    /// It is being carried out just now.
    Running,
    /// Another request has this key.
    Other,
}

/// The keys that are taken. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<HashSet<Sha256>>>);

/// A request that is being carried out. Dropping it lets the next one with its key come.
#[derive(Debug)]
pub struct Running {
    claims: Claims,
    key: Sha256,
}

impl Claims {
    /// Takes a key; `None` while another request has it. Whoever has it asks [`super::Keys::find`], and
    /// not before.
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
