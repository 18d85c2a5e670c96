//! Where the parts of a form are in its body (RFC 7578, RFC 2046 §5.1).
//!
//! Only delimiter lines are looked for, in one pass with bounded memory: no byte of a part is
//! copied or kept. What a part's head says is read elsewhere. This room must never know HTTP.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;

use crate::file::Window;

/// Parts that one form may have.
const MOST_PARTS: usize = 1024;

/// Bytes that the head of one part may have.
const LONGEST_HEAD: u64 = 8 * 1024;

/// Bytes of a delimiter line after its boundary: padding, and the end of the line.
const LONGEST_PADDING: u64 = 256;

/// Bytes of the body that are looked through at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its header lines, each with its CRLF, without the empty line that ends them.
    pub head: Vec<u8>,
    /// Where its bytes are in the body.
    pub data: Window,
}

/// Why a body is not taken for a form.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It does not begin with the boundary, its last one is missing, or a delimiter line or a
    /// head breaks off.
    #[error("the form is malformed: {0}")]
    Malformed(&'static str),
    /// It has more of something than is taken.
    #[error("the form is too large: {0}")]
    TooLarge(&'static str),
    /// It cannot be read.
    #[error("the form cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Finds the parts of the form that `body` holds, `length` bytes long. Blocks.
///
/// 1. A delimiter is CRLF, two hyphens and the boundary; the first needs no CRLF at the very
///    start. What stands before it, the preamble, is nobody's.
/// 2. Two more hyphens make it the last; what follows, the epilogue, is nobody's.
/// 3. Otherwise blanks may follow, and the CRLF that ends the line; then comes a part: its head,
///    an empty line, its bytes up to the next delimiter.
///
/// A line that begins like a delimiter and goes on otherwise makes the form malformed: RFC 2046
/// forbids it within a part, and parsers that let it pass disagree on where the part ends.
///
/// # Errors
/// [`FormError`].
pub fn split(body: &File, length: u64, boundary: &[u8]) -> Result<Vec<Part>, FormError> {
    split_by(body, length, boundary, BLOCK_BYTES)
}

/// [`split`] with blocks of another size: of a delimiter at least.
fn split_by(
    body: &File,
    length: u64,
    boundary: &[u8],
    block_bytes: usize,
) -> Result<Vec<Part>, FormError> {
    let mut scan = Scan::new(body, length, boundary, block_bytes);
    let mut line = scan
        .first()?
        .ok_or(FormError::Malformed("no delimiter line"))?; // 1
    let mut parts = Vec::new();
    while let Some(start) = scan.start_of_part(line)? {
        if parts.len() == MOST_PARTS {
            return Err(FormError::TooLarge("parts"));
        }
        let (head, data) = scan.head(start)?;
        // Without bytes, the CRLF of the empty line may be that of the delimiter as well.
        let end = scan
            .next(data.saturating_sub(2))?
            .ok_or(FormError::Malformed("the last delimiter is missing"))?;
        parts.push(Part {
            head,
            data: Window {
                offset: data,
                length: end.saturating_sub(data),
            },
        });
        line = end + scan.delimiter_length();
    }
    Ok(parts)
}

/// A body, and the block of it that was read last.
struct Scan<'a> {
    body: &'a File,
    length: u64,
    delimiter: Finder<'a>,
    block: Vec<u8>,
    block_start: u64,
    block_bytes: usize,
}

impl<'a> Scan<'a> {
    fn new(body: &'a File, length: u64, boundary: &[u8], block_bytes: usize) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        Self {
            body,
            length,
            delimiter: Finder::new(&delimiter).into_owned(),
            block: Vec::new(),
            block_start: 0,
            block_bytes,
        }
    }

    fn delimiter_length(&self) -> u64 {
        widen(self.delimiter.needle().len())
    }

    /// Where the rest of the first delimiter line begins, after its boundary.
    fn first(&mut self) -> io::Result<Option<u64>> {
        let dashes = self
            .delimiter
            .needle()
            .get(2..)
            .unwrap_or_default()
            .to_vec();
        if self.read(0, widen(dashes.len()))? == dashes {
            return Ok(Some(widen(dashes.len())));
        }
        let found = self.next(0)?;
        Ok(found.map(|at| at + self.delimiter_length()))
    }

    /// Where the next delimiter begins, at `from` or later.
    fn next(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        let needle = self.delimiter.needle().len();
        while from.saturating_add(widen(needle)) <= self.length {
            let seen = from
                .checked_sub(self.block_start)
                .and_then(|skip| usize::try_from(skip).ok())
                .and_then(|skip| self.block.get(skip..))
                .filter(|rest| rest.len() >= needle);
            let Some(rest) = seen else {
                self.fill(from)?;
                continue;
            };
            if let Some(at) = self.delimiter.find(rest) {
                return Ok(Some(from + widen(at)));
            }
            // The block's last bytes may be the first of a delimiter.
            from += widen(rest.len() - needle + 1);
        }
        Ok(None)
    }

    /// Where the part behind a delimiter begins, `line` being what follows the boundary; `None`
    /// behind the last.
    fn start_of_part(&self, line: u64) -> Result<Option<u64>, FormError> {
        let rest = self.read(line, LONGEST_PADDING)?; // 2
        if rest.starts_with(b"--") {
            return Ok(None);
        }
        let padding = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count(); // 3
        let end = rest.get(padding..).unwrap_or_default();
        if end.starts_with(b"\r\n") {
            Ok(Some(line + widen(padding) + 2))
        } else {
            Err(FormError::Malformed("a delimiter line goes on"))
        }
    }

    /// The head of a part that begins at `start`, and where the part's bytes begin.
    fn head(&self, start: u64) -> Result<(Vec<u8>, u64), FormError> {
        // From the CRLF of the delimiter line on: without a head it is half of the empty line's.
        let start = start.saturating_sub(2);
        let read = self.read(start, LONGEST_HEAD)?;
        let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") else {
            return Err(if widen(read.len()) == LONGEST_HEAD {
                FormError::TooLarge("the head of a part")
            } else {
                FormError::Malformed("the head of a part breaks off")
            });
        };
        let lines = read.get(..end + 2).unwrap_or_default();
        if self.delimiter.find(lines).is_some() {
            return Err(FormError::Malformed("a delimiter in the head of a part"));
        }
        let head = lines.get(2..).unwrap_or_default().to_vec();
        Ok((head, start + widen(end) + 4))
    }

    /// Reads the block that begins at `from`.
    fn fill(&mut self, from: u64) -> io::Result<()> {
        let left = usize::try_from(self.length - from).unwrap_or(usize::MAX);
        self.block.resize(left.min(self.block_bytes), 0);
        self.body.read_exact_at(&mut self.block, from)?;
        self.block_start = from;
        Ok(())
    }

    /// Reads up to `most` bytes, fewer only at the body's end.
    fn read(&self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let left = self.length.saturating_sub(from).min(most);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX)];
        self.body.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

/// A count of bytes in memory, as a file's offset.
fn widen(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
