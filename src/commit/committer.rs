//! The committer: takes what is due, writes it to the store, and settles what is proven.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Outcome;
use super::backlog::Lane;
use super::handed_out::HandedOut;
use super::limiter::Turn;
use super::{Commits, Committer};
use crate::blocking::on_thread;
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
                let pacing = self.commits.limiter.follow(&*self.store);
                let handing_out = self.hand_out(&running, &cut);
                let working = futures::future::join3(handing_out, pacing, self.look_for_missed());
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
        let backlog = &self.commits.backlog;
        backlog.clear();
        for (id, left) in self.journal.work() {
            let lane = Lane::of(self.journal.is_package(id));
            backlog.push_found(id, lane, left, self.config.retry_max);
        }
        let lanes = [Lane::Packages, Lane::Files];
        let lanes = lanes.map(|lane| self.hand_out_in(lane, running, cut));
        futures::future::join_all(lanes).await;
    }

    async fn hand_out_in(&self, lane: Lane, running: &TaskTracker, cut: &CancellationToken) {
        let Commits {
            backlog,
            health,
            limiter,
            ..
        } = &*self.commits;
        loop {
            health.until_fit().await;
            limiter.until_free(lane).await;
            let length = |id| self.journal.length(id).unwrap_or_default();
            let handed_out = HandedOut::next(backlog, lane, &self.limits(), length).await;
            point!("commit.handed-out");
            let turn = limiter.turn(lane);
            let (committer, cut) = (self.clone(), cut.clone());
            running.spawn(async move {
                let work = committer.work_on(handed_out, &turn);
                cut.run_until_cancelled(work).await;
            });
        }
    }

    /// Waits until a permit is granted. Packages of messages need none.
    pub(super) async fn wait_for(&self, turn: &Turn) {
        let Turn::InLine(permit) = turn else {
            return;
        };
        let Commits {
            backlog, waiters, ..
        } = &*self.commits;
        let urgency = |in_line| {
            let late = backlog.lateness().max(in_line);
            urgency(late, self.journal.fullness_percent(), waiters.count())
        };
        permit.wait(urgency).await;
    }

    /// The limits of a group now. After an outage each entry goes alone until a commit succeeds: an
    /// entry that brings MongoDB down must not take the same others with it again and again.
    fn limits(&self) -> GroupConfig {
        let limits = self.config.group.clone();
        if self.commits.health.is_shaken() {
            GroupConfig {
                entries: 1,
                ..limits
            }
        } else {
            limits
        }
    }

    /// Works on a group of entries. Unfinished ones are due again.
    async fn work_on(&self, mut handed_out: HandedOut, turn: &Turn) {
        let alone = match *handed_out.ids() {
            [id] => vec![id],
            _ => self.work_on_group(&mut handed_out, turn).await,
        };
        for id in alone {
            self.wait_for(turn).await;
            match self.work_on_one(id).await {
                Outcome::Done => handed_out.finish(id, None),
                Outcome::Again(due) => handed_out.finish(id, Some(due)),
                Outcome::Outage(err) => {
                    // The other entries need not find that out again.
                    self.report_outage(&err);
                    break;
                }
            }
        }
    }

    /// Works on a group; returns the entries that need an attempt of their own.
    async fn work_on_group(&self, handed_out: &mut HandedOut, turn: &Turn) -> Vec<FileId> {
        let attempt = AssertUnwindSafe(self.attempt_group(handed_out, turn)).catch_unwind();
        let attempted = attempt.await;
        attempted.unwrap_or_else(|_| {
            log::error!("the attempt to commit a group panicked");
            handed_out.ids().to_vec()
        })
    }

    async fn work_on_one(&self, id: FileId) -> Outcome {
        let attempted = AssertUnwindSafe(self.attempt(id)).catch_unwind().await;
        attempted.unwrap_or_else(|_| {
            log::error!("{id}: the attempt to commit panicked");
            Outcome::Again(self.later(u32::MAX))
        })
    }

    /// Tells the health, the pace and the counts that the store failed.
    pub(super) fn report_outage(&self, err: &StoreError) {
        self.commits.tally.count_failure();
        self.commits.limiter.report_failure();
        self.commits.health.report_outage(err);
    }

    /// Runs one operation of the journal on the blocking pool.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> T {
        let journal = Arc::clone(&self.journal);
        // `work_on` handles a panic. The pool is not shut down while this runs.
        on_thread(move || operation(&journal)).await
    }
}

/// The urgency of commits while clients wait for the processors; from 1 on clients have to wait. A
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
