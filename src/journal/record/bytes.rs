//! The bytes of values: numbers in little endian; texts and lists with their length before them.
//!
//! A reader uses each byte exactly once, so that a record has only one spelling.

use super::error::RecordError;
use crate::file::{FileId, Sha512};
use crate::store::Sha256;

/// Collects the bytes of a record.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    pub(super) fn number64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// Writes the number of values that follow.
    pub(super) fn count(&mut self, count: usize) -> Result<(), RecordError> {
        let count = u32::try_from(count).map_err(|_| RecordError::Damaged("too many values"))?;
        self.number32(count);
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), RecordError> {
        self.count(text.len())?;
        self.0.extend(text.as_bytes());
        Ok(())
    }

    pub(super) fn id(&mut self, id: FileId) {
        self.0.extend(id.bytes());
    }

    pub(super) fn digest(&mut self, digest: Sha256) {
        self.0.extend(digest.0);
    }

    pub(super) fn sha512(&mut self, digest: Sha512) {
        self.0.extend(digest.0);
    }

    /// Writes a value that may be absent: a byte tells.
    pub(super) fn optional<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        self.byte(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| write(self, value))
    }

    pub(super) fn list<T>(
        &mut self,
        values: &[T],
        write: impl Fn(&mut Self, &T) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        self.count(values.len())?;
        values.iter().try_for_each(|value| write(self, value))
    }
}

/// Reads values from the front of bytes.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Checks that all bytes were read.
    pub(super) fn finish(self) -> Result<(), RecordError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(RecordError::Damaged("bytes behind the end"))
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, RecordError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Damaged("neither yes nor no")),
        }
    }

    pub(super) fn number32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn number64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RecordError> {
        let length = usize::try_from(self.number32()?).map_err(|_| CUT)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        str::from_utf8(taken).map_err(|_| RecordError::Damaged("a text is not UTF-8"))
    }

    pub(super) fn id(&mut self) -> Result<FileId, RecordError> {
        self.array().map(FileId::from_bytes)
    }

    pub(super) fn digest(&mut self) -> Result<Sha256, RecordError> {
        self.array().map(Sha256)
    }

    pub(super) fn sha512(&mut self) -> Result<Sha512, RecordError> {
        self.array().map(Sha512)
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        Ok(if self.flag()? {
            Some(read(self)?)
        } else {
            None
        })
    }

    /// Reserves no memory in advance: the count is trusted only as far as there are bytes.
    pub(super) fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        let count = self.number32()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }
}

const CUT: RecordError = RecordError::Damaged("it ends too early");

/// The sum of lengths.
pub(super) fn sum(mut lengths: impl Iterator<Item = u64>) -> Result<u64, RecordError> {
    let sum = lengths.try_fold(0_u64, u64::checked_add);
    sum.ok_or(RecordError::Damaged("longer than any file"))
}
