//! Takes the answers to idempotency keys of a dead node's journal, and those of a node that leaves.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::thread::sleep;
use std::time::Duration;

use super::DeadJournal;
use crate::file::FileId;
use crate::journal::idempotency::PACKED;
use crate::journal::memory::News;
use crate::journal::record::{Answer, Answered, KeyedRequest, LogTime};
use crate::journal::{Journal, JournalError, point};

/// The pause before a key is looked at again that a request has claimed.
const AGAIN: Duration = Duration::from_millis(10);

impl Journal {
    /// Takes the answers to keys whose entries have left a dead node's journal, are settled there, or are `deleted`
    /// since. Returns the number of their files that are new here. Blocks.
    ///
    /// 1. The keys of some answers are claimed. Those that a request has claimed come later: no claim waits for another.
    /// 2. An answer that was given here stands.
    /// 3. The others are written and synced, and learned with the sync. Only then the claims are dropped: whoever finds
    ///    an answer can read it.
    ///
    /// # Errors
    /// The disk's error; the next call does the same again.
    pub fn take_answers(
        &self,
        dead: &DeadJournal,
        deleted: &HashSet<FileId>,
    ) -> Result<usize, JournalError> {
        let mut left = VecDeque::from(by_answer(dead.answers(deleted)?));
        let mut count = 0;
        while !left.is_empty() {
            let mut claims = Vec::new();
            let mut taken = Vec::new();
            let mut claimed = Vec::new();
            while taken.len() < PACKED
                && let Some(files) = left.pop_front()
            {
                let Some(&Answer { request, part }) = files.first().map(|file| &file.answer) else {
                    continue;
                };
                let Some(claim) = self.claims.claim(request.key) else {
                    claimed.push(files);
                    continue;
                }; // 1
                let at = self.shifted(dead, request.at);
                let Some(request) = self.heeded(KeyedRequest { at, ..request }, part.first)? else {
                    continue;
                }; // 2
                claims.push(claim);
                let state = self.state();
                let files = files.into_iter().map(|mut file| {
                    file.answer.request = request;
                    file
                });
                taken.extend(files.filter(|file| state.keys.lacks(file)));
            }
            if taken.is_empty() && !claimed.is_empty() {
                drop(claims);
                sleep(AGAIN);
            } else {
                count += taken.len();
                self.pack(taken, News::Bring)?; // 3
                drop(claims);
                point!("rescue.answers-taken");
            }
            left.extend(claimed);
        }
        Ok(count)
    }

    /// A request of another node as this journal remembers it; `None` if another one was answered under its key here.
    /// `first` is the first file of its answer. If files of this answer are here, all get the same time. Otherwise it
    /// comes after a vote of this node for the other one, which has been answered by now. The caller has the claim.
    pub(in crate::journal) fn heeded(
        &self,
        request: KeyedRequest,
        first: FileId,
    ) -> Result<Option<KeyedRequest>, JournalError> {
        let now = self.now();
        let mut state = self.state();
        let known = state.keys.find(request.key, now);
        let same = state.keys.answered_at(request.key, first);
        drop(state);
        let mut at = same.unwrap_or(request.at);
        if let Some(known) = known.filter(|_| same.is_none()) {
            let vote = match &*known {
                [one] => self.voted_at(one)?,
                _ => None,
            };
            let Some(voted) = vote else {
                return Ok(None);
            };
            self.pass(voted);
            at = self.now();
        }
        Ok(Some(KeyedRequest { at, ..request }))
    }

    /// A moment of the other log's clock, as this log's clock tells it.
    pub(super) fn shifted(&self, dead: &DeadJournal, at: LogTime) -> LogTime {
        let age = dead.journal.now().0.saturating_sub(at.0);
        LogTime(self.now().0.saturating_sub(age))
    }
}

/// Puts the files of each answer together. The later one of two answers to one key comes first.
fn by_answer(mut files: Vec<Answered>) -> Vec<Vec<Answered>> {
    let answer = |file: &Answered| (Reverse(file.answer.request.at), file.answer.part.first);
    files.sort_by_key(|file| (answer(file), file.answer.part.position));
    let mut answers: Vec<Vec<Answered>> = Vec::new();
    for file in files {
        match answers.last_mut() {
            Some(last) if last.first().map(answer) == Some(answer(&file)) => last.push(file),
            _ => answers.push(vec![file]),
        }
    }
    answers
}
