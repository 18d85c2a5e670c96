//! What an entry keeps as long as it is pending.

use std::sync::Arc;

use super::log::logging;
use super::scratch::{Scratch, committed, id};
use crate::file::{FileId, UnixMillis};
use crate::journal::{Deletion, Journal, Retried, Settling};

#[test]
fn what_is_kept_while_an_entry_is_pending_goes_when_it_leaves_the_backlog_and_not_before() {
    let stays: [fn(&Journal, FileId); 4] = [
        |journal, id| drop(journal.open_work(id).unwrap()),
        |journal, id| journal.defer(id, "why", UnixMillis(1)).unwrap(),
        |journal, id| journal.hold(id, "why").unwrap(),
        |journal, id| assert_ne!(journal.retry(id).unwrap(), Retried::Absent),
    ];
    let leaves: [fn(&Journal, FileId); 3] = [
        |journal, id| assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Settled),
        |journal, id| assert_eq!(journal.delete(id).unwrap(), Deletion::Done),
        |journal, id| journal.set_aside(id, "why").unwrap(),
    ];
    for scratch in [Scratch::new(), logging()] {
        let journal = scratch.journal();
        for steps in 0..=stays.len() {
            for leave in leaves {
                let kept = Arc::new(());
                let [target, other] =
                    [b"target", b"others"].map(|one| scratch.adopt(&journal, one));
                journal.keep_while_pending(target, Arc::clone(&kept));
                journal.keep_while_pending(other, ());
                for stay in &stays[..steps] {
                    stay(&journal, target);
                    assert_eq!(Arc::strong_count(&kept), 2);
                }
                journal.delete(other).unwrap();
                assert_eq!(Arc::strong_count(&kept), 2);
                leave(&journal, target);
                assert_eq!(Arc::strong_count(&kept), 1);
                for gone in [target, id(1)] {
                    journal.keep_while_pending(gone, Arc::clone(&kept));
                    assert_eq!(Arc::strong_count(&kept), 1);
                }
            }
        }
    }
}
