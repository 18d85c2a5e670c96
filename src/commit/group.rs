//! The work on a group of small entries: each step is done for all of them at once.
//!
//! A group finishes only entries that succeed at the first attempt. All others get an attempt of their
//! own, which finds the fault of each, so that no member suffers for another.

use std::collections::BTreeMap;

use futures::FutureExt as _;

use super::Committer;
use super::handed_out::HandedOut;
use super::limiter::Turn;
use crate::file::FileId;
use crate::journal::{Settling, Work};
use crate::store::{Committed, Promised, StoreError};

impl Committer {
    /// Commits the new and intact entries of a group; returns the others. During an outage of the store
    /// it returns none, and all of them come again.
    pub(super) async fn attempt_group(
        &self,
        handed_out: &mut HandedOut,
        turn: &Turn,
    ) -> Vec<FileId> {
        let (group, mut alone) = self.open_group(handed_out).await;
        // In the order of their age, as for single entries.
        let mut members: BTreeMap<_, _> = group
            .iter()
            .map(|member| (member.id, member.meta.length))
            .collect();
        let tried = self
            .store
            .commit_group(group, self.wait_for(turn).boxed())
            .await;
        match self.judged(tried).await {
            Ok(proofs) => {
                let proven = proofs.into_iter().map(|proof| {
                    let length = members.remove(&proof.id()).unwrap_or_default();
                    (proof, length)
                });
                let proven = proven.collect();
                alone.extend(members.into_keys());
                alone.extend(self.settle_group(handed_out, proven).await);
            }
            Err(err @ (StoreError::Unavailable(_) | StoreError::Unfit(_))) => {
                self.report_outage(&err);
                alone.clear();
            }
            Err(err) => {
                log::debug!("a group is committed one by one: {err}");
                alone.extend(members.into_keys());
            }
        }
        alone
    }

    /// Opens the entries that never failed before. Returns all others that still need work.
    async fn open_group(&self, handed_out: &mut HandedOut) -> (Vec<Promised>, Vec<FileId>) {
        let ids = handed_out.ids().to_vec();
        let opened = self.on_disk(move |journal| {
            let opened = ids.into_iter().map(|id| (id, journal.open_work(id)));
            opened.collect::<Vec<_>>()
        });
        let (mut group, mut alone) = (Vec::new(), Vec::new());
        for (id, work) in opened.await {
            match work {
                Ok(Work::Commit {
                    promised,
                    attempts: 0,
                }) => group.push(promised),
                Ok(Work::Nothing) => handed_out.finish(id, None),
                Ok(Work::Commit { .. } | Work::Erase { .. } | Work::Undo { .. }) | Err(_) => {
                    alone.push(id);
                }
            }
        }
        (group, alone)
    }

    /// Settles the proven entries, given with their lengths. Returns those that were deleted or got
    /// another link meanwhile.
    async fn settle_group(
        &self,
        handed_out: &mut HandedOut,
        proven: Vec<(Committed, u64)>,
    ) -> Vec<FileId> {
        let settled = self.on_disk(move |journal| {
            let (proofs, lengths): (Vec<_>, Vec<_>) = proven.into_iter().unzip();
            let settled = journal.settle_all(&proofs);
            let proofs = proofs.iter().zip(lengths).zip(settled);
            let settled = proofs.map(|((proof, length), settling)| (proof.id(), length, settling));
            settled.collect::<Vec<_>>()
        });
        let mut alone = Vec::new();
        for (id, length, settling) in settled.await {
            match settling {
                Ok(Settling::Settled) => {
                    self.report_commit(id, length);
                    handed_out.finish(id, None);
                }
                Ok(Settling::Deleted | Settling::Relinked) => alone.push(id),
                Err(err) => handed_out.finish(id, Some(self.put_off(id, &err))),
            }
        }
        alone
    }
}
