//! A part of a file of bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Where some bytes are in a larger file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

impl Window {
    /// All of a file of this length.
    pub fn whole(length: u64) -> Self {
        Self { offset: 0, length }
    }

    /// Where they are in the larger file; `None` if no file can be that long.
    pub fn range(self) -> Option<Range<u64>> {
        let end = self.offset.checked_add(self.length)?;
        Some(self.offset..end)
    }
}
