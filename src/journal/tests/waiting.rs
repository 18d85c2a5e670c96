//! Small uploads that wait without a thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::adoption::pending;
use super::scratch::{Scratch, content, draft};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::admission::backlog;
use crate::journal::tests::fault::Fault;
use crate::journal::{AdoptError, Free};
use crate::journal::{Adopted, Journal, Waiter};

const PLENTY: Free = Free {
    bytes: u64::MAX,
    inodes: u64::MAX,
};

type Outcome = Result<Adopted, AdoptError>;

/// A journal and the threads that lead for its waiters.
struct Site {
    scratch: Scratch,
    journal: Arc<Journal>,
    leading: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

struct OneOfThem {
    journal: Arc<Journal>,
    leading: Arc<Mutex<Vec<JoinHandle<()>>>>,
    answer: Sender<Outcome>,
}

impl Waiter for OneOfThem {
    fn lead(&self) {
        let journal = Arc::clone(&self.journal);
        let thread = thread::spawn(move || journal.lead());
        self.leading.lock().unwrap().push(thread);
    }

    fn told(self: Box<Self>, outcome: Outcome) {
        let Self {
            journal, answer, ..
        } = *self;
        drop(journal);
        answer.send(outcome).unwrap();
    }
}

impl Site {
    fn new() -> Self {
        Self::on(Scratch::new())
    }

    fn on(scratch: Scratch) -> Self {
        Self {
            journal: Arc::new(scratch.journal()),
            leading: Arc::default(),
            scratch,
        }
    }

    fn try_begin(&self, body: &[u8], free: Free) -> Result<Receiver<Outcome>, AdoptError> {
        let (answer, told) = channel();
        let waiter = Box::new(OneOfThem {
            journal: Arc::clone(&self.journal),
            leading: Arc::clone(&self.leading),
            answer,
        });
        let begun = self.journal.adopt_soon(body, draft(), free, waiter);
        begun.map(|()| told)
    }

    fn begin(&self, body: &[u8]) -> Receiver<Outcome> {
        self.try_begin(body, PLENTY).unwrap()
    }

    /// Waits for all leading threads; returns how many of them panicked.
    fn join(&self) -> usize {
        let threads: Vec<_> = self.leading.lock().unwrap().drain(..).collect();
        let ended = threads.into_iter().map(JoinHandle::join);
        ended.filter(Result::is_err).count()
    }

    /// Forgets the counted calls after all threads have ended.
    fn settle_down(&self) {
        self.join();
        self.scratch.disk.heal();
    }

    /// Restarts with the data that survive a power cut.
    fn restart(self) -> Self {
        self.join();
        drop(Arc::into_inner(self.journal).expect("nobody waits any more"));
        self.scratch.disk.heal();
        self.scratch.cut_power();
        let journal = restart("after a cut", &self.scratch);
        Self {
            scratch: self.scratch,
            journal: Arc::new(journal),
            leading: self.leading,
        }
    }

