//! Limits the commits that run at the same time.
//!
//! A commit lines up before it may go to the store, so that its bodies can be read meanwhile; but only
//! one commit is in line at a time. Permits are granted as fast as the store bears it ([`Pace`]), and
//! as clients leave room ([`Throttle`]). Packages of messages go past all that, a few groups at a time.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::backlog::Lane;
use super::pace::Pace;
use super::throttle::Throttle;
use super::traffic::Traffic;
use crate::config::CommitPace;
use crate::file::FileId;
use crate::store::Store;

/// The groups of packages at the store at once. They wait for no other commit and for no client.
/// There is only one, so that messages enter lists in the order in which this node took them.
const GROUPS_AHEAD: usize = 1;

/// The pause between two reads that measure the store.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// This pause while the limit of the store is being found: a backlog may be gone by then.
const FIRST_PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// The pause after which a commit that gives way checks whether it still has to.
const REST: Duration = Duration::from_millis(20);

/// Limits the commits that run at the same time.
#[derive(Debug)]
pub(super) struct CommitLimiter {
    most: usize,
    /// `None`: the greatest number is always allowed.
    pace: Option<Mutex<Pace>>,
    throttle: Mutex<Throttle>,
    traffic: Arc<Traffic>,
    state: Mutex<State>,
    ahead: Arc<Semaphore>,
    /// Signals that a permit was given back, or that more are allowed.
    freed: Notify,
    /// Signals that the line is empty.
    line_left: Notify,
    /// Signals that a permit was granted.
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of granted permits.
    taken: usize,
    /// The number of commits in line.
    in_line: usize,
    /// Whether all permits were granted at any time since the last question.
    was_full: bool,
    /// The last committed entry: a file that the store has.
    committed: Option<FileId>,
}

impl State {
    fn leave_line(&mut self) {
        debug_assert!(self.in_line > 0, "more leave the line than came");
        self.in_line = self.in_line.saturating_sub(1);
    }
}

impl CommitLimiter {
    /// Allows at most this many.
    pub(super) fn new(most: usize, pace: CommitPace) -> Self {
        let pace = match pace {
            CommitPace::Adaptive => Some(Mutex::new(Pace::new(most))),
            CommitPace::Fixed => None,
        };
        Self {
            most,
            pace,
            throttle: Mutex::new(Throttle::new()),
            traffic: Arc::default(),
            state: Mutex::default(),
            ahead: Arc::new(Semaphore::new(GROUPS_AHEAD)),
            freed: Notify::new(),
            line_left: Notify::new(),
            begun: Notify::new(),
        }
    }

    /// Whether commits give way to clients now.
    pub(super) fn gives_way(&self) -> bool {
        self.pace.is_some() && lock(&self.throttle).gives_way(Instant::now())
    }

    /// The count of clients' requests.
    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The number of commits that may be at the store now.
    pub(super) fn width(&self) -> usize {
        self.pace
            .as_ref()
            .map_or(self.most, |pace| lock(pace).width())
    }

    /// Waits until the line is empty: then one more commit may be made ready.
    async fn until_line_is_free(&self) {
        while lock(&self.state).in_line > 0 {
            self.line_left.notified().await;
        }
    }

    /// Waits until one more commit of this lane may be made ready.
    pub(super) async fn until_free(&self, lane: Lane) {
        match lane {
            Lane::Packages => drop(self.ahead.acquire().await),
            Lane::Files => self.until_line_is_free().await,
        }
    }

    /// Returns the turn of a commit. Packages go past the line. The only caller calls this after
    /// [`CommitLimiter::until_free`].
    pub(super) fn turn(self: &Arc<Self>, lane: Lane) -> Turn {
        match lane {
            Lane::Packages => Turn::Ahead(Arc::clone(&self.ahead).try_acquire_owned().ok()),
            Lane::Files => Turn::InLine(self.line_up()),
        }
    }

