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

/// Tells one lookup from another one of the same file.
type Identity = Arc<()>;

type Running = HashMap<FileKey, (WeakShared<Lookup>, Identity)>;

/// The lookups under way. A lookup ends when all its waiters have gone.
#[derive(Clone, Default)]
pub(super) struct Lookups {
    running: Arc<Mutex<Running>>,
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
        let map = self.map();
        let (lookup, _) = map.get(key)?;
        lookup.upgrade()
    }

    /// One step under the lock: if many learn at once that there is no file, only one asks anew.
    fn join_or_begin(&self, key: &FileKey, begin: impl FnOnce() -> Lookup) -> Shared<Lookup> {
        let mut running = self.map();
        let found = running.get(key);
        if let Some(lookup) = found.and_then(|(lookup, _)| lookup.upgrade()) {
            return lookup;
        }
        let own = Identity::default();
        let leaves = Leaves(self.clone(), key.clone(), Arc::clone(&own));
        let lookup = begin().inspect(move |_| drop(leaves)).boxed().shared();
        if let Some(lookup) = lookup.downgrade() {
            running.insert(key.clone(), (lookup, own));
        }
        lookup
    }

    /// A thread that panicked under the lock leaves a map that is whole.
    fn map(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a lookup out when it ends or is given up, and no later one of the same file.
struct Leaves(Lookups, FileKey, Identity);

impl Drop for Leaves {
    fn drop(&mut self) {
        let Self(lookups, key, own) = self;
        let mut running = lookups.map();
        let found = running.get(key);
        if found.is_some_and(|(_, identity)| Arc::ptr_eq(identity, own)) {
            running.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::file::FileId;

    /// Another caller comes while a lookup is given up, and can no longer join it.
    struct OneMore(Lookups, FileKey, Arc<Mutex<Option<Shared<Lookup>>>>);

    impl Drop for OneMore {
        fn drop(&mut self) {
            let lookup = self.0.join_or_begin(&self.1, || pending().boxed());
            *self.2.lock().unwrap() = Some(lookup);
        }
    }

    #[test]
    fn a_lookup_that_is_given_up_takes_no_later_one_out() {
        let (lookups, later) = (Lookups::default(), Arc::default());
        let key = FileKey::Id(FileId::from_bytes([1; FileId::BYTES]));
        let one_more = OneMore(lookups.clone(), key.clone(), Arc::clone(&later));
        let first = lookups.join_or_begin(&key, || {
            async move {
                let _one_more = one_more;
                pending().await
            }
            .boxed()
        });
        drop(first);
        assert!(later.lock().unwrap().is_some());
        let mut is_asked_anew = false;
        drop(lookups.join_or_begin(&key, || {
            is_asked_anew = true;
            pending().boxed()
        }));
        assert!(!is_asked_anew);
    }
}
