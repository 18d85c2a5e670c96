//! The committer: takes what is due, writes it to the store, and settles what is proven.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Committer;
use super::attempt::Outcome;
use super::slots::Turn;
use crate::config::GroupConfig;
use crate::file::FileId;
use crate::journal::{Journal, point::point};
use crate::store::StoreError;

/// Commits give way to clients of this node until one has waited for this long, ...
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// ... or until pending files take this much of the journal's limit.
const FULLEST_PERCENT: f64 = 50.0;

impl Committer {
    /// Works until `stop`, then waits up to `grace` for the commits that run. The next start takes up
    /// any commit that was cut.
    pub async fn run(self, stop: CancellationToken, grace: Duration) {
        let running = TaskTracker::new();
        let cut = CancellationToken::new();
        let working = async {
            loop {
                let pacing = self.slots.follow(&*self.store);
                let working = futures::future::join(self.hand_out(&running, &cut), pacing);
                if AssertUnwindSafe(working).catch_unwind().await.is_err() {
                    log::error!("the committer panicked; it begins anew");
                    // The journal lists the ids that were in flight again, and nobody works on them any
                    // more.
                    running.close();
                    running.wait().await;
                    running.reopen();
                    tokio::time::sleep(self.config.retry_first).await;
                }
            }
        };
        stop.run_until_cancelled(working).await;
        running.close();
        if tokio::time::timeout(grace, running.wait()).await.is_err() {
            log::info!("running commits are cut; they go on at the next start");
            cut.cancel();
            running.wait().await;
        }
    }

    /// Hands out each piece of the journal's work when it is due.
    async fn hand_out(&self, running: &TaskTracker, cut: &CancellationToken) {
        self.backlog.clear();
        for (id, left) in self.journal.work() {
            self.backlog.push_found(id, left, self.config.retry_max);
        }
        loop {
            self.health.until_fit().await;
            self.slots.until_line_is_free().await;
            let length = |id| self.journal.length(id).unwrap_or_default();
            let ids = self.backlog.next(&self.limits(), length).await;
            point!("commit.handed-out");
            let turn = self.slots.line_up();
            let (committer, cut) = (self.clone(), cut.clone());
            running.spawn(async move {
                cut.run_until_cancelled(committer.work_on(ids, turn)).await;
            });
        }
    }

    /// Waits for a turn.
    pub(super) async fn wait_for(&self, turn: &Turn) {
        turn.wait(|in_line| {
            let late = self.backlog.lateness().max(in_line);
            let fullness = self.journal.fullness_percent();
            urgency(late, fullness, self.arrivals.waiting_count())
        })
        .await;
    }

    /// The limits of a group now. After an outage each entry goes alone until a commit succeeds: an
    /// entry that brings MongoDB down must not take the same others with it again and again.
    fn limits(&self) -> GroupConfig {
        let limits = self.config.group.clone();
        if self.health.is_shaken() {
            GroupConfig {
                entries: 1,
                ..limits
            }
        } else {
            limits
        }
    }

    /// Works on a group of entries, and puts back those that it did not finish.
    async fn work_on(&self, ids: Vec<FileId>, turn: Turn) {
        let mut alone = match ids.as_slice() {
            [_] => ids,
            _ => self.work_on_group(ids, &turn).await,
        }
        .into_iter();
        for id in alone.by_ref() {
            self.wait_for(&turn).await;
            if !self.work_on_one(id).await {
                break;
            }
        }
        // The store is not available: the other entries need not find that out again.
        for id in alone {
            self.backlog.finish(id, Some(self.backlog.now()));
        }
    }

    /// Works on a group; returns the entries that need an attempt of their own.
    async fn work_on_group(&self, ids: Vec<FileId>, turn: &Turn) -> Vec<FileId> {
        AssertUnwindSafe(self.attempt_group(&ids, turn))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                log::error!("the attempt to commit a group panicked");
                ids
            })
    }

    /// Works on one entry, and puts it back unless it is finished. Returns whether the store is there.
    async fn work_on_one(&self, id: FileId) -> bool {
        let outcome = AssertUnwindSafe(self.attempt(id))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                log::error!("{id}: the attempt to commit panicked");
                Outcome::Again(self.later(u32::MAX))
            });
        self.finish(id, outcome)
    }

    /// Puts an entry back unless it is finished. Returns whether the store is there.
    pub(super) fn finish(&self, id: FileId, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Done => self.backlog.finish(id, None),
            Outcome::Again(due) => self.backlog.finish(id, Some(due)),
            Outcome::Outage(err) => {
                self.report_outage(&err);
                self.backlog.finish(id, Some(self.backlog.now()));
                return false;
            }
        }
        true
    }

    /// Tells the health, the pace and the counts that the store failed.
    pub(super) fn report_outage(&self, err: &StoreError) {
        self.tally.count_failure();
        self.slots.report_failure();
        self.health.report_outage(err);
    }

    /// Runs one operation of the journal on the blocking pool.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> T {
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || operation(&journal)).await {
            Ok(done) => done,
            // `work_on` handles a panic. The pool is not shut down while this runs.
            Err(lost) => std::panic::resume_unwind(lost.into_panic()),
        }
    }
}

/// How urgent commits are while clients wait for the processors; from 1 on clients have to wait. A
/// client that waits for a commit makes it more urgent.
fn urgency(late: Duration, fullness_percent: u32, waiting: usize) -> f64 {
    let late = late.as_secs_f64() / LONGEST_WAIT.as_secs_f64();
    let fullness = f64::from(fullness_percent) / FULLEST_PERCENT;
    let waiting = if waiting > 0 { 1.0 } else { 0.0 };
    late.max(fullness).max(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_long_a_full_journal_and_a_client_that_waits_for_a_commit_are_urgent() {
        let seconds = Duration::from_secs;
        let nothing = urgency(seconds(0), 0, 0);
        assert!(nothing < 0.01, "{nothing}");
        let half = [urgency(seconds(5), 0, 0), urgency(seconds(0), 25, 0)];
        assert!(
            half.iter().all(|half| (0.4..0.6).contains(half)),
            "{half:?}"
        );
        for (late, fullness, waiting) in [(10, 0, 0), (0, 50, 0), (0, 0, 1), (60, 100, 9)] {
            assert!(urgency(seconds(late), fullness, waiting) >= 1.0);
        }
    }
}
