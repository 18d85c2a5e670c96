//! The work on a group of small entries: each step is done for all of them at once.
//!
//! A group finishes only entries that succeed at the first attempt. All others get an attempt of their
//! own, which finds the fault of each, so that no member suffers for another.

use std::collections::BTreeMap;

use futures::FutureExt as _;

use super::Committer;
use super::slots::Turn;
use crate::file::FileId;
use crate::journal::{Settling, Work};
use crate::store::{Committed, Promised, StoreError};

impl Committer {
    /// Commits the new and intact entries of a group; returns the others. During an outage of the store
    /// it puts all of them back.
    pub(super) async fn attempt_group(&self, ids: &[FileId], turn: &Turn) -> Vec<FileId> {
        let (group, mut alone) = self.open_group(ids.to_vec()).await;
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
                alone.extend(self.settle_group(proven).await);
            }
            Err(err @ (StoreError::Unavailable(_) | StoreError::Unfit(_))) => {
                self.report_outage(&err);
                for id in members.into_keys().chain(alone.drain(..)) {
                    self.backlog.finish(id, Some(self.backlog.now()));
                }
            }
            Err(err) => {
                log::debug!("a group is committed one by one: {err}");
                alone.extend(members.into_keys());
            }
        }
        alone
    }

    /// Opens the entries that never failed before. Returns all others that still need work.
    async fn open_group(&self, ids: Vec<FileId>) -> (Vec<Promised>, Vec<FileId>) {
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
                Ok(Work::Nothing) => self.backlog.finish(id, None),
                Ok(Work::Commit { .. } | Work::Erase { .. }) | Err(_) => alone.push(id),
            }
        }
        (group, alone)
    }

    /// Settles the proven entries, given with their lengths. Returns those that were deleted meanwhile.
    async fn settle_group(&self, proven: Vec<(Committed, u64)>) -> Vec<FileId> {
        let settled = self.on_disk(move |journal| {
            let (proofs, lengths): (Vec<_>, Vec<_>) = proven.into_iter().unzip();
            let settled = journal.settle_all(&proofs);
            let proofs = proofs.iter().zip(lengths).zip(settled);
            let settled = proofs.map(|((proof, length), settling)| (proof.id(), length, settling));
            settled.collect::<Vec<_>>()
        });
        let mut deleted = Vec::new();
        for (id, length, settling) in settled.await {
            match settling {
                Ok(Settling::Settled) => {
                    self.report_commit(id, length);
                    self.backlog.finish(id, None);
                }
                Ok(Settling::Deleted) => deleted.push(id),
                Err(err) => {
                    self.finish(id, self.put_off(id, &err));
                }
            }
        }
        deleted
    }
}
