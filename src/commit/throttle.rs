//! Lets commits give way to clients of this node.
//!
//! Clients wait for their answers; commits do not. But nginx, this process and often MongoDB share the
//! processors of one host. So while clients come and threads of this process wait for a processor,
//! commits run one at a time and rest in between. The rests become shorter the longer an entry has
//! waited for its commit, and the more of the journal's room is taken; from an
//! [urgency](Throttle::set_urgency) of 1 on there are none. Pure: it is told of times, and reads no
//! clock.

use std::time::{Duration, Instant};

/// The interval at which clients and processors are measured. A handful of requests in it is no load.
const INTERVAL: Duration = Duration::from_millis(250);

/// A lower rate of requests neither disturbs commits nor is disturbed by them. Requests for large files
/// are few.
const REQUESTS_PER_SECOND: f64 = 30.0;

/// The processors are busy if threads of this process wait for one this long per second, all together.
const WAITED_PER_SECOND: f64 = 0.2;

/// A node counts as busy for this long after the last sign of it: the signs fade while commits rest.
const HOLD: Duration = Duration::from_millis(500);

/// Commits get at least this share of the time, ...
const LEAST_SHARE: f64 = 0.05;

/// ... and rest no longer than this: a commit that took long is no reason for a long pause.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Requests of clients.
    pub(super) requests: u64,
    /// The time that threads have waited for a processor; `None` where the system does not tell.
    pub(super) waited: Option<Duration>,
}

