//! A part of a file of bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A range of bytes in a larger file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The offset of the first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

impl Window {
    /// All of a file of this length.
    pub fn whole(length: u64) -> Self {
        Self { offset: 0, length }
    }

    /// The range in the larger file; `None` if no file can be that long.
    pub fn range(self) -> Option<Range<u64>> {
        let end = self.offset.checked_add(self.length)?;
        Some(self.offset..end)
    }
}
