//! Where the parts of a form are in its body (RFC 7578, RFC 2046 §5.1).
//!
//! Only delimiter lines are looked for, in one pass with bounded memory: no byte of a part is
//! copied or kept, and of the heads only one at a time. Another room reads what a part's head says. This
//! room must never know HTTP.

mod scan;

use std::fs::File;
use std::io;

use memchr::memmem::Finder;

use crate::file::Window;
use scan::{Scan, widen};

/// Parts that one form may have.
pub const MOST_PARTS: usize = 1024;

/// Bytes that the head of one part may have.
const LONGEST_HEAD: u64 = 8 * 1024;

/// Bytes of a delimiter line after its boundary: padding, and the end of the line.
const LONGEST_PADDING: u64 = 256;

/// Bytes that may stand before the first delimiter line, and behind the last.
const LONGEST_EDGE: u64 = 8 * 1024;

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
    /// It does not begin with the boundary, its last one is missing, or something in it cannot be
    /// placed in any part. The text is for whoever sent it.
    #[error("the form is malformed: {0}")]
    Malformed(&'static str),
    /// It has more of something than is taken.
    #[error("the form is too large: {0}")]
    TooLarge(&'static str),
    /// It cannot be read.
    #[error("the form cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// The parts of a form, found one after the other. It is a whole form only if all of them were found
/// without an error; behind an error comes nothing more.
///
/// 1. A delimiter is CRLF, two hyphens and the boundary; the first needs no CRLF at the very
///    start. A short preamble before it is nobody's, unless the boundary is in it or what may be
///    the head of a part.
/// 2. Two more hyphens make it the last; the same holds for the epilogue that follows.
/// 3. Otherwise blanks may follow, and the CRLF that ends the line; then comes a part: its head,
///    an empty line, its bytes up to the next delimiter.
///
/// A line that begins like a delimiter and goes on otherwise makes the form malformed, and so does
/// what would be a delimiter but for what stands before it: a bare line feed, say, or the last byte
/// of a file. RFC 2046 forbids both within a part, and parsers that let them pass disagree on where
/// the part ends: some lose files.
#[derive(Debug)]
pub struct Parts<'a> {
    scan: Scan<'a>,
    boundary: Finder<'a>,
    /// The boundary with two hyphens before it.
    dashed: Finder<'a>,
    /// The place behind the boundary of the delimiter that was found last; `None` at the end.
    line: Option<u64>,
    count: usize,
}

impl<'a> Parts<'a> {
    /// Finds the first delimiter of the form that `body` holds, `length` bytes long. Blocks, as
    /// does looking for the next part.
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

    /// Where the hyphens of the first delimiter are: the boundary stands nowhere before them.
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

    /// The part behind the delimiter whose line goes on at `line`; `None` behind the last.
    fn part(&mut self, line: u64) -> Result<Option<Part>, FormError> {
        let Some(start) = self.start_of_part(line)? else {
            return Ok(None);
        };
        if self.count == MOST_PARTS {
            return Err(FormError::TooLarge("parts"));
        }
        self.count += 1;
        let (head, data) = self.head(start)?;
        // Without bytes, the CRLF of the empty line may be that of the delimiter as well.
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

    /// Where the CRLF of the next delimiter is, at `from` or later.
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

    /// If nothing but what a delimiter may have follows here up to the end of the line or of the body:
    /// whether it has two hyphens, and where that end is.
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

    /// Where the part behind a delimiter begins, `line` being what follows the boundary; `None`
    /// behind the last.
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

    /// Sees that what stands outside of all parts can be nothing that somebody wants kept.
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

    /// The head of a part that begins at `start`, and where the part's bytes begin.
    fn head(&self, start: u64) -> Result<(Vec<u8>, u64), FormError> {
        // From the CRLF of the delimiter line on: without a head it is half of the empty line's.
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
