//! Ballots on their way to a witness, and their text. Those that come while others are on their way share the next
//! question: one request, and one group of the witness's log.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{LONGEST_ANSWER, Unreachable};
use crate::courier::Courier;
use crate::file::Sha256;
use crate::store::{Ballot, Vote};

/// The most questions with ballots to one witness at the same time.
const QUESTIONS: usize = 4;

/// The ballots that wait for each question on its way before there is another one: nearly as many as it takes. Each
/// question costs a sync of the witness; and a lost one must not hold all up.
const CROWD: usize = 32;

/// The most bytes of ballots in a question: it is an address, and nginx reads lines of 8 KiB.
const LONGEST: usize = 4096;

/// The character between the parts of a question in its address.
pub(super) const BETWEEN: char = '_';

/// The character between ballots.
const BETWEEN_BALLOTS: char = '~';

/// The character between votes.
const BETWEEN_VOTES: char = ',';

/// The words of a vote between nodes; any other one is the attempt that has it.
const GIVEN: &str = "given";
const RUNNING: &str = "running";

/// A ballot whose vote is waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ballot: Ballot,
    pub(super) told: oneshot::Sender<Result<Vote, Unreachable>>,
    pub(super) courier: Courier,
}

impl Waiting {
    /// Tells the vote. Nobody may wait for it any longer.
    pub(super) fn tell(self, vote: Result<Vote, Unreachable>) {
        let told = self.told;
        self.courier.send(move || drop(told.send(vote)));
    }
}

/// The right to ask with the ballots that wait, one question after the other. If it is dropped before the last one,
/// others may ask; and if nobody does, those who wait are told that their ballots were lost.
#[derive(Debug)]
pub(super) struct Turn {
    ballots: Arc<Ballots>,
    is_over: bool,
}

/// The ballots for one witness.
#[derive(Debug, Default)]
pub(super) struct Ballots(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    questions: usize,
    /// When the last question began, or an answer came.
    moved: Option<Instant>,
}

impl Ballots {
    /// Adds a ballot. Returns a turn if the caller has to see to a question: it then asks with each [`Turn::next`],
    /// until there is none.
    pub(super) fn add(self: &Arc<Self>, waiting: Waiting) -> Option<Turn> {
        let begins = self.with(|queue| {
            queue.waiting.push_back(waiting);
            let is_crowd = queue.waiting.len() > CROWD * queue.questions;
            let begins = queue.questions == 0 || (is_crowd && queue.questions < QUESTIONS);
            queue.questions += usize::from(begins);
            begins
        });
        begins.then(|| Turn {
            ballots: Arc::clone(self),
            is_over: false,
        })
    }

    fn next(&self) -> Option<Vec<Waiting>> {
        self.with(|queue| {
            let mut next = Vec::new();
            let mut bytes = 0;
            while let Some(first) = queue.waiting.pop_front() {
                if first.told.is_closed() {
                    continue;
                }
                bytes += written(&first.ballot).len() + BETWEEN_BALLOTS.len_utf8();
                if bytes > LONGEST && !next.is_empty() {
                    queue.waiting.push_front(first);
                    break;
                }
                next.push(first);
            }
            queue.questions -= usize::from(next.is_empty());
            queue.moved = Some(Instant::now());
            (!next.is_empty()).then_some(next)
        })
    }

    /// Whether a question has had no answer for longer than this.
    pub(super) fn is_slow(&self, patience: Duration) -> bool {
        self.with(|queue| {
            let is_over = queue.moved.is_some_and(|moved| moved.elapsed() > patience);
            queue.questions > 0 && is_over
        })
    }

