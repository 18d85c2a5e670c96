//! Asks another node for a partial upload (tus, Concatenation) that is to be put together with others.

use std::time::Duration;

use awc::http::Method;
use bytes::Bytes;
use sha2::{Digest as _, Sha256 as Hasher};

use super::ask::Question;
use super::ballots::BETWEEN;
use super::{BadPass, HOP, LONGEST_ANSWER, PASS, Peers, Purpose, Unreachable};
use crate::file::{FileId, Sha256};

/// The bound on the answer with one piece.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The word of an owner that has no such part.
const NONE: &str = "none";

/// The character between the signed lines of an answer and its bytes.
const SEPARATOR: u8 = b'\n';

/// The question for a piece of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartQuestion {
    /// The partial upload.
    pub part: FileId,
    /// The digest of the subject that sends the whole: the owner tells only parts of this subject.
    pub of: Sha256,
    /// The first byte of the piece.
    pub offset: u64,
    /// The most bytes of the piece.
    pub most: u64,
}

/// A piece of a complete partial upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPiece {
    /// The length of the whole part in bytes.
    pub length: u64,
    /// The bytes of the piece.
    pub bytes: Bytes,
}

impl Peers {
    /// Asks the owner of a part for a piece of it. `None` if it is no complete partial upload of this subject.
    /// The owner signs the answer with the digest of the bytes, as a file is promised by them.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have the part or not.
    pub async fn ask_for_part(
        &self,
        owner: u16,
        asked: &PartQuestion,
    ) -> Result<Option<PartPiece>, Unreachable> {
        let written = asked.written();
        let pass = self.seal.sign(Purpose::Part, owner, &written);
        let longest = usize::try_from(asked.most).unwrap_or_default();
        let question = Question {
            method: Method::GET,
            path: &format!("/parts/{written}"),
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: TIMEOUT,
            longest: longest.saturating_add(LONGEST_ANSWER),
        };
        let (status, answer) = self.ask_for_bytes(owner, question).await?;
        if status != 200 {
            let reason = format!("answers for a part with {status}");
            return Err(Unreachable::new(owner, reason));
        }
        let opened = self.open_part(asked, &answer);
        opened.map_err(|Unsigned| {
            Unreachable::new(owner, "tells a part in words that are not signed")
        })
    }

    /// Reads a question for a piece of a part of this node, as its address states it. `None` if it is none.
    ///
    /// # Errors
    /// [`BadPass`] if the bearer of the pass may not ask it.
    pub fn check_part(&self, pass: &str, asked: &str) -> Result<Option<PartQuestion>, BadPass> {
        self.seal.check(pass, Purpose::Part, self.number(), asked)?;
        Ok(PartQuestion::read(asked))
    }

    /// Signs this node's answer to a question for a piece of a part.
    pub fn seal_part(&self, asked: &PartQuestion, piece: Option<&PartPiece>) -> Vec<u8> {
        let bytes = piece.map_or(&[][..], |piece| &piece.bytes);
        let told = told(asked, piece.map(|piece| piece.length), bytes);
        let mut answer = self.seal(asked.part, &told).into_bytes();
        answer.push(SEPARATOR);
        answer.extend_from_slice(bytes);
        answer
    }

    /// The piece in a signed answer; `None` if the owner has no such part.
    fn open_part(
        &self,
        asked: &PartQuestion,
        answer: &Bytes,
    ) -> Result<Option<PartPiece>, Unsigned> {
        let mut ends = answer.iter().enumerate();
        let mut next_end = || ends.find(|(_, byte)| **byte == SEPARATOR);
        let (_, (end, _)) = next_end().zip(next_end()).ok_or(Unsigned)?;
        let bytes = answer.slice(end + 1..);
        let sealed = answer.get(..end).map(str::from_utf8);
        let sealed = sealed.and_then(Result::ok).ok_or(Unsigned)?;
        let signed = self.open(asked.part, sealed).ok_or(Unsigned)?;
        if signed == told(asked, None, &[]) {
            return Ok(None);
        }
        let length = signed.split(' ').nth(1).map(str::parse);
        let length: u64 = length.and_then(Result::ok).ok_or(Unsigned)?;
        let expected = asked.most.min(length.saturating_sub(asked.offset));
        let is_whole = u64::try_from(bytes.len()) == Ok(expected);
        if is_whole && signed == told(asked, Some(length), &bytes) {
            Ok(Some(PartPiece { length, bytes }))
        } else {
            Err(Unsigned)
        }
    }
}

/// The answer is not signed for the question.
#[derive(Debug, PartialEq, Eq)]
struct Unsigned;

/// The signed words of an answer.
fn told(asked: &PartQuestion, length: Option<u64>, bytes: &[u8]) -> String {
    let asked = asked.written();
    match length {
        Some(length) => format!("{asked} {length} {}", Sha256(Hasher::digest(bytes).into())),
        None => format!("{asked} {NONE}"),
    }
}

impl PartQuestion {
    fn written(&self) -> String {
        let Self {
            part,
            of,
            offset,
            most,
        } = self;
        format!("{part}{BETWEEN}{of}{BETWEEN}{offset}{BETWEEN}{most}")
    }

    fn read(asked: &str) -> Option<Self> {
        let mut parts = asked.split(BETWEEN);
        let question = Self {
            part: parts.next()?.parse().ok()?,
            of: Sha256::from_hex(parts.next()?)?,
            offset: parts.next()?.parse().ok()?,
            most: parts.next()?.parse().ok()?,
        };
        (question.written() == asked).then_some(question)
    }
}

/// The address of questions for parts.
pub fn address() -> String {
    format!("{HOP}/parts/{{asked}}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::peers;
    use super::*;

    const ASKED: PartQuestion = PartQuestion {
        part: FileId::from_bytes([7; FileId::BYTES]),
        of: Sha256([8; 32]),
        offset: u64::MAX,
        most: 9,
    };

    #[test]
    fn a_question_in_an_address_is_read_as_it_was_written() {
        let asked = ASKED.written();
        assert_eq!(PartQuestion::read(&asked), Some(ASKED));
        for wrong in [format!("{asked}_"), format!("{asked}0_1"), String::new()] {
            assert_eq!(PartQuestion::read(&wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn bytes_of_a_part_are_believed_only_as_a_node_with_the_key_has_signed_them() {
        let (here, stranger) = (peers("a"), peers("b"));
        let piece = PartPiece {
            length: 12,
            bytes: Bytes::from_static(b"\xff\n\n bytes"),
        };
        let open = |node: &Peers, asked: &PartQuestion, answer: &[u8]| {
            node.open_part(asked, &Bytes::copy_from_slice(answer))
        };
        let asked = PartQuestion { offset: 3, ..ASKED };
        let sealed = here.seal_part(&asked, Some(&piece));
        assert_eq!(open(&here, &asked, &sealed), Ok(Some(piece)));
        assert_eq!(open(&here, &ASKED, &here.seal_part(&ASKED, None)), Ok(None));
        let other = PartQuestion { offset: 0, ..ASKED };
        let longer = [&sealed[..], b" "].concat();
        for (node, asked, answer) in [
            (&here, &other, &sealed[..]),
            (&stranger, &asked, &sealed),
            (&here, &asked, &longer),
            (&here, &asked, &sealed[..sealed.len() - 1]),
            (&here, &ASKED, b"12\n\nbytes"),
            (&here, &ASKED, b""),
        ] {
            assert_eq!(open(node, asked, answer), Err(Unsigned), "{asked:?}");
        }
    }
}
