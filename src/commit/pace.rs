//! The number of commits that may run at once. The waits of a reader of the store decide it.
//!
//! Commits can wait: what they move is safe in the journal. Readers cannot. So a small read is timed
//! again and again while commits run. While its time stays near that beside a single commit, more
//! commits may run; when it rises, fewer; when the store fails, half as many. Pure: it is told of
//! times, and knows no clock.

use std::time::Duration;

/// Reads that are judged together, by their median: a single slow read says nothing.
const ROUND: usize = 3;

/// A read may take this many times as long as beside a single commit.
const TOLERANCE: u32 = 3;

/// A read that takes no longer than this is always good enough.
const GOOD: Duration = Duration::from_millis(3);

/// The number of commits that may run.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    width: usize,
    /// No read has been slow yet: the width doubles instead of growing by one.
    is_young: bool,
    /// The time of a read beside a single commit.
    best: Option<Duration>,
    round: Vec<Duration>,
}

impl Pace {
    /// Begins with one commit at once, and allows up to `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            width: 1,
            is_young: true,
            best: None,
            round: Vec::new(),
        }
    }

    /// The number of commits that may run now: at least one.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether the width is being raised for the first time.
    pub(super) fn is_opening(&self) -> bool {
        self.is_young && self.width < self.most
    }

    /// Records the latency of a read. `is_full` says that as many commits ran as were allowed.
    pub(super) fn observe(&mut self, latency: Duration, is_full: bool) {
        self.round.push(latency);
        if self.round.len() < ROUND {
            return;
        }
        self.round.sort_unstable();
        let median = self.round.get(ROUND / 2).copied().unwrap_or(latency);
        self.round.clear();
        let best = match self.best {
            // All later reads are compared with this one, also when the store's speed changes.
            Some(best) if self.width == 1 => (best * 3 + median) / 4,
            Some(best) => best.min(median),
            None => median,
        };
        self.best = Some(best);
        let limit = (best * TOLERANCE).max(GOOD);
        if median > limit * 2 {
            self.halve();
        } else if median > limit {
            self.is_young = false;
            self.width = (self.width - 1).max(1);
        } else if is_full {
            let step = if self.is_young { self.width } else { 1 };
            self.width = (self.width + step).min(self.most);
        }
    }

    /// Records that a commit or a read failed by the store's fault.
    pub(super) fn fail(&mut self) {
        self.round.clear();
        self.halve();
    }

    fn halve(&mut self) {
        self.is_young = false;
        self.width = (self.width / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 16;

    /// A store with reads that take `base`, and longer once more than `knee` commits run.
    struct Model {
        base: Duration,
        knee: usize,
    }

    impl Model {
        fn latency(&self, width: usize) -> Duration {
            let over = width.saturating_sub(self.knee);
            self.base + self.base * u32::try_from(over).unwrap()
        }

        /// The width after each of this many rounds.
        fn run(&self, pace: &mut Pace, rounds: usize) -> Vec<usize> {
            let round = |_| {
                for _ in 0..ROUND {
                    pace.observe(self.latency(pace.width()), true);
                }
                pace.width()
            };
            (0..rounds).map(round).collect()
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_widens_to_the_most_while_reads_stay_as_fast_as_they_were() {
        let flat = Model {
            base: millis(5),
            knee: MOST,
        };
        let mut pace = Pace::new(MOST);
        assert_eq!(pace.width(), 1);
        assert_eq!(flat.run(&mut pace, 6), [2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn it_stays_near_the_width_at_which_reads_become_slow() {
        let steep = Model {
            base: millis(5),
            knee: 4,
        };
        let widths = steep.run(&mut Pace::new(MOST), 200);
        let settled = widths.get(50..).unwrap();
        assert!(
            settled.iter().all(|width| (4..=7).contains(width)),
            "{settled:?}"
        );
    }

    #[test]
    fn a_store_that_is_slow_for_everyone_gets_one_commit_at_once_and_then_more_when_it_is_seen_to_be_so()
     {
        let mut pace = Pace::new(MOST);
        let fast = Model {
            base: millis(5),
            knee: MOST,
        };
        fast.run(&mut pace, 10);
        let slow = Model {
            base: millis(50),
            knee: MOST,
        };
        let widths = slow.run(&mut pace, 60);
        assert!(widths.contains(&1), "{widths:?}");
        assert_eq!(widths.last(), Some(&MOST), "{widths:?}");
    }

    #[test]
    fn reads_that_suit_everyone_are_never_too_slow() {
        let mut pace = Pace::new(MOST);
        let quick = Model {
            base: Duration::from_micros(100),
            knee: 1,
        };
        assert!(pace.is_opening());
        quick.run(&mut pace, 20);
        assert_eq!(pace.width(), MOST);
        assert!(!pace.is_opening(), "it is as wide as it may be");
    }

    #[test]
    fn failures_halve_the_width_down_to_one() {
        let mut pace = Pace::new(MOST);
        let flat = Model {
            base: millis(5),
            knee: MOST,
        };
        flat.run(&mut pace, 10);
        let widths: Vec<_> = (0..6)
            .map(|_| {
                pace.fail();
                pace.width()
            })
            .collect();
        assert_eq!(widths, [8, 4, 2, 1, 1, 1]);
        assert!(!pace.is_opening());
        assert_eq!(flat.run(&mut pace, 3), [2, 3, 4], "with care");
    }

    #[test]
    fn it_does_not_widen_for_nobody_and_one_slow_read_changes_nothing() {
        let mut pace = Pace::new(MOST);
        for _ in 0..100 {
            pace.observe(millis(5), false);
        }
        assert_eq!(pace.width(), 1);
        for _ in 0..100 {
            pace.observe(millis(5), true);
            pace.observe(millis(5), true);
            pace.observe(millis(500), true);
        }
        assert_eq!(pace.width(), MOST);
    }
}
