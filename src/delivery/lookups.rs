//! Lookups in the store that are under way: who asks for a file that is being looked up waits for that
//! answer, and asks nothing.
//!
//! An answer is as old as its question. One that began before a delete may still tell of the file,
//! so nobody joins it after that. One that began before a commit may tell of none, so *none* is an
//! answer only for those who came before the question; the others ask anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::file::FileKey;
use crate::store::{StoreError, StoredFile};

type Answer = Result<Option<Arc<StoredFile>>, StoreError>;
type Lookup = BoxFuture<'static, Answer>;

/// Those that are under way. A lookup ends when all who wait for it have gone.
#[derive(Clone, Default)]
pub(super) struct Lookups {
    running: Arc<Mutex<HashMap<FileKey, WeakShared<Lookup>>>>,
}

impl Lookups {
    /// The answer of the lookup of this file that is under way, or of the one that `begin` begins.
    pub(super) async fn join(&self, key: &FileKey, begin: impl FnOnce() -> Lookup) -> Answer {
        let running = self.running(key);
        if let Some(lookup) = running {
            // An error is shared too: what has just failed need not fail for each.
            let answer = lookup.await;
            if !matches!(answer, Ok(None)) {
                return answer;
            }
        }
        // Whatever is under way by now has begun since this call.
        let lookup = self.join_or_begin(key, begin);
        lookup.await
    }

    /// Lets nobody join any more: a file was deleted.
    pub(super) fn forget_all(&self) {
        self.map().clear();
    }

    fn running(&self, key: &FileKey) -> Option<Shared<Lookup>> {
        self.map().get(key)?.upgrade()
    }

    /// One step under the lock: of many who learn at once that there is none, one asks anew.
    fn join_or_begin(&self, key: &FileKey, begin: impl FnOnce() -> Lookup) -> Shared<Lookup> {
        let mut running = self.map();
        if let Some(lookup) = running.get(key).and_then(WeakShared::upgrade) {
            return lookup;
        }
        let leaves = Leaves(self.clone(), key.clone());
        let lookup = begin().inspect(move |_| drop(leaves)).boxed().shared();
        if let Some(lookup) = lookup.downgrade() {
            running.insert(key.clone(), lookup);
        }
        lookup
    }

    /// A thread that panicked under the lock leaves a map that is whole.
    fn map(&self) -> MutexGuard<'_, HashMap<FileKey, WeakShared<Lookup>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a lookup out when it is over, or given up. Of two under one key it may take out the other, which
/// costs a question.
struct Leaves(Lookups, FileKey);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.map().remove(&self.1);
    }
}