    /// A thread that panicked leaves it usable: each change is complete in itself.
    fn with<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Turn {
    /// The ballots of the next question; `None` ends the turn. Those that nobody waits for any more are left out.
    pub(super) fn next(&mut self) -> Option<Vec<Waiting>> {
        if self.is_over {
            return None;
        }
        let next = self.ballots.next();
        self.is_over = next.is_none();
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let lost = self.ballots.with(|queue| {
            queue.questions -= 1;
            let is_last = queue.questions == 0;
            is_last.then(|| std::mem::take(&mut queue.waiting))
        });
        // Each of them is told by the drop of its channel.
        drop(lost);
    }
}

/// Ballots in an address.
pub(super) fn written_all<'a>(ballots: impl Iterator<Item = &'a Ballot>) -> String {
    let ballots: Vec<_> = ballots.map(written).collect();
    ballots.join(&BETWEEN_BALLOTS.to_string())
}

fn written(ballot: &Ballot) -> String {
    let Ballot {
        key,
        sender,
        attempt,
        replaces,
    } = ballot;
    let replaces = behind_each(replaces);
    format!("{key}{BETWEEN}{sender}{BETWEEN}{attempt}{replaces}")
}

/// The last parts of a question, each behind the character between parts.
pub(super) fn behind_each(parts: impl IntoIterator<Item = impl Display>) -> String {
    let parts = parts.into_iter().map(|part| format!("{BETWEEN}{part}"));
    parts.collect()
}

/// Reads what [`written_all`] writes; `None` if it is anything else.
pub(super) fn read_all(asked: &str) -> Option<Vec<Ballot>> {
    asked.split(BETWEEN_BALLOTS).map(read).collect()
}

fn read(asked: &str) -> Option<Ballot> {
    let mut parts = asked.split(BETWEEN);
    Some(Ballot {
        key: Sha256::from_hex(parts.next()?)?,
        sender: parts.next()?.parse().ok()?,
        attempt: parts.next()?.parse().ok()?,
        replaces: parts.map(|id| id.parse().ok()).collect::<Option<_>>()?,
    })
}

/// The most bytes of an answer with votes on these ballots, which it repeats.
pub(super) fn longest_of_votes(asked: &str) -> usize {
    asked.len().saturating_add(LONGEST_ANSWER)
}

/// Votes in an answer.
pub(super) fn told_all(votes: &[Vote]) -> String {
    let votes: Vec<_> = votes.iter().map(told).collect();
    votes.join(&BETWEEN_VOTES.to_string())
}

fn told(vote: &Vote) -> String {
    match vote {
        Vote::Given => GIVEN.to_owned(),
        Vote::Running => RUNNING.to_owned(),
        Vote::Taken(attempt) => attempt.to_string(),
    }
}

