//! Finds what an idempotency key has brought, at any node. Nothing is claimed, and no vote is taken.
//!
//! 1. This node looks into its own journal.
//! 2. It asks the other witnesses of the key. One of them may have it, or tells for which attempt it has voted.
//! 3. It asks the owners of these attempts.
//! 4. If nobody has it, and a majority of the witnesses tells so, there is nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::task::spawn_blocking;

use super::key_claim::KeyClaim;
use super::key_words::{Word, word_under};
use super::upload::CurrentUpload;
use super::{Intake, IntakeError, Sender, fingerprint};
use crate::file::{FileId, Sha256};
use crate::journal::UnderKey;
use crate::peers::{KeyQuestion, Peers, Unreachable};

/// An upload or a file under a key. Its state comes along if it is at another node.
pub type FoundByKey = (FileId, Option<CurrentUpload>);

impl Intake {
    /// Returns the upload or the file that the caller's key has brought; `None` if there is none, or several.
    ///
    /// # Errors
    /// When a request under the key is being carried out, when its upload has ended, or when nobody knows: the log
    /// of this node may be poisoned.
    pub async fn under_key(
        &self,
        sender: &Sender,
        key: &str,
    ) -> Result<Option<FoundByKey>, IntakeError> {
        let key = fingerprint::key_of(sender, key);
        let journal = Arc::clone(&self.journal);
        let seen = match spawn_blocking(move || journal.under_key(key)).await?? {
            UnderKey::One(id) => return Ok(Some((id, None))),
            UnderKey::Running => return Err(IntakeError::StillRunning),
            UnderKey::Voted(attempt) => Some(attempt),
            UnderKey::Nothing => None,
        };
        let found = match self.voters() {
            Some(cluster) => self.find_elsewhere(&cluster.peers, key, seen).await?,
            None => None,
        };
        if found.is_none() {
            self.check_nothing()?;
        }
        Ok(found.filter(|(_, current)| {
            let current = current.as_ref();
            current.is_some_and(|current| current.may_be_seen_by(sender))
        }))
    }

    /// Checks, behind a look that has found nothing under a key, that there is nothing. A log whose sync has failed
    /// may have a promise that only the next start finds. The poison comes first, and then the failed request drops
    /// its claim: so this is asked behind the look.
    ///
    /// # Errors
    /// When the log is poisoned.
    pub(super) fn check_nothing(&self) -> Result<(), IntakeError> {
        Ok(self.journal.check_poison()?)
    }

    async fn find_elsewhere(
        &self,
        peers: &Peers,
        key: Sha256,
        seen: Option<FileId>,
    ) -> Result<Option<FoundByKey>, IntakeError> {
        let mut count = peers.witnesses_of(key);
        let mut silent = None;
        let mut owners = BTreeSet::new();
        owners.extend(seen.map(|attempt| peers.keeper_of(attempt)));
        let others = count.others().into_iter();
        let ask = async |witness| (witness, self.ask_what_is_under(peers, witness, key).await);
        let mut asked: FuturesUnordered<_> = others.map(ask).collect();
        while let Some((witness, told)) = asked.next().await {
            match told {
                Ok(Word::Nothing) => count.give(witness),
                Ok(Word::Voted(attempt)) => {
                    count.give(witness);
                    let attempt = attempt.parse().ok();
                    owners.extend(attempt.map(|attempt| peers.keeper_of(attempt)));
                }
                Ok(word) => return meaning(word),
                Err(err) => silent = Some(err),
            }
        }
        owners.retain(|&owner| owner != peers.number() && !peers.has_left(owner));
        for owner in owners {
            match self.ask_what_is_under(peers, owner, key).await {
                Ok(Word::Nothing | Word::Voted(_)) => {}
                Ok(word) => return meaning(word),
                Err(err) => return Err(IntakeError::KeyUnsure(err)),
            }
        }
        match silent {
            Some(err) if !count.is_won() => Err(IntakeError::KeyUnsure(err)),
            Some(_) | None => Ok(None),
        }
    }

    async fn ask_what_is_under(
        &self,
        peers: &Peers,
        node: u16,
        key: Sha256,
    ) -> Result<Word, Unreachable> {
        let question = KeyQuestion {
            key,
            content: None,
            opened: None,
            asked_by: self.journal.attempt(),
        };
        let told = peers.ask_for_key(node, &question).await?;
        serde_json::from_str(&told).map_err(|_| Unreachable::new(node, "answers in unknown words"))
    }

    /// The word about what a key has brought at this node. Waits for a moment for a body that is on its way.
    pub(super) async fn word_under(&self, key: Sha256) -> Result<Word, IntakeError> {
        let look = || {
            let journal = Arc::clone(&self.journal);
            spawn_blocking(move || word_under(&journal, key))
        };
        let word = look().await??;
        let Some(id) = word.open() else {
            return Ok(word);
        };
        drop(self.in_order.rest(id).await);
        look().await?
    }
}

/// The meaning of a word of another node.
fn meaning(word: Word) -> Result<Option<FoundByKey>, IntakeError> {
    let claim = word.claim().ok_or(IntakeError::Lost)??;
    Ok(match claim {
        Some(KeyClaim::Open(id, Some(open))) => Some((id, Some(CurrentUpload::Open(*open)))),
        Some(KeyClaim::Answered(mut files)) if files.len() == 1 => {
            let file = files.pop();
            file.map(|file| (file.id(), Some(CurrentUpload::Complete(file))))
        }
        Some(KeyClaim::Answered(_) | KeyClaim::Open(..) | KeyClaim::New(_)) | None => None,
    })
}
