//! Searches a body block by block.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;

/// Bytes of the body that are searched at once.
const BLOCK_BYTES: usize = 128 * 1024;

/// A body, and the block that was read last.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    body: &'a File,
    length: u64,
    block: Vec<u8>,
    block_start: u64,
    block_bytes: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(body: &'a File, length: u64) -> Self {
        Self::by(body, length, BLOCK_BYTES)
    }

    /// Scans with another block size: at least as long as the searched text.
    pub(super) fn by(body: &'a File, length: u64, block_bytes: usize) -> Self {
        Self {
            body,
            length,
            block: Vec::new(),
            block_start: 0,
            block_bytes,
        }
    }

    /// The number of bytes in the body.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The first offset of `wanted`, at `from` or later.
    pub(super) fn find(&mut self, wanted: &Finder<'_>, mut from: u64) -> io::Result<Option<u64>> {
        let needle = wanted.needle().len();
        while from.saturating_add(widen(needle)) <= self.length {
            let Some(rest) = self.seen(from).filter(|rest| rest.len() >= needle) else {
                self.fill(from)?;
                continue;
            };
            if let Some(at) = wanted.find(rest) {
                return Ok(Some(from + widen(at)));
            }
            // The last bytes of the block may begin the searched text.
            from += widen(rest.len() - needle + 1);
        }
        Ok(None)
    }

    /// Returns up to `most` bytes from `from` on; fewer only at the end of the body.
    pub(super) fn peek(&self, from: u64, most: u64) -> io::Result<Cow<'_, [u8]>> {
        let left = self.length.saturating_sub(from).min(most);
        let length = usize::try_from(left).map_err(io::Error::other)?;
        if let Some(seen) = self.seen(from).and_then(|rest| rest.get(..length)) {
            return Ok(Cow::Borrowed(seen));
        }
        let mut bytes = vec![0; length];
        self.body.read_exact_at(&mut bytes, from)?;
        Ok(Cow::Owned(bytes))
    }

    /// The bytes of the block from this offset on.
    fn seen(&self, from: u64) -> Option<&[u8]> {
        let skip = from.checked_sub(self.block_start)?;
        self.block.get(usize::try_from(skip).ok()?..)
    }

    /// Reads the block that begins at `from`.
    fn fill(&mut self, from: u64) -> io::Result<()> {
        let left = usize::try_from(self.length - from).unwrap_or(usize::MAX);
        self.block.resize(left.min(self.block_bytes), 0);
        self.body.read_exact_at(&mut self.block, from)?;
        self.block_start = from;
        Ok(())
    }
}

/// A count of bytes in memory, as a file's offset.
pub(super) fn widen(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
