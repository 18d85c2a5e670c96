//! Packs answers to idempotency keys into frames of the log.

use super::idempotency::PACKED;
use super::memory::News;
use super::record::{Answered, Frame};
use super::step::StepError;
use super::{Journal, JournalError, at};

/// Bytes of answers in one frame, approximately.
const PACKED_BYTES: u64 = 256 * 1024;

/// Bytes of an answer without its texts, approximately.
const ANSWER_BYTES: u64 = 512;

impl Journal {
    /// Writes answers into the log, several in one frame, but each file once in a frame, and waits for all frames.
    /// `learned` is made of each frame for memory.
    pub(super) fn pack(
        &self,
        answers: Vec<Answered>,
        learned: fn(Vec<Answered>) -> News,
    ) -> Result<(), JournalError> {
        let mut packed: Vec<Answered> = Vec::new();
        let mut bytes = 0;
        for answered in answers {
            let is_there = packed.iter().any(|packed| packed.id == answered.id);
            if packed.len() >= PACKED || bytes >= PACKED_BYTES || is_there {
                self.pack_one(std::mem::take(&mut packed), learned)?;
                bytes = 0;
            }
            bytes += ANSWER_BYTES + answered.meta.metadata.weight();
            packed.push(answered);
        }
        self.pack_one(packed, learned)
    }

    fn pack_one(
        &self,
        answers: Vec<Answered>,
        learned: fn(Vec<Answered>) -> News,
    ) -> Result<(), JournalError> {
        self.keep_answers(answers, learned, ["pack answers", "keep an answer"])
    }

    /// Writes answers or votes into the log as one frame, and waits for it. `learned` is made of them for memory,
    /// and `steps` are named in an error: the writing, and the keeping.
    pub(super) fn keep_answers(
        &self,
        answers: Vec<Answered>,
        learned: fn(Vec<Answered>) -> News,
        steps: [&'static str; 2],
    ) -> Result<(), JournalError> {
        let Some(first) = answers.first().map(|answered| answered.id) else {
            return Ok(());
        };
        let frame = Frame::answers(&answers).map_err(std::io::Error::other);
        let frame = frame.map_err(at(first, steps[0]))?;
        let kept = self.decide(None, Some(learned(answers)), |index, tail| {
            index.keep_answers(&frame, tail)
        });
        let landed = kept.and_then(|landing| landing.land().map_err(StepError::from));
        landed.map_err(|err| err.of(first, steps[1]))
    }
}
