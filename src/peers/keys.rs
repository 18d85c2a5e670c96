//! Asks other nodes about idempotency keys, so that a key holds for the whole cluster.
//!
//! A request that comes again may come through any node. The first three nodes by rendezvous hash are the
//! *witnesses* of its key (all nodes, if there are fewer). While nodes come and go, several lists of nodes count,
//! and the witnesses of each: [`lists`](super::lists) describes that. An *attempt* is an id that names the node that
//! carries the request out.
//! 1. The node claims the key in its own process. If it has the answer, it gives it.
//! 2. It makes an attempt, and needs the votes of a majority of the witnesses of each list. If it is one of them, its
//!    own vote is its claim, and then its promise.
//! 3. A witness keeps in its log which attempt has its vote, and syncs that before it answers. Ballots for one
//!    witness that come at the same time share a question and a group of its log.
//! 4. With the majority, the node carries the request out. Two majorities share a witness, so no other
//!    node does.
//! 5. If another attempt has a vote, the node asks the *owner* of that attempt what there is under the
//!    key. It gives the owner's answer to the client.
//! 6. If the owner knows nothing, the attempt is over: the owner holds the claim of step 1 until it has
//!    promised, and with a poisoned log it does not tell so. The node asks for the votes again, and names
//!    the attempt that they may be taken from. Only that very attempt is replaced: if the owner begins anew
//!    meanwhile, it has another one.
//!
//!    A cluster of two has the store as its third witness, asked only while the other node gives no vote.
//! 7. If there is no majority, or the owner does not answer, nobody knows whether the request was carried
//!    out. A setting says whether it is refused, or carried out.

use std::sync::Arc;
use std::time::Duration;

use awc::http::Method;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::ask::Question;
use super::ballots::{self, BETWEEN, Waiting};
use super::witnesses::{Count, STORE};
use super::{BadPass, HOP, LOOK_TIMEOUT, PASS, Peers, Purpose, Unreachable};
use crate::courier::Courier;
use crate::file::{FileId, Sha256};
use crate::store::{Ballot, Vote, Witness};

/// A witness that takes longer is not waited for alone.
const SLOW: Duration = Duration::from_millis(200);

/// The most bytes of an owner's answer: a form may have a thousand files.
const LONGEST_KEY: usize = 32 * 1024 * 1024;

/// The result of asking the witnesses of a key.
#[derive(Debug)]
pub enum Majority {
    /// The attempt has the majority: carry the request out.
    Won,
    /// Another attempt has a vote.
    Taken(FileId),
    /// The request is being carried out by a witness at this moment.
    Running,
    /// Too few witnesses answer.
    Unsure(Unreachable),
}

/// The question for what the owner of an attempt has under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyQuestion {
    /// The digest of the key and its sender.
    pub key: Sha256,
    /// The digest of the request's content; `None` if it is not known, and anything under the key is wanted.
    pub content: Option<Sha256>,
    /// The content of an upload that gives way to the request, if it was opened under the key.
    pub opened: Option<Sha256>,
    /// The attempt of the node that asks: the answer is for it alone.
    pub asked_by: FileId,
}

impl Peers {
    /// Asks the witnesses of a key for the majorities that an attempt needs, as few as are needed, and others if
    /// these are slow. Dropping the future leaves votes behind, which the next attempt takes over.
    /// `third` is the witness that a list of two nodes has beside them, and the time for which it keeps
    /// votes; it is asked last.
    pub async fn ask_witnesses(
        self: &Arc<Self>,
        ballot: &Ballot,
        third: Option<(&dyn Witness, Duration)>,
    ) -> Majority {
        let lists = self.lists();
        self.ask_for_votes(ballot, &lists, third, |_, vote| vote)
            .await
    }

    /// Does the same for a key that this node has answered, so that the witnesses by these lists know it. Those that
    /// know an answer of their own, or have voted for this node before, know it already.
    pub async fn ask_to_know(
        self: &Arc<Self>,
        ballot: &Ballot,
        lists: &[Vec<u16>],
        third: Option<(&dyn Witness, Duration)>,
    ) -> Majority {
        let knows = |witness, attempt: FileId| {
            attempt.node() == witness || self.keeper_of(attempt) == self.number()
        };
        self.ask_for_votes(ballot, lists, third, |witness, vote| match vote {
            Vote::Taken(attempt) if knows(witness, attempt) => Vote::Given,
            Vote::Given | Vote::Running | Vote::Taken(_) => vote,
        })
        .await
    }