/// Reads what [`told_all`] writes; `None` if these are not so many votes.
pub(super) fn read_votes(told: &str, count: usize) -> Option<Vec<Vote>> {
    let votes = told.split(BETWEEN_VOTES).map(|vote| match vote {
        GIVEN => Some(Vote::Given),
        RUNNING => Some(Vote::Running),
        attempt => attempt.parse().ok().map(Vote::Taken),
    });
    let votes: Vec<_> = votes.collect::<Option<_>>()?;
    (votes.len() == count).then_some(votes)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::super::testing::peers;
    use super::*;
    use crate::file::FileId;

    fn id(byte: u8) -> FileId {
        FileId::from_bytes([byte; FileId::BYTES])
    }

    fn ballot(number: u8, replaces: Vec<FileId>) -> Ballot {
        Ballot {
            key: Sha256([number; 32]),
            sender: u64::MAX,
            attempt: id(number),
            replaces,
        }
    }

    fn waiting(ballot: Ballot, told: oneshot::Sender<Result<Vote, Unreachable>>) -> Waiting {
        Waiting {
            ballot,
            told,
            courier: Courier::of_this_thread(),
        }
    }

    #[test]
    fn ballots_and_votes_are_read_as_they_were_written() {
        let replaced = [vec![], vec![id(2)], vec![id(2), id(3)]];
        let ballots: Vec<_> = replaced.map(|ids| ballot(1, ids)).into();
        for some in [&ballots[..], &ballots[1..2]] {
            assert_eq!(read_all(&written_all(some.iter())).unwrap(), some);
        }
        for asked in ["", "_", "a_1_b", "~"] {
            assert_eq!(read_all(asked), None);
        }
        let votes = [Vote::Given, Vote::Running, Vote::Taken(id(4))];
        for count in 1..=votes.len() {
            let told = told_all(&votes[..count]);
            assert_eq!(read_votes(&told, count).unwrap(), votes[..count]);
            assert_eq!(read_votes(&told, count + 1), None);
        }
    }

    #[tokio::test]
    async fn the_votes_on_the_most_ballots_of_a_question_are_read_whole() {
        let mut ballots: Vec<_> = (0..=u8::MAX).map(|number| ballot(number, vec![])).collect();
        while written_all(ballots.iter()).len() > LONGEST {
            ballots.pop();
        }
        let asked = written_all(ballots.iter());
        for vote in [Vote::Given, Vote::Taken(id(7))] {
            let told = peers("a").seal_votes(&ballots, &vec![vote; ballots.len()]);
            assert!(told.len() <= longest_of_votes(&asked), "{}", told.len());
            assert!(told.len() > LONGEST_ANSWER, "{}", told.len());
        }
    }

    #[tokio::test]
    async fn ballots_that_come_while_a_question_is_on_its_way_share_the_next_one() {
        let ballots = Arc::new(Ballots::default());
        let mut callers = Vec::new();
        let mut add = |number: u8| {
            let (told, caller) = oneshot::channel();
            callers.push(caller);
            let ballot = ballot(number, Vec::new());
            ballots.add(waiting(ballot, told))
        };
        let mut turn = add(0).unwrap();
        assert_eq!(turn.next().map(|next| next.len()), Some(1));
        // Further questions go when many wait.
        let begun = (1..=100).filter_map(|number| Some((number, add(number)?)));
        let (begun, _turns): (Vec<u8>, Vec<_>) = begun.unzip();
        assert_eq!(begun, [33, 65, 97]);
        // This caller has gone.
        callers.remove(1);
        let mut asked = Vec::new();
        while let Some(next) = turn.next() {
            assert!(written_all(next.iter().map(|waiting| &waiting.ballot)).len() <= LONGEST);
            assert!(next.len() > 20);
            asked.extend(next.iter().map(|waiting| waiting.ballot.key.0[0]));
        }
        assert_eq!(asked, (2..=100).collect::<Vec<_>>());
        // One turn has ended.
        assert_eq!(ballots.with(|queue| queue.questions), QUESTIONS - 1);
    }

    #[tokio::test]
    async fn a_turn_that_is_lost_hangs_nobody_and_the_next_ballot_goes() {
        let ballots = Arc::new(Ballots::default());
        let add = |number: u8| {
            let (told, caller) = oneshot::channel();
            let turn = ballots.add(waiting(ballot(number, Vec::new()), told));
            (turn, caller)
        };
        let (turn, asked) = add(1);
        let mut turn = turn.unwrap();
        let question = turn.next().unwrap();
        let (none, waits) = add(2);
        assert!(none.is_none());
        drop((question, turn));
        for mut lost in [asked, waits] {
            assert_eq!(lost.try_recv().unwrap_err(), TryRecvError::Closed);
        }
        let (turn, _caller) = add(3);
        assert_eq!(turn.unwrap().next().map(|next| next.len()), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_witness_is_slow_while_a_question_has_had_no_answer_for_long() {
        let (ballots, patience) = (Arc::new(Ballots::default()), Duration::from_millis(200));
        let (told, _caller) = oneshot::channel();
        let ballot = ballot(1, Vec::new());
        let mut turn = ballots.add(waiting(ballot, told)).unwrap();
        assert!(turn.next().is_some() && !ballots.is_slow(patience));
        tokio::time::advance(2 * patience).await;
        assert!(ballots.is_slow(patience));
        // The answer has come, and nobody asks any more.
        assert!(turn.next().is_none() && !ballots.is_slow(patience));
        tokio::time::advance(2 * patience).await;
        assert!(!ballots.is_slow(patience));
    }
}
