//! Votes on idempotency keys. A witness keeps, for all nodes, which attempt may carry a request out; the
//! room of the peers describes the protocol.
//!
//! A vote is a base of one answer. Its id is the attempt, which another node has made, and its content is
//! [`VOTE`], which no request has. So its lifetime, the bounds on the keys of a sender, copying and replay
//! are those of answers, and a program that knows no votes takes the key for that of another upload.

use std::thread::sleep;
use std::time::Duration;

use super::idempotency::{Claim, Fingerprint, Known, Running};
use super::memory::News;
use super::record::{Answer, Answered, LogTime, PartOf, Subject};
use super::{Journal, JournalError, point};
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

    /// Votes on keys, as their witness, in the order of the ballots. The votes are durable when they are told.
    ///
    /// 1. Each key is claimed: no request under it begins here, and no other ballot on it is counted.
    /// 2. An answer of this node, and a vote for an attempt that may be alive, stand.
    /// 3. All new votes are queued as one frame and synced. They are learned with the sync; only then the claims
    ///    are dropped.
    ///
    /// # Errors
    /// The disk's error; a start may find the votes.
    pub fn votes(&self, ballots: &[Ballot]) -> Result<Vec<Vote>, JournalError> {
        let mut claims = Vec::new();
        let mut given = Vec::new();
        let mut votes = Vec::new();
        for ballot in ballots {
            let request = Fingerprint {
                key: ballot.key,
                content: VOTE,
                sender: Subject(ballot.sender),
            };
            votes.push(match self.judge(ballot, request)? {
                Judged::Stands(vote) => vote,
                Judged::Free(running) => {
                    claims.push(running);
                    given.push(vote(ballot.attempt, request, self.now()));
                    Vote::Given
                }
            });
        }
        if !given.is_empty() {
            self.keep_answers(given, News::Bring, ["write a vote", "keep a vote"])?;
            point!("vote.kept");
        }
        Ok(votes)
    }

    fn judge(&self, ballot: &Ballot, request: Fingerprint) -> Result<Judged, JournalError> {
        Ok(Judged::Stands(match self.begin(request)? {
            Claim::Running => Vote::Running,
            Claim::Elsewhere(_, attempt) if attempt == ballot.attempt => Vote::Given,
            Claim::Elsewhere(running, attempt) if ballot.replaces.contains(&attempt) => {
                return Ok(Judged::Free(running));
            }
            Claim::Elsewhere(_, attempt) => Vote::Taken(attempt),
            Claim::First(running) => return Ok(Judged::Free(running)),
            // The node in an id is all that the other node needs.
            Claim::Answered(_) | Claim::Open(_) | Claim::Other => Vote::Taken(self.attempt()),
        }))
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

/// Whether a key is free for an attempt.
enum Judged {
    Free(Running),
    Stands(Vote),
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