    async fn ask_for_votes(
        self: &Arc<Self>,
        ballot: &Ballot,
        lists: &[Vec<u16>],
        third: Option<(&dyn Witness, Duration)>,
        meaning: impl Fn(u16, Vote) -> Vote,
    ) -> Majority {
        let mut count = Count::new(ballot.key, lists, self.number(), third.is_some());
        let mut others = count.others();
        let is_slow = |node| {
            self.peer(node)
                .is_some_and(|peer| peer.ballots.is_slow(SLOW))
        };
        // Any majority will do. If the next node comes first for all keys, most ballots share a question.
        let distance = |node: u16| node.wrapping_sub(self.number());
        others.sort_by_key(|&node| {
            let is_last = (node == STORE, self.is_down(node), is_slow(node));
            (is_last, distance(node))
        });
        let mut asked = FuturesUnordered::new();
        let mut failed = None;
        while !count.is_won() {
            others.retain(|&witness| {
                let is_needed = count.needs(witness);
                if is_needed {
                    count.ask(witness);
                    asked.push(self.vote_of(witness, third, ballot));
                }
                !is_needed
            });
            let next = tokio::select! {
                next = asked.next() => next,
                () = sleep(SLOW), if !others.is_empty() => {
                    let helps = |&witness: &u16| count.is_helped_by(witness);
                    if let Some(place) = others.iter().position(helps) {
                        let witness = others.remove(place);
                        count.ask(witness);
                        asked.push(self.vote_of(witness, third, ballot));
                    }
                    continue;
                }
            };
            let (witness, vote) = match next {
                Some(heard) => heard,
                None if count.is_running() => return Majority::Running,
                None => {
                    let silent = || Unreachable::new(self.number(), "knows too few witnesses");
                    return Majority::Unsure(failed.unwrap_or_else(silent));
                }
            };
            let vote = vote.map(|vote| meaning(witness, vote));
            if let Some(attempt) = count.hear(witness, vote.as_ref().ok().copied()) {
                return Majority::Taken(attempt);
            }
            failed = vote.err().or(failed);
        }
        Majority::Won
    }

    async fn vote_of(
        self: &Arc<Self>,
        witness: u16,
        third: Option<(&dyn Witness, Duration)>,
        ballot: &Ballot,
    ) -> (u16, Result<Vote, Unreachable>) {
        let Some((store, lifetime)) = third.filter(|_| witness == STORE) else {
            return (witness, self.ask_to_vote(witness, ballot).await);
        };
        let vote = store.vote(ballot.clone(), lifetime).await;
        let silent =
            |err| Unreachable::new(self.number(), format!("has no vote of the store: {err}"));
        (witness, vote.map_err(silent))
    }

    async fn ask_to_vote(
        self: &Arc<Self>,
        witness: u16,
        ballot: &Ballot,
    ) -> Result<Vote, Unreachable> {
        let peer = self.peer(witness);
        let peer = peer.ok_or_else(|| Unreachable::new(witness, "is not among the peers"))?;
        let ballot = ballot.clone();
        let (told, vote) = oneshot::channel();
        let courier = Courier::of_this_thread();
        let waiting = Waiting {
            ballot,
            told,
            courier,
        };
        if let Some(mut turn) = peer.ballots.add(waiting) {
            let peers = Arc::clone(self);
            // It carries the ballots of others, who stay when this one goes.
            tokio::spawn(async move {
                while let Some(waiting) = turn.next() {
                    peers.carry(witness, waiting).await;
                }
            });
        }
        let lost = |_| Unreachable::new(witness, "the ballot was lost");
        vote.await.map_err(lost)?
    }

    /// Asks a witness for several votes at once.
    async fn carry(&self, witness: u16, waiting: Vec<Waiting>) {
        let asked = ballots::written_all(waiting.iter().map(|waiting| &waiting.ballot));
        let path = format!("/keys/{asked}");
        let Some(first) = waiting.first().map(|first| first.ballot.attempt) else {
            return;
        };
        let told = self.ask_about_key(witness, Purpose::Vote, &path, &asked, first);
        let votes = told.await.and_then(|told| {
            let votes = ballots::read_votes(&told, waiting.len());
            votes.ok_or_else(|| Unreachable::new(witness, "votes in unknown words"))
        });
        for (place, waiting) in waiting.into_iter().enumerate() {
            let vote = votes.as_ref().map_err(Clone::clone);
            let vote = vote.and_then(|votes| {
                let vote = votes.get(place).copied();
                vote.ok_or_else(|| Unreachable::new(witness, "gives too few votes"))
            });
            waiting.tell(vote);
        }
    }

    /// Asks the owner of an attempt what there is under a key. Returns its text.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have an answer or not.
    pub async fn ask_for_key(
        &self,
        owner: u16,
        question: &KeyQuestion,
    ) -> Result<String, Unreachable> {
        let asked = question.written();
        let path = format!("/answers/{asked}");
        self.ask_about_key(owner, Purpose::Answer, &path, &asked, question.asked_by)
            .await
    }

    /// Asks a node that leaves for its answers to keys, those at this place. Returns its text.
    ///
    /// # Errors
    /// [`Unreachable`], also while it has no answers to hand over.
    pub async fn ask_to_hand_over(
        &self,
        node: u16,
        place: &str,
        asked_by: FileId,
    ) -> Result<String, Unreachable> {
        let asked = format!("{place}{BETWEEN}{asked_by}");
        let path = format!("/kept/{asked}");
        self.ask_about_key(node, Purpose::Answer, &path, &asked, asked_by)
            .await
    }

