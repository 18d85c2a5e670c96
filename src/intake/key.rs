//! Claims the idempotency key of a request, at this node and in the cluster: all kinds of keyed requests
//! pass here. [`crate::peers`] describes the protocol between nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::key_claim::{KeyClaim, Keyed};
use super::key_words::{Word, word_of};
use super::{Intake, IntakeError};
use crate::config::WhenUnsure;
use crate::file::{FileId, Sha256};
use crate::journal::{Claim, Fingerprint, Journal, Subject};
use crate::peers::{KeyQuestion, Majority, Peers, Unreachable};
use crate::store::{Ballot, Vote, Witness};

/// The attempts that one request finds dead, one after the other, before it gives up.
const MOST_TAKEN_OVER: usize = 4;

/// The pauses, in milliseconds, before a request looks again for the end of another one under its key. A witness holds
/// the key while it writes its vote, perhaps after the first try has its answer by the votes of others.
const PAUSES: [u64; 5] = [10, 20, 40, 80, 160];

/// The other nodes, if there are any, and the rule for keys that they cannot tell about.
pub(super) struct Cluster {
    pub(super) peers: Arc<Peers>,
    pub(super) when_unsure: WhenUnsure,
    /// The third witness of a cluster of two nodes.
    pub(super) third: Arc<dyn Witness>,
}

/// The owner's word about a key, or none.
enum Asked {
    Told(KeyClaim),
    Nothing,
}

impl Intake {
    /// Claims the key of a request, if it has one. Dropping the future frees it.
    ///
    /// # Errors
    /// When another upload has the key, or the same one is being taken in for longer than 0.3 s, or nobody knows.
    pub(super) async fn claim_key(&self, keyed: Option<Keyed>) -> Result<KeyClaim, IntakeError> {
        let Some(keyed) = keyed else {
            return Ok(KeyClaim::New(None));
        };
        // Most uploads have no key, and need no memory for this.
        Box::pin(self.claim_in_time(keyed)).await
    }

    async fn claim_in_time(&self, keyed: Keyed) -> Result<KeyClaim, IntakeError> {
        for pause in PAUSES {
            match self.claim_everywhere(keyed).await {
                Err(IntakeError::StillRunning) => sleep(Duration::from_millis(pause)).await,
                claim => return claim,
            }
        }
        self.claim_everywhere(keyed).await
    }

    async fn claim_everywhere(&self, keyed: Keyed) -> Result<KeyClaim, IntakeError> {
        let begun = if let Some(claim) = self.journal.begin_unknown(keyed.whole) {
            claim
        } else {
            let journal = Arc::clone(&self.journal);
            spawn_blocking(move || keyed.begin(&journal)).await??
        };
        let (running, seen) = match begun {
            Claim::First(running) => (running, None),
            Claim::Elsewhere(running, attempt) => (running, Some(attempt)),
            Claim::Answered(answer) => return Ok(KeyClaim::Answered(answer)),
            Claim::Open(id) => return Ok(KeyClaim::Open(id, None)),
            Claim::Running => return Err(IntakeError::StillRunning),
            Claim::Other => return Err(IntakeError::KeyOfAnother),
        };
        let Some(cluster) = self.voters().filter(|_| !keyed.is_of_node) else {
            return Ok(KeyClaim::New(Some(running)));
        };
        let unsure = match cluster.ask(&self.journal, keyed, seen).await {
            Ok(Asked::Told(claim)) => return Ok(claim),
            Ok(Asked::Nothing) => return Ok(KeyClaim::New(Some(running))),
            Err(IntakeError::KeyUnsure(unsure)) => unsure,
            Err(err) => return Err(err),
        };
        match cluster.when_unsure {
            WhenUnsure::Refuse => Err(IntakeError::KeyUnsure(unsure)),
            WhenUnsure::Accept => {
                log::debug!("an upload is taken in, perhaps for the second time: {unsure}");
                Ok(KeyClaim::New(Some(running)))
            }
        }
    }

    /// The other nodes, if they are asked about keys.
    pub(super) fn voters(&self) -> Option<&Cluster> {
        let cluster = self.cluster.as_ref();
        cluster.filter(|cluster| cluster.peers.has_witnesses() && self.journal.keeps_answers())
    }

