//! The log as a whole: it stays small, keeps a reserve for a full disk, and breaks no promise.

use std::thread;
use std::time::Duration;

use super::races::waits;
use super::scratch::{LARGE, Scratch, committed, content, room};
use super::stage::{Entry, Stage, check, restart};
use crate::file::FileId;
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{AdoptError, Room};
use crate::journal::{Deletion, Journal};

/// Lets files come, be committed and leave, this many times.
pub(super) fn churn(scratch: &Scratch, journal: &Journal, times: usize) {
    for _ in 0..times {
        let ids: Vec<_> = (0..8)
            .map(|_| scratch.adopt(journal, b"short-lived"))
            .collect();
        let proofs: Vec<_> = ids.iter().map(|&id| committed(id)).collect();
        for settled in journal.settle_all(&proofs) {
            settled.unwrap();
        }
    }
}

/// Lets files come and leave until the log has copied forward all that its first segments had.
pub(super) fn copy_forward(scratch: &Scratch, journal: &Journal) {
    let first = journal.state().oldest();
    while journal.state().oldest() < first + 10 {
        for _ in 0..20 {
            let id = scratch.adopt(journal, b"short-lived");
            journal.settle(&committed(id)).unwrap();
        }
        journal.evict_settled().unwrap();
    }
}

/// A stage with a log that is mostly dead: its settled entries have left.
fn wasteful() -> Stage {
    let mut stage = Stage::new();
    stage.journal.evict_settled().unwrap();
    for entry in &mut stage.entries {
        if entry.place == Some(Room::Settled) {
            entry.place = None;
        }
    }
    let segments = stage.journal.log_segments();
    while stage.journal.log_segments() < segments + 20 {
        churn(&stage.scratch, &stage.journal, 1);
    }
    stage.scratch.disk.heal();
    stage
}

#[test]
fn what_lives_is_copied_forward_and_the_log_stays_small() {
    let Stage {
        scratch,
        journal,
        entries,
    } = wasteful();
    for _ in 0..20 {
        churn(&scratch, &journal, 20);
        journal.evict_settled().unwrap();
        assert!(journal.log_segments() <= 8, "{}", journal.log_segments());
        check("copied forward", &scratch, &journal, &entries);
    }
    assert!(journal.state().index.oldest() > 10);
    drop(journal);
    scratch.cut_power();
    let journal = restart("copied forward and cut", &scratch);
    check("copied forward and cut", &scratch, &journal, &entries);
    // States and reasons are copied too.
    let waiting = journal.waiting(None, 100).unwrap();
    assert_eq!(waiting.len(), 8);
    for waiting in waiting {
        assert_eq!(
            (waiting.reason.as_deref(), waiting.attempts),
            (Some("why"), 1)
        );
    }
}

#[test]
fn a_cut_at_any_moment_of_copying_forward_loses_nothing() {
    let calls = {
        let stage = wasteful();
        let oldest = stage.journal.state().index.oldest();
        stage.journal.evict_settled().unwrap();
        assert!(stage.journal.state().index.oldest() > oldest);
        stage.scratch.disk.calls()
    };
    // A head that states too much does harm only if it reaches the disk and the copies do not.
    let torn: Vec<_> = (1..=6).map(Tear::Sectors).collect();
    for call in 0..=calls.len() {
        let tears = match calls.get(call) {
            Some(&"sync_bytes") => &torn[..],
            _ => [&[Tear::Nothing], &[Tear::All]][call % 2],
        };
        let calls = calls.len();
        for tear in tears.iter().copied().map(Some).chain([None]) {
            let case = format!("copying cut before {call} of {calls}, {tear:?}");
            let Stage {
                scratch,
                journal,
                entries,
            } = wasteful();
            scratch.disk.stop_at(call);
            let done = journal.evict_settled();
            assert!(done.is_err() || call + 1 >= calls, "{case}");
            drop(journal);
            scratch.disk.heal();
            if let Some(tear) = tear {
                scratch.disk.set_tear(tear);
                scratch.cut_power();
            }
            let journal = restart(&case, &scratch);
            evict_the_rest(&journal);
            check(&case, &scratch, &journal, &entries);
            drop(journal);
            scratch.cut_power();
            let journal = restart(&case, &scratch);
            check(&case, &scratch, &journal, &entries);
        }
    }
}

fn evict_the_rest(journal: &Journal) {
    journal.evict_settled().unwrap();
    assert_eq!(journal.totals(Room::Settled).entries, 0);
}