    async fn ask_about_key(
        &self,
        node: u16,
        purpose: Purpose,
        path: &str,
        asked: &str,
        asked_by: FileId,
    ) -> Result<String, Unreachable> {
        let pass = self.seal.sign(purpose, node, asked);
        let longest = if purpose == Purpose::Answer {
            LONGEST_KEY
        } else {
            ballots::longest_of_votes(asked)
        };
        let question = Question {
            method: Method::POST,
            path,
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: LOOK_TIMEOUT,
            longest,
        };
        let (status, body) = self.ask(node, question).await?;
        if status != 200 {
            let reason = format!("answers about a key with {status}");
            return Err(Unreachable::new(node, reason));
        }
        let opened = self.open(asked_by, &body);
        let told = opened.and_then(|told| told.strip_prefix(asked)?.strip_prefix(' '));
        let told = told.ok_or_else(|| Unreachable::new(node, "its word is not signed"))?;
        Ok(told.to_owned())
    }

    /// Reads ballots for this witness, as their address states them. `None` if they are none.
    ///
    /// # Errors
    /// [`BadPass`] if the bearer of the pass may not have them.
    pub fn check_ballots(&self, pass: &str, asked: &str) -> Result<Option<Vec<Ballot>>, BadPass> {
        self.seal.check(pass, Purpose::Vote, self.number(), asked)?;
        Ok(ballots::read_all(asked))
    }

    /// Reads a question for a key in the same way.
    ///
    /// # Errors
    /// [`BadPass`] if the bearer of the pass may not ask it.
    pub fn check_key(&self, pass: &str, asked: &str) -> Result<Option<KeyQuestion>, BadPass> {
        self.seal
            .check(pass, Purpose::Answer, self.number(), asked)?;
        Ok(KeyQuestion::read(asked))
    }

    /// Reads such a question: its place, and who asks.
    ///
    /// # Errors
    /// [`BadPass`] if the bearer of the pass may not ask it.
    pub fn check_hand_over<'a>(
        &self,
        pass: &str,
        asked: &'a str,
    ) -> Result<Option<(&'a str, FileId)>, BadPass> {
        self.seal
            .check(pass, Purpose::Answer, self.number(), asked)?;
        let question = asked.split_once(BETWEEN);
        Ok(question.and_then(|(place, asked_by)| Some((place, asked_by.parse().ok()?))))
    }

    /// Signs this witness's votes on these ballots.
    pub fn seal_votes(&self, ballots: &[Ballot], votes: &[Vote]) -> String {
        let asked = ballots::written_all(ballots.iter());
        let asked_by = ballots.first().map(|first| first.attempt);
        let told = format!("{asked} {}", ballots::told_all(votes));
        self.seal(
            asked_by.unwrap_or(FileId::from_bytes([0; FileId::BYTES])),
            &told,
        )
    }

    /// Signs this node's answer to a question for a key.
    pub fn seal_key(&self, question: &KeyQuestion, told: &str) -> String {
        self.seal(question.asked_by, &format!("{} {told}", question.written()))
    }
}

impl KeyQuestion {
    fn written(&self) -> String {
        let Self {
            key,
            content,
            opened,
            asked_by,
        } = self;
        let contents = [content, opened].into_iter().flatten();
        let contents = ballots::behind_each(contents);
        format!("{key}{BETWEEN}{asked_by}{contents}")
    }

    fn read(asked: &str) -> Option<Self> {
        let mut parts = asked.split(BETWEEN);
        let question = Self {
            key: Sha256::from_hex(parts.next()?)?,
            asked_by: parts.next()?.parse().ok()?,
            content: parts.next().and_then(Sha256::from_hex),
            opened: parts.next().and_then(Sha256::from_hex),
        };
        (question.written() == asked).then_some(question)
    }
}

/// The addresses of questions about keys.
pub fn addresses() -> [String; 3] {
    ["keys", "answers", "kept"].map(|about| format!("{HOP}/{about}/{{asked}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_in_an_address_is_read_as_it_was_written() {
        let id = |byte| FileId::from_bytes([byte; FileId::BYTES]);
        let [content, opened] = [8, 9].map(|byte| Some(Sha256([byte; 32])));
        for (content, opened) in [(None, None), (content, None), (content, opened)] {
            let question = KeyQuestion {
                key: Sha256([7; 32]),
                content,
                opened,
                asked_by: id(1),
            };
            let asked = question.written();
            assert_eq!(KeyQuestion::read(&asked), Some(question));
            assert_eq!(KeyQuestion::read(&format!("{asked}_")), None);
        }
        for asked in ["", "_", "a_1_b"] {
            assert_eq!(KeyQuestion::read(asked), None);
        }
    }
}