    /// Whether an upload is at another node.
    pub fn is_elsewhere(&self, id: FileId) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|cluster| cluster.peers.owner_of(id).is_some())
    }

    /// Votes on keys, for another node.
    ///
    /// # Errors
    /// When the votes cannot be kept.
    pub async fn votes(
        &self,
        ballots: Vec<Ballot>,
    ) -> Result<(Vec<Ballot>, Vec<Vote>), IntakeError> {
        let journal = Arc::clone(&self.journal);
        spawn_blocking(move || {
            journal.check_log()?;
            let votes = journal.votes(&ballots)?;
            Ok((ballots, votes))
        })
        .await?
    }

    /// Tells another node what there is under a key here, in the form that nodes use.
    ///
    /// # Errors
    /// When an answer exists and the disk does not return it, and when the log is poisoned and no answer is known.
    pub async fn tell_of_key(&self, question: KeyQuestion) -> Result<String, IntakeError> {
        let word = match question.content {
            Some(content) => self.word_for(question, content).await?,
            None => self.word_under(question.key).await?,
        };
        if word.is_nothing() {
            self.check_nothing()?;
        }
        serde_json::to_string(&word).map_err(|err| {
            log::error!("the answer to a key cannot be written: {err}");
            IntakeError::Lost
        })
    }

    async fn word_for(&self, question: KeyQuestion, content: Sha256) -> Result<Word, IntakeError> {
        let journal = Arc::clone(&self.journal);
        let of_content = |content| Fingerprint {
            key: question.key,
            content,
            sender: Subject::default(),
        };
        let keyed = Keyed {
            whole: of_content(content),
            opened: question.opened.map(of_content),
            is_of_node: false,
        };
        spawn_blocking(move || {
            let claim = keyed.begin(&journal)?;
            word_of(&journal, claim)
        })
        .await?
    }
}

impl Cluster {
    /// Asks the witnesses, and the owners of other attempts. `seen` is the attempt with this node's own
    /// vote.
    async fn ask(
        &self,
        journal: &Journal,
        keyed: Keyed,
        mut seen: Option<FileId>,
    ) -> Result<Asked, IntakeError> {
        let Fingerprint { key, sender, .. } = keyed.whole;
        let mut ballot = Ballot {
            key,
            sender: sender.0,
            attempt: journal.attempt(),
            replaces: Vec::new(),
        };
        while ballot.replaces.len() <= MOST_TAKEN_OVER {
            if let Some(attempt) = seen.take() {
                let own = self.peers.keeper_of(attempt) == self.peers.number();
                // This node holds the claim, and has no answer.
                if !own && let Asked::Told(claim) = self.ask_owner(keyed, attempt, &ballot).await? {
                    return Ok(Asked::Told(claim));
                }
                ballot.replaces.push(attempt);
            }
            let third = Some((&*self.third, journal.answer_lifetime()));
            match self.peers.ask_witnesses(&ballot, third).await {
                Majority::Won => return Ok(Asked::Nothing),
                Majority::Taken(attempt) => seen = Some(attempt),
                Majority::Running => return Err(IntakeError::StillRunning),
                Majority::Unsure(err) => return Err(IntakeError::KeyUnsure(err)),
            }
        }
        let changing = Unreachable::new(self.peers.number(), "the witnesses change their votes");
        Err(IntakeError::KeyUnsure(changing))
    }

    async fn ask_owner(
        &self,
        keyed: Keyed,
        attempt: FileId,
        ballot: &Ballot,
    ) -> Result<Asked, IntakeError> {
        let question = KeyQuestion {
            key: keyed.whole.key,
            content: Some(keyed.whole.content),
            opened: keyed.opened.map(|opened| opened.content),
            asked_by: ballot.attempt,
        };
        let owner = self.peers.keeper_of(attempt);
        // It has handed all its answers over.
        if self.peers.has_left(owner) {
            return Ok(Asked::Nothing);
        }
        let told = self.peers.ask_for_key(owner, &question).await;
        let told = told.map_err(IntakeError::KeyUnsure)?;
        let word: Option<Word> = serde_json::from_str(&told).ok();
        let unknown =
            || IntakeError::KeyUnsure(Unreachable::new(owner, "answers in unknown words"));
        match word.ok_or_else(unknown)?.claim().ok_or_else(unknown)? {
            Ok(None) => Ok(Asked::Nothing),
            Ok(Some(claim)) => Ok(Asked::Told(claim)),
            Err(err) => Err(err),
        }
    }
}