/// The rest between commits.
#[derive(Debug)]
pub(super) struct Throttle {
    looked: Option<(Instant, Counts)>,
    busy_until: Option<Instant>,
    urgency: f64,
    /// When the last commit ended, and its duration.
    last: Option<(Instant, Duration)>,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            looked: None,
            busy_until: None,
            urgency: 0.0,
            last: None,
        }
    }

    /// Whether it is time to measure again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.looked
            .is_none_or(|(looked, _)| now.duration_since(looked) >= INTERVAL)
    }

    /// Takes the counts of this moment.
    pub(super) fn look(&mut self, now: Instant, counts: Counts) {
        if let Some((looked, before)) = self.looked.replace((now, counts)) {
            let seconds = now.duration_since(looked).as_secs_f64();
            let waited = counts.waited.zip(before.waited).map(|(now, before)| {
                // A thread that has ended is no longer in the sum, which may therefore shrink.
                now.saturating_sub(before).as_secs_f64()
            });
            let came = counts.requests.saturating_sub(before.requests);
            let came = f64::from(u32::try_from(came).unwrap_or(u32::MAX));
            if came >= REQUESTS_PER_SECOND * seconds
                && waited.is_some_and(|waited| waited >= WAITED_PER_SECOND * seconds)
            {
                self.busy_until = Some(now + HOLD);
            }
        }
    }

    /// Sets how urgent commits are, from 0 up; from 1 on they give way to nobody.
    pub(super) fn set_urgency(&mut self, urgency: f64) {
        self.urgency = urgency;
    }

    /// Whether clients wait for the processors, or did a moment ago.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// Whether commits give way now.
    pub(super) fn gives_way(&self, now: Instant) -> bool {
        self.is_busy(now) && self.urgency < 1.0
    }

    /// Whether one more commit may begin while this many run.
    pub(super) fn may_begin(&self, now: Instant, running: usize) -> bool {
        if !self.gives_way(now) {
            return true;
        }
        let share = self.urgency.clamp(LEAST_SHARE, 1.0);
        let has_rested = self.last.is_none_or(|(ended, took)| {
            let rest = took.mul_f64(1.0 / share - 1.0).min(LONGEST_REST);
            now.duration_since(ended) >= rest
        });
        running == 0 && has_rested
    }

    /// Records the end of a commit that took this long.
    pub(super) fn end(&mut self, now: Instant, took: Duration) {
        self.last = Some((now, took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with commits that take `took`. `requests` and `waited` say, per second, how many
    /// clients come and how long threads wait.
    struct Node {
        now: Instant,
        counts: Counts,
        requests: u64,
        waited: Option<Duration>,
        took: Duration,
    }

    const STEP: Duration = Duration::from_millis(10);

    fn busy() -> Node {
        Node {
            now: Instant::now(),
            counts: Counts {
                requests: 0,
                waited: Some(Duration::ZERO),
            },
            requests: 500,
            waited: Some(Duration::from_secs(1)),
            took: Duration::from_millis(100),
        }
    }

    impl Node {
        /// The number of commits that end in this many seconds, if `most` may run side by side.
        fn commits(&mut self, throttle: &mut Throttle, seconds: u64, most: usize) -> usize {
            let end = self.now + Duration::from_secs(seconds);
            let mut running: Vec<Instant> = Vec::new();
            let mut done = 0;
            let mut ticks = 0;
            while self.now < end {
                self.now += STEP;
                ticks += 1;
                self.counts.requests = self.requests * ticks / 100;
                self.counts.waited = self
                    .counts
                    .waited
                    .zip(self.waited)
                    .map(|(all, more)| all + more / 100);
                if throttle.is_due(self.now) {
                    throttle.look(self.now, self.counts);
                }
                let before = running.len();
                running.retain(|begun| self.now - *begun < self.took);
                for _ in running.len()..before {
                    throttle.end(self.now, self.took);
                    done += 1;
                }
                while running.len() < most && throttle.may_begin(self.now, running.len()) {
                    running.push(self.now);
                }
            }
            done
        }
    }

    #[test]
    fn commits_have_a_small_share_beside_clients_and_all_of_it_when_they_are_gone() {
        let (mut node, mut throttle) = (busy(), Throttle::new());
        // The first second passes before the load is seen.
        node.commits(&mut throttle, 1, 4);
        let beside = node.commits(&mut throttle, 10, 4);
        // A tenth of a second of work, and a second of rest.
        assert!((8..=10).contains(&beside), "{beside}");
        node.requests = 0;
        node.commits(&mut throttle, 1, 4);
        let alone = node.commits(&mut throttle, 10, 4);
        assert!(alone > 350, "{alone}");
    }

    #[test]
    fn there_is_a_least_rate_however_long_one_takes() {
        let (mut node, mut throttle) = (busy(), Throttle::new());
        node.took = Duration::from_secs(2);
        node.commits(&mut throttle, 5, 4);
        let done = node.commits(&mut throttle, 60, 4);
        assert!((19..=21).contains(&done), "{done}");
    }

    #[test]
    fn the_share_grows_with_the_urgency_and_there_is_an_end_of_giving_way() {
        let shares = [0.1, 0.3, 0.6, 1.0, 7.0].map(|urgency| {
            let (mut node, mut throttle) = (busy(), Throttle::new());
            throttle.set_urgency(urgency);
            node.commits(&mut throttle, 1, 4);
            node.commits(&mut throttle, 20, 4)
        });
        let [tenth, third, most, urgent, more] = shares;
        assert!(tenth < third && third < most && most < 200, "{shares:?}");
        assert!(urgent > 700, "all four at once, without a rest: {shares:?}");
        assert_eq!(urgent, more);
    }

    #[test]
    fn a_node_with_idle_processors_or_few_requests_gives_way_to_nobody() {
        let quiet = |change: fn(&mut Node)| {
            let (mut node, mut throttle) = (busy(), Throttle::new());
            change(&mut node);
            node.commits(&mut throttle, 10, 4)
        };
        let few = quiet(|node| node.requests = 20);
        let idle = quiet(|node| node.waited = Some(Duration::from_millis(100)));
        let unknown = quiet(|node| {
            node.waited = None;
            node.counts.waited = None;
        });
        for done in [few, idle, unknown] {
            assert!(done > 350, "{done}");
        }
        assert!(quiet(|_| ()) < 50, "the same, and busy");
    }
}
