//! Finds the parts of a form in its body (RFC 7578, RFC 2046 §5.1).
//!
//! One pass with bounded memory looks for delimiter lines only. No byte of a part is copied or kept,
//! and only one head is in memory at a time. Another room reads the heads. This room must never know
//! HTTP.

mod scan;

use std::fs::File;
use std::io;

use memchr::memmem::Finder;

use crate::file::Window;
use scan::{Scan, widen};

/// The most parts in one form.
pub const MOST_PARTS: usize = 1024;

/// The most bytes in the head of one part.
const LONGEST_HEAD: u64 = 8 * 1024;

/// The most bytes of a delimiter line after its boundary: padding, and the end of the line.
const LONGEST_PADDING: u64 = 256;

/// The most bytes before the first delimiter line, and behind the last.
const LONGEST_EDGE: u64 = 8 * 1024;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its header lines, each with its CRLF, without the empty line that ends them.
    pub head: Vec<u8>,
    /// The range of its bytes in the body.
    pub data: Window,
}

/// The reason why a body is not a form.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It does not begin with the boundary, its last boundary is missing, or some bytes belong to no
    /// part. The text is for the sender.
    #[error("the form is malformed: {0}")]
    Malformed(&'static str),
    /// It has more of something than is allowed.
    #[error("the form is too large: {0}")]
    TooLarge(&'static str),
    /// It cannot be read.
    #[error("the form cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// The parts of a form, found one after the other. The form is whole only if all parts were found
/// without an error; the iteration ends at the first error.
///
/// 1. A delimiter is CRLF, two hyphens and the boundary. At the very start of the body it needs no
///    CRLF. A short preamble before the first delimiter is ignored, unless it contains the boundary or
///    something like the head of a part.
/// 2. Two more hyphens make it the last delimiter. The epilogue behind it follows the same rule as the
///    preamble.
/// 3. Otherwise blanks and the CRLF of the line follow, and then a part: its head, an empty line, and
///    its bytes up to the next delimiter.
///
/// The form is malformed if a line begins like a delimiter and goes on otherwise. It is also malformed
/// if something looks like a delimiter except for the bytes before it, such as a bare line feed or the
/// last byte of a file. RFC 2046 forbids both within a part, and parsers that accept them disagree on
/// the end of the part: some lose files.
#[derive(Debug)]
pub struct Parts<'a> {
    scan: Scan<'a>,
    boundary: Finder<'a>,
    /// The boundary with two hyphens before it.
    dashed: Finder<'a>,
    /// The offset behind the boundary of the last delimiter found; `None` at the end.
    line: Option<u64>,
    count: usize,
}

impl<'a> Parts<'a> {
    /// Finds the first delimiter of the form in `body`, which is `length` bytes long. This blocks, and
    /// so does each step to the next part.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn of(body: &'a File, length: u64, boundary: &'a [u8]) -> Result<Self, FormError> {
        Self::read_by(Scan::new(body, length), boundary)
    }

    fn read_by(scan: Scan<'a>, boundary: &'a [u8]) -> Result<Self, FormError> {
        let mut parts = Self {
            scan,
            boundary: Finder::new(boundary),
            dashed: Finder::new(&[b"--", boundary].concat()).into_owned(),
            line: None,
            count: 0,
        };
        let dashes = parts.first_delimiter()?; // 1
        parts.line = Some(dashes + parts.dashed_length());
        Ok(parts)
    }

    fn dashed_length(&self) -> u64 {
        widen(self.dashed.needle().len())
    }

    /// The offset of the first delimiter's hyphens. The boundary occurs nowhere before.
    fn first_delimiter(&mut self) -> Result<u64, FormError> {
        const STRAY: FormError =
            FormError::Malformed("The first boundary does not stand at the beginning of a line.");
        let found = self.scan.find(&self.boundary, 0)?;
        let found = found.ok_or(FormError::Malformed("The boundary is not in the body."))?;
        let before = self.boundary.find(self.dashed.needle()).unwrap_or_default();
        let dashes = found.checked_sub(widen(before)).ok_or(STRAY)?;
        let is_dashed = *self.scan.peek(dashes, self.dashed_length())? == *self.dashed.needle();
        if !is_dashed || dashes > 0 && !self.is_after_line_break(dashes)? {
            return Err(STRAY);
        }
        self.check_edge(0, dashes.saturating_sub(2))?;
        Ok(dashes)
    }

    /// The part behind a delimiter; `line` is the offset behind its boundary. `None` behind the last.
    fn part(&mut self, line: u64) -> Result<Option<Part>, FormError> {
        let Some(start) = self.start_of_part(line)? else {
            return Ok(None);
        };
        if self.count == MOST_PARTS {
            return Err(FormError::TooLarge("parts"));
        }
        self.count += 1;
        let (head, data) = self.head(start)?;
        // In an empty part the CRLF of the empty line may also be that of the delimiter.
        let end = self.next_delimiter(data.saturating_sub(2))?;
        self.line = Some(end + 2 + self.dashed_length());
        Ok(Some(Part {
            head,
            data: Window {
                offset: data,
                length: end.saturating_sub(data),
            },
        }))
    }

    /// The offset of the next delimiter's CRLF, at `from` or later.
    fn next_delimiter(&mut self, from: u64) -> Result<u64, FormError> {
        let mut next = from;
        while let Some(dashes) = self.scan.find(&self.dashed, next)? {
            if dashes >= from + 2 && self.is_after_line_break(dashes)? {
                return Ok(dashes - 2);
            }
            if self.rest_of_line(dashes + self.dashed_length())?.is_some() {
                return Err(FormError::Malformed(
                    "A boundary line stands in the midst of a part: CRLF must be before it.",
                ));
            }
            next = dashes + 1;
        }
        Err(FormError::Malformed("The last boundary is missing."))
    }

    fn is_after_line_break(&self, at: u64) -> io::Result<bool> {
        match at.checked_sub(2) {
            Some(before) => Ok(*self.scan.peek(before, 2)? == *b"\r\n"),
            None => Ok(false),
        }
    }

    /// Reads the rest of a delimiter line: whether two hyphens follow, and the offset of the end of the
    /// line or the body. `None` if anything else follows.
    fn rest_of_line(&self, at: u64) -> io::Result<Option<(bool, u64)>> {
        let rest = self.scan.peek(at, LONGEST_PADDING)?;
        let is_last = rest.starts_with(b"--");
        let padded = rest.get(if is_last { 2 } else { 0 }..).unwrap_or_default();
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let padding = padded.iter().take_while(is_blank).count();
        let is_end = matches!(padded.get(padding), None | Some(b'\r' | b'\n'));
        let end = at + widen(rest.len() - padded.len() + padding);
        Ok(is_end.then_some((is_last, end)))
    }

    /// The offset at which the part behind a delimiter begins; `line` is the offset behind the
    /// boundary. `None` behind the last delimiter.
    fn start_of_part(&mut self, line: u64) -> Result<Option<u64>, FormError> {
        match self.rest_of_line(line)? {
            Some((true, end)) => {
                // 2
                self.check_edge(end, self.scan.length())?;
                Ok(None)
            }
            Some((false, end)) if *self.scan.peek(end, 2)? == *b"\r\n" => Ok(Some(end + 2)), // 3
            Some(_) | None => Err(FormError::Malformed(
                "A boundary line does not end behind the boundary, with CRLF.",
            )),
        }
    }

    /// Checks that bytes outside of all parts contain nothing that a sender may want kept.
    fn check_edge(&mut self, start: u64, end: u64) -> Result<(), FormError> {
        if let Some(found) = self.scan.find(&self.boundary, start)?
            && found < end
        {
            return Err(FormError::Malformed(
                "The boundary stands behind the last boundary line.",
            ));
        }
        let length = end.saturating_sub(start);
        let edge = self.scan.peek(start, length.min(LONGEST_EDGE))?;
        let is_head = |at: &[u8]| at.eq_ignore_ascii_case(HEAD_OF_PART);
        if length > LONGEST_EDGE || edge.windows(HEAD_OF_PART.len()).any(is_head) {
            return Err(FormError::Malformed(
                "What stands before the first boundary line or behind the last may be a part.",
            ));
        }
        Ok(())
    }

    /// The head of the part that begins at `start`, and the offset of its bytes.
    fn head(&self, start: u64) -> Result<(Vec<u8>, u64), FormError> {
        // Begin at the CRLF of the delimiter line: if there is no head, it is the first half of the
        // empty line.
        let start = start.saturating_sub(2);
        let read = self.scan.peek(start, LONGEST_HEAD)?;
        let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") else {
            return Err(if widen(read.len()) == LONGEST_HEAD {
                FormError::TooLarge("the head of a part")
            } else {
                FormError::Malformed("The head of a part breaks off.")
            });
        };
        let lines = read.get(..end + 2).unwrap_or_default();
        for at in self.dashed.find_iter(lines) {
            let is_line = lines.get(..at).unwrap_or_default().ends_with(b"\r\n");
            let behind = start + widen(at) + self.dashed_length();
            if is_line || self.rest_of_line(behind)?.is_some() {
                return Err(FormError::Malformed(
                    "A boundary line stands in the head of a part.",
                ));
            }
        }
        let head = lines.get(2..).unwrap_or_default().to_vec();
        Ok((head, start + widen(end) + 4))
    }
}

/// The field that the head of every part has.
const HEAD_OF_PART: &[u8] = b"content-disposition";

impl Iterator for Parts<'_> {
    type Item = Result<Part, FormError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.line.take()?;
        self.part(line).transpose()
    }
}

#[cfg(test)]
mod tests;