    /// Lines up.
    fn line_up(self: &Arc<Self>) -> Permit {
        lock(&self.state).in_line += 1;
        Permit {
            limiter: Arc::clone(self),
            lined_up: Instant::now(),
            granted: OnceLock::new(),
        }
    }

    /// Records that a commit failed by the store's fault.
    pub(super) fn report_failure(&self) {
        if let Some(pace) = &self.pace {
            lock(pace).fail();
        }
    }

    /// Records that a commit succeeded.
    pub(super) fn report_commit(&self, id: FileId) {
        lock(&self.state).committed = Some(id);
    }

    /// Reads from the store like other readers while commits run, and sets the pace by their times.
    pub(super) async fn follow(&self, store: &dyn Store) {
        let Some(pace) = &self.pace else {
            return;
        };
        let mut interval = PROBE_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            interval = PROBE_INTERVAL;
            let (committed, is_full) = {
                let mut state = lock(&self.state);
                let is_full = std::mem::take(&mut state.was_full) || state.taken >= self.width();
                (state.committed.filter(|_| state.taken > 0), is_full)
            };
            let Some(committed) = committed else {
                // There is nothing to measure: without commits no timer runs.
                self.begun.notified().await;
                continue;
            };
            let begun = Instant::now();
            let read = store.probe(committed).await;
            match read {
                Ok(()) => lock(pace).observe(begun.elapsed(), is_full),
                Err(err) => {
                    log::debug!("a read to watch the store by: {err}");
                    lock(pace).fail();
                }
            }
            if lock(pace).is_opening() {
                interval = FIRST_PROBE_INTERVAL;
            }
            self.freed.notify_one();
        }
    }
}

/// The turn of a commit, until this is dropped.
#[derive(Debug)]
pub(super) enum Turn {
    /// It waits for a permit.
    InLine(Permit),
    /// It goes at once, as packages of messages do.
    Ahead(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>),
}

/// A commit in line for the store, and then at the store, until this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Arc<CommitLimiter>,
    lined_up: Instant,
    /// When it was granted.
    granted: OnceLock<Instant>,
}

impl Permit {
    /// Waits until the permit is granted; returns at once if it is already. `urgency` gets the time
    /// that this commit is in line, and tells how urgent commits are; it is called before the commit
    /// gives way to clients. Dropping the future leaves the commit in line.
    pub(super) async fn wait(&self, urgency: impl Fn(Duration) -> f64) {
        loop {
            let freed = self.limiter.freed.notified();
            match self.take(&urgency) {
                Taken::Yes => return,
                Taken::Full => freed.await,
                // It checks again after a signal and after the pause.
                Taken::GivesWay => tokio::time::timeout(REST, freed).await.unwrap_or(()),
            }
        }
    }

    /// Takes the permit, if it may be granted now.
    fn take(&self, urgency: &impl Fn(Duration) -> f64) -> Taken {
        if self.granted.get().is_some() {
            return Taken::Yes;
        }
        let now = Instant::now();
        let width = self.limiter.width();
        let mut state = lock(&self.limiter.state);
        if state.taken >= width {
            return Taken::Full;
        }
        let gives_way = self.limiter.pace.is_some() && {
            let mut throttle = lock(&self.limiter.throttle);
            if throttle.is_due(now) {
                throttle.look(now, self.limiter.traffic.counts());
            }
            if throttle.is_busy(now) {
                throttle.set_urgency(urgency(now.duration_since(self.lined_up)));
            }
            !throttle.may_begin(now, state.taken)
        };
        if gives_way {
            return Taken::GivesWay;
        }
        state.taken += 1;
        state.leave_line();
        state.was_full |= state.taken >= width;
        drop(state);
        self.granted.get_or_init(|| now);
        self.limiter.begun.notify_one();
        self.limiter.line_left.notify_one();
        Taken::Yes
    }
}