#[test]
fn a_delete_that_comes_while_an_entry_is_copied_is_not_taken_back() {
    let calls = {
        let stage = wasteful();
        let id = stage.entry("inline", "deferred").id;
        stage.scratch.disk.heal();
        stage.journal.copy_one(id).unwrap();
        stage.scratch.disk.calls()
    };
    for call in 0..calls.len() - 1 {
        let Stage {
            scratch,
            journal,
            entries,
        } = wasteful();
        let find = |entry: &&Entry| entry.name == "inline, deferred";
        let id = entries.iter().find(find).unwrap().id;
        scratch.disk.pause_at(call);
        thread::scope(|scope| {
            let copying = scope.spawn(|| journal.copy_one(id));
            let mut deleting = None;
            let mut has_waited = false;
            scratch.disk.during_pause(|| {
                let thread = scope.spawn(|| journal.delete(id));
                has_waited = waits(&journal, &thread);
                deleting = Some(thread);
            });
            assert!(has_waited);
            copying.join().unwrap().unwrap();
            let deleted = deleting.unwrap().join().unwrap().unwrap();
            assert_eq!(deleted, Deletion::Done);
        });
        journal.evict_settled().unwrap();
        drop(journal);
        scratch.cut_power();
        let journal = restart("deleted while it was copied", &scratch);
        assert_eq!(room(&journal, id), Some(Room::Deleted), "{call}");
    }
}

/// Adopts until an upload is refused; returns the promised entries.
fn fill(scratch: &Scratch, journal: &Journal) -> (Vec<FileId>, AdoptError) {
    let mut ids = Vec::new();
    loop {
        match scratch.try_adopt(journal, LARGE) {
            Ok(adopted) => ids.push(adopted.id()),
            Err(err) => return (ids, err),
        }
    }
}

#[test]
fn on_a_full_disk_uploads_are_refused_and_all_else_goes_on_until_there_is_room() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    let first = scratch.adopt(&journal, LARGE);
    scratch.disk.set_full(true);
    let (ids, refused) = fill(&scratch, &journal);
    assert!(matches!(refused, AdoptError::NoSpace(_)), "{refused}");
    assert!(!ids.is_empty());
    let refused = journal.check_admission(1);
    assert!(matches!(refused, Err(AdoptError::NoSpace(_))));
    assert_eq!(journal.delete(first).unwrap(), Deletion::Done);
    journal.erase(first).unwrap();
    for &id in &ids {
        journal.open_work(id).unwrap();
        journal.settle(&committed(id)).unwrap();
    }
    assert_eq!(journal.evict_settled().unwrap(), ids.len());
    assert!(Scratch::names(&scratch.layout().bodies()).is_empty());
    // The log gave its segments back; now there is room for others.
    assert_eq!(journal.log_segments(), 1);
    scratch.disk.set_full(false);
    journal.evict_settled().unwrap();
    scratch.adopt(&journal, LARGE);
}

#[test]
fn a_start_on_a_full_disk_serves_what_there_is() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, LARGE);
    scratch.disk.set_full(true);
    let (_, refused) = fill(&scratch, &journal);
    assert!(matches!(refused, AdoptError::NoSpace(_)));
    drop(journal);
    let journal = scratch.journal();
    let refused = scratch.try_adopt(&journal, LARGE).unwrap_err();
    assert!(matches!(refused, AdoptError::NoSpace(_)));
    assert_eq!(content(&journal, id).unwrap(), LARGE);
    assert_eq!(journal.delete(id).unwrap(), Deletion::Done);
}

#[test]
fn after_a_failed_fsync_nobody_is_told_anything_and_nothing_is_unlinked() {
    let stage = Stage::new();
    let Stage {
        scratch,
        journal,
        entries,
    } = stage;
    scratch.disk.fail_once(1, Fault::Broken);
    let deleted = entries
        .iter()
        .find(|entry| entry.name == "linked, waiting")
        .unwrap();
    journal.delete(deleted.id).unwrap_err();
    scratch.disk.heal();
    assert!(journal.poison().is_some());
    for entry in &entries {
        let id = entry.id;
        let needs_no_frame = matches!(entry.place, Some(Room::Settled | Room::Deleted));
        assert_eq!(journal.settle(&committed(id)).is_ok(), needs_no_frame);
        assert!(journal.hold(id, "why").is_err());
        assert!(journal.erase(id).is_err());
    }
    journal.evict_settled().unwrap_err();
    assert!(matches!(
        scratch.try_adopt(&journal, LARGE),
        Err(AdoptError::Poisoned(_))
    ));
    // The only calls are questions for free space.
    let calls = scratch.disk.calls();
    assert!(calls.iter().all(|&call| call == "free_bytes"), "{calls:?}");
    check("poisoned", &scratch, &journal, &entries);
}
