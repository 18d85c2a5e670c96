//! Small uploads that wait on no thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::disk::Fault;
use super::log::{content, is_logged, logging, restart};
use super::scratch::{Scratch, draft};
use crate::file::FileId;
use crate::journal::{AdoptError, Adopted, Free, Journal, Room, Waiter};

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
        let thread = std::thread::spawn(move || journal.lead());
        self.leading.lock().unwrap().push(thread);
    }

    fn told(self: Box<Self>, outcome: Outcome) {
        self.answer.send(outcome).unwrap();
    }
}

impl Site {
    fn new() -> Self {
        let scratch = logging();
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

    /// Begins anew with what is on the disk, when all threads have ended.
    fn restart(self) -> Self {
        let threads: Vec<_> = self.leading.lock().unwrap().drain(..).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let journal = Arc::into_inner(self.journal).expect("nobody waits any more");
        Self {
            journal: Arc::new(restart(&self.scratch, journal)),
            ..self
        }
    }

    fn assert_holds(&self, files: &[(FileId, Vec<u8>)]) {
        for (id, body) in files {
            assert!(is_logged(&self.journal, *id));
            assert_eq!(&content(&self.journal, *id), body);
        }
        let incoming = self.journal.totals(Room::Incoming);
        assert_eq!(incoming.entries, u64::try_from(files.len()).unwrap());
        assert_eq!(self.journal.index().reserved.entries, 0);
        assert_eq!(self.journal.index().reserved.bytes, 0);
    }
}

#[test]
fn who_waits_on_no_thread_is_told_after_one_write_and_one_fsync() {
    let site = Site::new();
    site.begin(b"first").recv().unwrap().unwrap();
    site.scratch.disk.heal();
    let second = site.begin(b"second").recv().unwrap().unwrap();
    assert_eq!(site.scratch.disk.calls(), ["write_at", "sync_bytes"]);
    assert_eq!(content(&site.journal, second.id()), b"second");
    let site = site.restart();
    assert_eq!(content(&site.journal, second.id()), b"second");
    assert_eq!(second.meta().length, 6);
}

/// Whoever leads, nobody is left without one who writes for him.
#[test]
fn those_with_and_without_a_thread_share_groups_and_all_are_told() {
    for (is_first_without, with_threads) in [(true, 2_u64), (false, 2), (true, 0), (false, 0)] {
        let site = Site::new();
        site.begin(b"zero").recv().unwrap().unwrap();
        site.scratch.disk.heal();
        // Its fsync: one with a thread asks for free space itself.
        site.scratch
            .disk
            .pause_at(if is_first_without { 1 } else { 2 });
        let bodies: Vec<_> = (0..=with_threads)
            .map(|n| site.scratch.spooled_as(&format!("{n:010}"), b"spooled"))
            .collect();
        let (first, others) = bodies.split_first().unwrap();
        let ids = std::thread::scope(|scope| {
            let journal = &site.journal;
            let adopt = move |body| journal.adopt(body, draft()).unwrap().id();
            let told = is_first_without.then(|| site.begin(b"passed"));
            let blocked = (!is_first_without).then(|| scope.spawn(move || adopt(first)));
            let mut running = Vec::new();
            let mut waiting = Vec::new();
            site.scratch.disk.during_pause(|| {
                waiting.extend((0..3).map(|_| site.begin(b"passed")));
                running.extend(others.iter().map(|body| scope.spawn(move || adopt(body))));
                while journal.log.waiting() < 3 + with_threads {
                    std::thread::yield_now();
                }
            });
            let waiting = told.into_iter().chain(waiting);
            let passed =
                waiting.map(|told| (told.recv().unwrap().unwrap().id(), b"passed".to_vec()));
            let running = blocked.into_iter().chain(running);
            let spooled = running.map(|one| (one.join().unwrap(), b"spooled".to_vec()));
            passed.chain(spooled).collect::<Vec<_>>()
        });
        assert_eq!(ids.len(), 4 + usize::try_from(with_threads).unwrap());
        let writes = site.scratch.disk.calls();
        let groups = writes.iter().filter(|&&call| call == "sync_bytes").count();
        assert_eq!(groups, 2, "{writes:?}");
        let incoming = site.journal.totals(Room::Incoming);
        assert_eq!(incoming.entries, 5 + with_threads);
        let site = site.restart();
        for (id, body) in &ids {
            assert_eq!(&content(&site.journal, *id), body);
        }
    }
}

#[test]
fn whoever_is_told_of_a_failure_has_left_nothing_and_the_rest_is_as_it_was() {
    for fault in Fault::ALL {
        for call in 0..2 {
            let case = format!("call {call}, {fault:?}");
            let site = Site::new();
            let kept = site.begin(b"kept").recv().unwrap().unwrap();
            site.scratch.disk.heal();
            site.scratch.disk.fail_once(call, fault);
            let refusal = site.begin(b"failed").recv().unwrap().expect_err(&case);
            let is_full = matches!(refusal, AdoptError::NoSpace(_));
            assert_eq!(is_full, fault.is_no_space(), "{case}: {refusal}");
            let files = [(kept.id(), b"kept".to_vec())];
            site.assert_holds(&files);
            if site.journal.poison().is_some() {
                let again = site.try_begin(b"again", PLENTY).expect_err(&case);
                assert!(matches!(again, AdoptError::Poisoned(_)), "{case}: {again}");
            } else {
                site.begin(b"again").recv().unwrap().expect(&case);
                continue;
            }
            let site = site.restart();
            site.assert_holds(&files);
            site.begin(b"again").recv().unwrap().expect(&case);
        }
    }
}

/// Nobody waits for ever for one who is gone.
#[test]
fn a_leader_that_panics_takes_down_its_group_alone() {
    for call in 0..2 {
        let site = Site::new();
        let zero = site.begin(b"zero").recv().unwrap().unwrap();
        site.scratch.disk.heal();
        site.scratch.disk.pause_at(call);
        site.scratch.disk.panic_then(call);
        let spooled = site.scratch.spooled_as("0000000002", b"spooled");
        let (lost, ids) = std::thread::scope(|scope| {
            let journal = &site.journal;
            let lost = site.begin(b"lost");
            let mut next = None;
            site.scratch.disk.during_pause(|| {
                let passed = site.begin(b"passed");
                let blocked = scope.spawn(|| journal.adopt(&spooled, draft()).unwrap().id());
                while journal.log.waiting() < 2 {
                    std::thread::yield_now();
                }
                next = Some((passed, blocked));
            });
            let (passed, blocked) = next.unwrap();
            let passed = passed.recv().unwrap().unwrap().id();
            (lost.recv(), [passed, blocked.join().unwrap()])
        });
        assert!(lost.is_err(), "{lost:?}");
        let later = site.begin(b"later").recv().unwrap().unwrap();
        let threads: Vec<_> = site.leading.lock().unwrap().drain(..).collect();
        let ended = threads.into_iter().map(JoinHandle::join);
        assert_eq!(ended.filter(Result::is_err).count(), 1);
        let files = [
            (zero.id(), b"zero".to_vec()),
            (ids[0], b"passed".to_vec()),
            (ids[1], b"spooled".to_vec()),
            (later.id(), b"later".to_vec()),
        ];
        site.assert_holds(&files);
        site.restart().assert_holds(&files);
    }
}

#[test]
fn what_is_not_admitted_is_refused_at_once_and_reserves_nothing() {
    let mut site = Site::new();
    site.scratch.limits.max_entries = 1;
    site.scratch.limits.min_free_bytes = 1;
    let site = site.restart();
    let none = Free { bytes: 0, ..PLENTY };
    let low = site.try_begin(b"body", none).unwrap_err();
    assert!(low.to_string().contains("bytes are free"), "{low}");
    let one = site.begin(b"one").recv().unwrap().unwrap();
    let full = site.try_begin(b"two", PLENTY).unwrap_err();
    assert!(matches!(full, AdoptError::Full(_)), "{full}");
    site.assert_holds(&[(one.id(), b"one".to_vec())]);
}
