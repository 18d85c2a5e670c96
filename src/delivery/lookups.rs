//! Lookups in the store that are under way. A caller that asks for the same file waits for that answer
//! and asks nothing itself.
//!
//! An answer is as old as its question. A lookup that began before a delete may still find the file, so
//! no caller joins it after the delete. A lookup that began before a commit may miss the file, so the
//! answer *none* counts only for callers that came before the question; later callers ask anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::file::FileKey;
use crate::store::{StoreError, StoredFile};

type Answer = Result<Option<Arc<StoredFile>>, StoreError>;
type Lookup = BoxFuture<'static, Answer>;

/// The lookups under way. A lookup ends when all its waiters have gone.
#[derive(Clone, Default)]
pub(super) struct Lookups {
    running: Arc<Mutex<HashMap<FileKey, WeakShared<Lookup>>>>,
}

impl Lookups {
    /// The answer of the lookup of this file that is under way, or else of one that `begin` starts.
    pub(super) async fn join(&self, key: &FileKey, begin: impl FnOnce() -> Lookup) -> Answer {
        let running = self.running(key);
        if let Some(lookup) = running {
            // Waiters share an error too: a question that has just failed need not fail for each of
            // them.
            let answer = lookup.await;
            if !matches!(answer, Ok(None)) {
                return answer;
            }
        }
        // A lookup that is under way now began after this call.
        let lookup = self.join_or_begin(key, begin);
        lookup.await
    }

    /// Lets no caller join the lookups under way: a file was deleted.
    pub(super) fn forget_all(&self) {
        self.map().clear();
    }

    fn running(&self, key: &FileKey) -> Option<Shared<Lookup>> {
        self.map().get(key)?.upgrade()
    }

    /// One step under the lock: if many learn at once that there is no file, only one asks anew.
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

/// Takes a lookup out when it ends or is given up. If a later lookup has the same key, it may take that
/// one out instead, which costs one question.
struct Leaves(Lookups, FileKey);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.map().remove(&self.1);
    }
}