/// Whether a permit is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    /// The greatest number of commits is at the store.
    Full,
    /// Clients go first.
    GivesWay,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.limiter.state);
        if let Some(begun) = self.granted.get() {
            let now = Instant::now();
            lock(&self.limiter.throttle).end(now, now.duration_since(*begun));
            debug_assert!(state.taken > 0, "more permits end than were granted");
            state.taken = state.taken.saturating_sub(1);
            self.limiter.freed.notify_one();
        } else {
            state.leave_line();
            self.limiter.line_left.notify_one();
        }
    }
}

/// Takes a lock. A panic under it does no harm: the numbers stay valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::commit::throttle::Counts;

    fn limiter(most: usize) -> Arc<CommitLimiter> {
        Arc::new(CommitLimiter::new(most, CommitPace::Fixed))
    }

    fn is_granted(permit: &Permit) -> bool {
        permit.wait(|_| 0.0).now_or_never().is_some()
    }

    fn is_line_free(limiter: &CommitLimiter) -> bool {
        limiter.until_line_is_free().now_or_never().is_some()
    }

    #[test]
    fn one_commit_is_made_ready_while_as_many_as_may_are_at_the_store() {
        let limiter = limiter(2);
        let at_the_store = [limiter.line_up(), limiter.line_up()];
        assert!(at_the_store.iter().all(is_granted));
        assert!(is_line_free(&limiter));
        let ready = limiter.line_up();
        assert!(!is_line_free(&limiter));
        assert!(!is_granted(&ready));
        drop(at_the_store);
        assert!(is_granted(&ready));
        assert!(is_line_free(&limiter));
    }

    #[test]
    fn a_permit_is_held_until_its_end() {
        let limiter = limiter(1);
        let permit = limiter.line_up();
        assert!(is_granted(&permit) && is_granted(&permit));
        let next = limiter.line_up();
        assert!(!is_granted(&next));
        drop(permit);
        assert!(is_granted(&next));
    }

    #[tokio::test]
    async fn beside_clients_one_commit_at_a_time_begins_unless_the_pace_is_fixed() {
        for (pace, may) in [(CommitPace::Adaptive, false), (CommitPace::Fixed, true)] {
            let limiter = Arc::new(CommitLimiter::new(2, pace));
            if let Some(pace) = &limiter.pace {
                (0..9).for_each(|_| lock(pace).observe(Duration::ZERO, true));
            }
            // The node counts as busy for a long time to come, and is not measured again.
            let mut now = Instant::now() + Duration::from_hours(1);
            for second in [0, 1] {
                now += Duration::from_secs(second);
                let counts = Counts {
                    requests: 1000 * second,
                    waited: Some(Duration::from_secs(second)),
                };
                lock(&limiter.throttle).look(now, counts);
            }
            assert_eq!(limiter.width(), 2);
            assert_eq!(limiter.gives_way(), !may);
            let first = limiter.line_up();
            assert!(is_granted(&first));
            let second = limiter.line_up();
            assert_eq!(is_granted(&second), may);
            let urgent = second.wait(|_| 1.0).now_or_never();
            assert!(urgent.is_some());
        }
    }

    #[tokio::test]
    async fn who_waits_learns_that_a_permit_or_the_line_is_free() {
        let limiter = limiter(1);
        let permit = limiter.line_up();
        permit.wait(|_| 0.0).await;
        let next = limiter.line_up();
        let mut waiting = Box::pin(async {
            next.wait(|_| 0.0).await;
            next
        });
        let mut line = Box::pin(limiter.until_line_is_free());
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(futures::poll!(&mut line).is_pending());
        drop(permit);
        let _at_the_store = waiting.await;
        line.await;
    }

    #[tokio::test]
    async fn one_that_leaves_the_line_frees_it() {
        let limiter = limiter(1);
        let in_line = limiter.line_up();
        let mut line = Box::pin(limiter.until_line_is_free());
        assert!(futures::poll!(&mut line).is_pending());
        drop(in_line);
        line.await;
        assert!(is_granted(&limiter.line_up()), "it was never at the store");
    }
}
