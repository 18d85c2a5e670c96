//! Request bodies. Each is a piece of one block of random bytes in memory, so it costs nothing to
//! make.

use std::sync::OnceLock;

/// The length of the block in bytes. It is larger than the unit that MongoDB compresses. The bytes
/// are random, so nothing on the way can compress them.
const LENGTH: usize = 16 << 20;

/// The distance in bytes between the beginnings of two bodies with consecutive numbers.
const STEP: u64 = 4099;

fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bytes = Vec::with_capacity(LENGTH);
        while bytes.len() < LENGTH {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes
    })
}

/// The content of one file: the block from `start` on, repeated as often as needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body {
    start: usize,
    pub(crate) length: u64,
}

impl Body {
    /// Returns the content of file `number`, `length` bytes long.
    pub(crate) fn of(number: u64, length: u64) -> Self {
        let start = usize::try_from(number * STEP).expect("a small number") % LENGTH;
        Self { start, length }
    }

    /// Returns the `length` bytes of this body that begin at `from`.
    pub(crate) fn part(self, from: u64, length: u64) -> Self {
        let from = usize::try_from(from).expect("a 64-bit machine");
        Self {
            start: (self.start + from) % LENGTH,
            length,
        }
    }

    /// Returns the bytes from `position` on that lie in one piece of the block; an empty slice at
    /// the end.
    pub(crate) fn at(self, position: u64) -> &'static [u8] {
        let left = usize::try_from(self.length - position).expect("a 64-bit machine");
        let offset = usize::try_from(position).expect("a 64-bit machine");
        let start = (self.start + offset) % LENGTH;
        &block()[start..LENGTH.min(start + left)]
    }

    /// Returns whether the body has `bytes` at `position`.
    pub(crate) fn has(self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if position >= self.length {
                return false;
            }
            let here = self.at(position);
            let length = here.len().min(bytes.len());
            if here[..length] != bytes[..length] {
                return false;
            }
            bytes = &bytes[length..];
            position += u64::try_from(length).expect("a 64-bit machine");
        }
        true
    }

    /// Copies the whole body.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut position = 0;
        while position < self.length {
            let here = self.at(position);
            bytes.extend_from_slice(here);
            position += u64::try_from(here.len()).expect("a 64-bit machine");
        }
        bytes
    }
}
