//! The `_id` of a chunk, which identifies the content of the chunk. A later attempt sees from the `_id`
//! that a stored chunk is the one that it would write, without reading its data.
//!
//! | bytes | hold |
//! |---|---|
//! | 4 | a time, as in any `ObjectId`: the beginning of the first attempt that left chunks of this file |
//! | 8 | the first bytes of a sha-256 of the file's id, the chunk's number and size, and the sha-256 of the file's bytes up to the end of the chunk |
//!
//! All attempts of one file give a chunk the same `_id`, and no two files do. MongoDB finds it from the
//! index on `_id` alone. Another body, file or chunk size gives another `_id`.

use mongodb::bson::oid::ObjectId;
use sha2::Digest as _;

/// Bytes of the time in an `ObjectId`.
const TIME_BYTES: usize = 4;

/// A chunk of ours: its number, and its `_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkId {
    pub(super) n: i32,
    pub(super) id: ObjectId,
}

/// The beginning of the first attempt that left chunks of a file, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began([u8; TIME_BYTES]);

impl Began {
    /// This moment.
    pub(super) fn now() -> Self {
        Self::of(ObjectId::new())
    }

    /// The time in a chunk's `_id`.
    pub(super) fn of(id: ObjectId) -> Self {
        let [a, b, c, d, ..] = id.bytes();
        Self([a, b, c, d])
    }
}

/// The `_id` of a chunk of this size. `through` has hashed the file up to the end of the chunk.
pub(super) fn chunk_id(
    began: Began,
    files_id: ObjectId,
    n: i32,
    size: usize,
    through: &sha2::Sha256,
) -> ChunkId {
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    let mut hasher = sha2::Sha256::new();
    hasher.update(files_id.bytes());
    hasher.update(n.to_le_bytes());
    hasher.update(size.to_le_bytes());
    hasher.update(through.clone().finalize());
    let proof = hasher.finalize();
    let mut id = [0; 12];
    let bytes = began.0.iter().chain(proof.iter());
    for (place, byte) in id.iter_mut().zip(bytes) {
        *place = *byte;
    }
    ChunkId {
        n,
        id: ObjectId::from_bytes(id),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_the_same_for_the_same_chunk_alone() {
        let began = [Began([1; 4]), Began([2; 4])];
        let files = [1, 2].map(|byte| ObjectId::from_bytes([byte; 12]));
        let bodies = ["abc", "abd"].map(sha2::Sha256::new_with_prefix);
        let mut seen = HashSet::new();
        for (began, file) in began.iter().flat_map(|one| files.map(|file| (*one, file))) {
            for (n, size) in [(0, 3), (1, 3), (1, 2), (-1, 2)] {
                for body in &bodies {
                    let ours = chunk_id(began, file, n, size, body);
                    assert_eq!(ours, chunk_id(began, file, n, size, body));
                    assert_eq!(Began::of(ours.id), began);
                    assert!(seen.insert(ours.id), "{ours:?}");
                }
            }
        }
    }
}
