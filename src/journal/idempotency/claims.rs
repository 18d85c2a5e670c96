//! Keys of work that is being done: the idempotency keys of requests that are being carried out, and the
//! uploads with an append under way.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::FileId;
use crate::store::Sha256;

/// The outcome of claiming a key.
#[derive(Debug)]
pub enum Claim<T> {
    /// The request is new: carry it out while this lives.
    First(Running),
    /// The request is new here. A witness of its key, it gave its vote to this attempt of another node.
    Elsewhere(Running, FileId),
    /// The request was answered with this.
    Answered(T),
    /// The request opened this upload, which may still grow.
    Open(FileId),
    /// The request is being carried out at this moment, or its answer is being taken from a dead node.
    Running,
    /// Another request has this key.
    Other,
}

/// The claimed keys. Clones share them.
#[derive(Debug)]
pub struct Claims<K: Eq + Hash = Sha256>(Arc<Mutex<HashSet<K>>>);

/// Work that is being done. Dropping it frees its key.
#[derive(Debug)]
pub struct Running<K: Eq + Hash = Sha256> {
    claims: Claims<K>,
    key: K,
    /// The upload that gives way to the request. Nothing grows it while this lives.
    earlier: Option<Box<Running<FileId>>>,
}

impl<K: Eq + Hash> Default for Claims<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> Clone for Claims<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Copy> Claims<K> {
    /// Claims a key; `None` while another holds it. Only the holder of a request's key may then call
    /// [`super::Keys::find`].
    pub fn claim(&self, key: K) -> Option<Running<K>> {
        let is_free = self.keys().insert(key);
        is_free.then(|| Running {
            claims: self.clone(),
            key,
            earlier: None,
        })
    }
}

impl<K: Eq + Hash + Copy> Running<K> {
    /// Its key.
    pub fn key(&self) -> K {
        self.key
    }
}

impl Running {
    /// Holds an upload beside the key, as it gives way to the request.
    #[must_use]
    pub fn beside(mut self, upload: Running<FileId>) -> Self {
        self.earlier = Some(Box::new(upload));
        self
    }

    /// Whether an upload gives way to the request.
    pub fn has_earlier(&self) -> bool {
        self.earlier.is_some()
    }

    /// Takes that upload, still held.
    pub fn take_earlier(&mut self) -> Option<Running<FileId>> {
        self.earlier.take().map(|upload| *upload)
    }
}

impl<K: Eq + Hash> Claims<K> {
    /// Whether a key is claimed.
    pub fn has(&self, key: &K) -> bool {
        self.keys().contains(key)
    }

    /// The claimed keys.
    pub fn all(&self) -> HashSet<K>
    where
        K: Copy,
    {
        self.keys().clone()
    }

    /// A thread that panicked leaves them usable: each change is complete in itself.
    fn keys(&self) -> MutexGuard<'_, HashSet<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Running<K> {
    fn drop(&mut self) {
        self.claims.keys().remove(&self.key);
    }
}
