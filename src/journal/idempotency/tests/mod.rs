//! Keys against a simple model, and against an index with a simulated log.

mod bug;
mod keys;
mod memory;
mod model;
mod orderings;
mod steps;
mod told;
mod world;

use crate::file::FileId;
use crate::journal::record::tests::samples::meta;
use crate::journal::record::{Answer, Answered, LogTime, PartOf, Subject};
use crate::store::Sha256;

use super::{Fingerprint, Keys};

/// Returns an id for each number, in order.
fn id(number: u32) -> FileId {
    let [a, b, c, d] = number.to_be_bytes();
    FileId::from_bytes([a, b, c, d, 0, 1, 0, 0, 0, 0, 0, 0])
}

/// Returns a request for each number.
fn request(number: u32, sender: u64) -> Fingerprint {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    Fingerprint {
        key: Sha256(key),
        content: Sha256([9; 32]),
        sender: Subject(sender),
    }
}

/// Makes the part of an answer that begins with file `first`.
fn answer(request: Fingerprint, at: u64, first: FileId, position: u32, files: u32) -> Answer {
    Answer {
        request: request.answered(LogTime(at)),
        part: PartOf {
            first,
            position,
            files,
        },
    }
}

/// Returns an answer as a base of answers has it.
fn answered(id: FileId, answer: Answer, is_deleted: bool) -> Answered {
    Answered {
        id,
        meta: meta(3),
        answer,
        is_deleted,
    }
}