    fn assert_holds(&self, case: &str, files: &[(FileId, &[u8])]) {
        for (id, body) in files {
            assert_eq!(content(&self.journal, *id).unwrap(), *body, "{case}");
        }
        assert_eq!(pending(&self.journal).len(), files.len(), "{case}");
        let all = backlog(&self.journal.state()).entries;
        assert_eq!(usize::try_from(all).unwrap(), files.len(), "{case}");
        assert_eq!(self.journal.state().index.len(), files.len(), "{case}");
    }
}

fn told(receiver: &Receiver<Outcome>) -> FileId {
    receiver.recv().unwrap().unwrap().id()
}

#[test]
fn who_waits_on_no_thread_is_told_after_one_write_and_one_fsync() {
    let site = Site::new();
    let first = told(&site.begin(b"first"));
    site.settle_down();
    let second = site.begin(b"second").recv().unwrap().unwrap();
    assert_eq!(second.meta().length, 6);
    let calls = site.scratch.disk.calls();
    assert_eq!(calls[..2], ["write_at", "sync_bytes"]);
    let files = [(first, &b"first"[..]), (second.id(), b"second")];
    site.assert_holds("told", &files);
    site.restart().assert_holds("told and cut", &files);
}

/// No waiter is ever left without a leader, with any thread in the lead.
#[test]
fn those_with_and_without_a_thread_share_groups_and_all_are_told() {
    for (is_first_without, with_threads) in [(true, 2_usize), (false, 2), (true, 0), (false, 0)] {
        let site = Site::new();
        let zero = told(&site.begin(b"zero"));
        site.settle_down();
        let disk = &site.scratch.disk;
        // The fsync: an upload with a thread of its own also asks for free space.
        disk.pause_at(if is_first_without { 1 } else { 2 });
        let bodies: Vec<_> = (0..=with_threads)
            .map(|n| site.scratch.spooled_as(&format!("{n:010}"), b"spooled"))
            .collect();
        let (first, others) = bodies.split_first().unwrap();
        let mut files = thread::scope(|scope| {
            let journal = &*site.journal;
            let adopt = move |body| journal.adopt(body, draft()).unwrap().id();
            let leads = is_first_without.then(|| site.begin(b"passed"));
            let blocked = (!is_first_without).then(|| scope.spawn(move || adopt(first)));
            let mut running = Vec::new();
            let mut waiting = Vec::new();
            disk.during_pause(|| {
                waiting.extend((0..3).map(|_| site.begin(b"passed")));
                running.extend(others.iter().map(|body| scope.spawn(move || adopt(body))));
                while journal.wal.queued() < 3 + with_threads {
                    thread::yield_now();
                }
            });
            let waiting = leads.iter().chain(&waiting);
            let passed = waiting.map(|receiver| (told(receiver), &b"passed"[..]));
            let running = blocked.into_iter().chain(running);
            let spooled = running.map(|one| (one.join().unwrap(), &b"spooled"[..]));
            passed.chain(spooled).collect::<Vec<_>>()
        });
        assert_eq!(files.len(), 4 + with_threads);
        let calls = disk.calls();
        let groups = calls.iter().filter(|&&call| call == "sync_bytes").count();
        assert_eq!(groups, 2, "{calls:?}");
        files.push((zero, b"zero"));
        site.assert_holds("two groups", &files);
        site.restart().assert_holds("two groups and a cut", &files);
    }
}

#[test]
fn whoever_is_told_of_a_failure_has_left_nothing_and_the_rest_is_as_it_was() {
    for fault in Fault::ALL {
        for call in 0..2 {
            let case = format!("call {call}, {fault:?}");
            let site = Site::new();
            let kept = told(&site.begin(b"kept"));
            site.settle_down();
            site.scratch.disk.fail_once(call, fault);
            let refusal = site.begin(b"failed").recv().unwrap().expect_err(&case);
            site.settle_down();
            let is_poisoned = site.journal.poison().is_some();
            let is_full = matches!(refusal, AdoptError::NoSpace(_));
            assert!(
                is_full == fault.is_no_space() || is_poisoned,
                "{case}: {refusal}"
            );
            let mut files = vec![(kept, &b"kept"[..])];
            site.assert_holds(&case, &files);
            if is_poisoned {
                let again = site.try_begin(b"again", PLENTY).expect_err(&case);
                assert!(matches!(again, AdoptError::Poisoned(_)), "{case}: {again}");
            } else {
                files.push((told(&site.begin(b"again")), b"again"));
            }
            let site = site.restart();
            site.assert_holds(&case, &files);
            told(&site.begin(b"later"));
        }
    }
}

/// No waiter waits for ever for a lost thread.
#[test]
fn a_leader_that_panics_takes_down_its_group_alone() {
    for call in 0..2 {
        let case = format!("call {call}");
        let site = Site::new();
        let zero = told(&site.begin(b"zero"));
        site.settle_down();
        let disk = &site.scratch.disk;
        disk.pause_at(call);
        disk.panic_then(call);
        let spooled = site.scratch.spooled_as("0000000002", b"spooled");
        let (lost, passed, spooled) = thread::scope(|scope| {
            let journal = &*site.journal;
            let lost = site.begin(b"lost");
            let mut next = None;
            disk.during_pause(|| {
                let passed = site.begin(b"passed");
                let blocked = scope.spawn(|| journal.adopt(&spooled, draft()).unwrap().id());
                while journal.wal.queued() < 2 {
                    thread::yield_now();
                }
                next = Some((passed, blocked));
            });
            let (passed, blocked) = next.unwrap();
            (lost.recv(), told(&passed), blocked.join().unwrap())
        });
        assert!(lost.is_err(), "{case}: {lost:?}");
        let later = told(&site.begin(b"later"));
        assert_eq!(site.join(), 1, "{case}");
        let files = [
            (zero, &b"zero"[..]),
            (passed, b"passed"),
            (spooled, b"spooled"),
            (later, b"later"),
        ];
        site.assert_holds(&case, &files);
        site.restart().assert_holds(&case, &files);
    }
}

#[test]
fn what_is_not_admitted_is_refused_at_once_and_reserves_nothing() {
    let mut scratch = Scratch::new();
    scratch.limits.max_entries = 1;
    scratch.limits.min_free_bytes = 1;
    let site = Site::on(scratch);
    let none = Free { bytes: 0, ..PLENTY };
    let low = site.try_begin(b"body", none).unwrap_err();
    assert!(low.to_string().contains("bytes are free"), "{low}");
    let one = told(&site.begin(b"one"));
    let full = site.try_begin(b"two", PLENTY).unwrap_err();
    assert!(matches!(full, AdoptError::Full(_)), "{full}");
    site.join();
    site.assert_holds("refused", &[(one, b"one")]);
}

#[test]
fn what_is_too_large_for_a_group_is_refused_at_once_and_leaves_nothing() {
    let site = Site::new();
    let body = vec![b'x'; 20_000];
    let refused = site.try_begin(&body, PLENTY).unwrap_err();
    assert!(!matches!(refused, AdoptError::Poisoned(_)), "{refused}");
    site.assert_holds("too large", &[]);
    told(&site.begin(b"small"));
}
