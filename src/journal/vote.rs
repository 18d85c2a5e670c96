//! Votes on idempotency keys. A witness keeps, for all nodes, which attempt may carry a request out; the
//! room of the peers describes the protocol.
//!
//! A vote is a base of one answer. Its id is the attempt, which another node has made, and its content is
//! [`VOTE`], which no request has. So its lifetime, the bounds on the keys of a sender, copying and replay
//! are those of answers, and a program that knows no votes takes the key for that of another upload.

use std::thread::sleep;
use std::time::Duration;

use super::idempotency::{Claim, Fingerprint, Known};
use super::memory::News;
use super::record::{Answer, Answered, Frame, LogTime, PartOf, Subject};
use super::step::StepError;
use super::{Journal, JournalError, at, point};
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis};
use crate::store::{Ballot, Sha256, Vote};

/// The content of a vote: the digest of nothing that is known.
pub(super) const VOTE: Sha256 = Sha256([0; 32]);

/// The unit of the log's clock.
const TICK: Duration = Duration::from_millis(1);

impl Journal {
    /// Whether answers are remembered at all. If not, votes would be forgotten at once.
    pub fn keeps_answers(&self) -> bool {
        self.limits.max_answers > 0 && !self.limits.answer_lifetime.is_zero()
    }

    /// The time for which answers and votes are remembered.
    pub fn answer_lifetime(&self) -> Duration {
        self.limits.answer_lifetime
    }

    /// A new attempt to carry a keyed request out: an id that no entry gets.
    pub fn attempt(&self) -> FileId {
        self.free_id()
    }

    /// Votes on a key, as its witness. The vote is durable when it is told.
    ///
    /// 1. The key is claimed: no request under it begins here, and no other ballot is counted.
    /// 2. An answer of this node, and a vote for an attempt that may be alive, stand.
    /// 3. The vote is queued and synced. It is learned with the sync; only then the claim is dropped.
    ///
    /// # Errors
    /// The disk's error; a start may find the vote.
    pub fn vote(&self, ballot: &Ballot) -> Result<Vote, JournalError> {
        let request = Fingerprint {
            key: ballot.key,
            content: VOTE,
            sender: Subject(ballot.sender),
        };
        let _running = match self.begin(request)? {
            Claim::Running => return Ok(Vote::Running),
            Claim::Elsewhere(_, attempt) if attempt == ballot.attempt => return Ok(Vote::Given),
            Claim::Elsewhere(running, attempt) if ballot.replaces.contains(&attempt) => running,
            Claim::Elsewhere(_, attempt) => return Ok(Vote::Taken(attempt)),
            Claim::First(running) => running,
            // The node in an id is all that the other node needs.
            Claim::Answered(_) | Claim::Open(_) | Claim::Other => {
                return Ok(Vote::Taken(self.attempt()));
            }
        };
        let vote = vote(ballot.attempt, request, self.now());
        let frame = Frame::answers(std::slice::from_ref(&vote)).map_err(std::io::Error::other);
        let frame = frame.map_err(at(ballot.attempt, "write a vote"))?;
        let decided = self.decide(None, Some(News::Vote(Box::new(vote))), |index, tail| {
            index.keep_answers(&frame, tail)
        });
        let landed = decided.and_then(|landing| landing.land().map_err(StepError::from));
        landed.map_err(|err| err.of(ballot.attempt, "keep a vote"))?;
        point!("vote.kept");
        Ok(Vote::Given)
    }

    /// When this node gave a vote; `None` if this is no vote.
    pub(super) fn voted_at(&self, known: &Known) -> Result<Option<LogTime>, JournalError> {
        // All other answers cost a read of the log less.
        if known.id.node() == self.limits.node {
            return Ok(None);
        }
        let found = self
            .retained(known)?
            .map(|answered| answered.answer.request);
        let vote = found.filter(|request| request.content == VOTE);
        Ok(vote.map(|request| request.at))
    }

    /// Waits until the log's clock is beyond this time: of an answer and a vote under one key, the later
    /// one counts.
    pub(super) fn pass(&self, at: LogTime) {
        while self.now() <= at {
            sleep(TICK);
        }
    }
}

fn vote(attempt: FileId, request: Fingerprint, at: LogTime) -> Answered {
    Answered {
        id: attempt,
        meta: FileMeta {
            filename: FileName::of_id(attempt),
            content_type: MediaType::octet_stream(),
            length: 0,
            uploaded: UnixMillis::now(),
            metadata: Metadata::default(),
            revision: None,
        },
        answer: Answer {
            request: request.answered(at),
            part: PartOf {
                first: attempt,
                position: 0,
                files: 1,
            },
        },
        is_deleted: false,
    }
}
