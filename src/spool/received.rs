//! The body of an upload, in whichever way nginx has handed it over.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::SystemTime;

use super::SpooledBody;
use crate::file::{MediaType, Window};

/// The first bytes of a body, from which its type is told.
const SNIFFED_BYTES: u64 = 8192;

/// A whole body: nginx has read it to its end before the sidecar gets anything.
#[derive(Debug, Clone, Copy)]
pub enum Received<'a> {
    /// In a spool file.
    Spooled(&'a SpooledBody),
    /// A small one that came with the head; empty, if the request had no body.
    Passed(&'a [u8]),
}

impl<'a> From<&'a SpooledBody> for Received<'a> {
    fn from(body: &'a SpooledBody) -> Self {
        Self::Spooled(body)
    }
}

/// `None` stands for a request without a body.
impl<'a> From<Option<&'a SpooledBody>> for Received<'a> {
    fn from(body: Option<&'a SpooledBody>) -> Self {
        body.map_or(Self::Passed(&[]), Self::Spooled)
    }
}

impl Received<'_> {
    /// Its length in bytes.
    pub fn length(self) -> u64 {
        match self {
            Self::Spooled(body) => body.length(),
            // A length in memory is also one of a file.
            Self::Passed(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// When its last byte came: as nginx wrote it, or now.
    pub fn modified(self) -> SystemTime {
        match self {
            Self::Spooled(body) => body.modified(),
            Self::Passed(_) => SystemTime::now(),
        }
    }

    /// Reads from `offset` on, up to the length of `into`. Returns the number of bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_at(self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Spooled(body) => body.file().read_at(into, offset),
            Self::Passed(bytes) => {
                let offset = usize::try_from(offset).map_err(io::Error::other)?;
                let rest = bytes.get(offset..).unwrap_or_default();
                let length = rest.len().min(into.len());
                if let (Some(to), Some(from)) = (into.get_mut(..length), rest.get(..length)) {
                    to.copy_from_slice(from);
                }
                Ok(length)
            }
        }
    }

    /// Fills `into` from the body's beginning.
    ///
    /// # Errors
    /// When it cannot be read, or is shorter.
    pub fn read_exact(self, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Spooled(body) => body.file().read_exact_at(into, 0),
            Self::Passed(bytes) => match bytes.get(..into.len()) {
                Some(bytes) => {
                    into.copy_from_slice(bytes);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// The media type that the first bytes of a part of it show; `application/octet-stream` if they
    /// show none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sniff(self, part: Window) -> io::Result<MediaType> {
        let length = part.length.min(SNIFFED_BYTES);
        let mut head = vec![0; length.try_into().unwrap_or_default()];
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = part.offset + u64::try_from(filled).map_err(io::Error::other)?;
            match self.read_at(rest, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(infer::get(&head)
            .and_then(|kind| MediaType::parse(kind.mime_type()).ok())
            .unwrap_or_else(MediaType::octet_stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_came_with_the_head_is_read_as_one_in_a_file() {
        let body = Received::Passed(b"0123456789");
        assert_eq!(body.length(), 10);
        let mut four = [0; 4];
        assert_eq!(body.read_at(&mut four, 3).unwrap(), 4);
        assert_eq!(&four, b"3456");
        assert_eq!(body.read_at(&mut four, 8).unwrap(), 2);
        assert_eq!(body.read_at(&mut four, 11).unwrap(), 0);
        body.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"0123");
        let too_long = body.read_exact(&mut [0; 11]).unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_type_of_a_part_is_read_from_its_own_bytes() {
        let body = Received::Passed(b"--\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
        let sniffed = |offset| {
            let length = body.length() - offset;
            body.sniff(Window { offset, length }).unwrap()
        };
        assert_eq!(sniffed(2).as_str(), "image/png");
        assert_eq!(sniffed(0).as_str(), "application/octet-stream");
        let beyond = Window {
            offset: 8,
            length: 100,
        };
        assert!(body.sniff(beyond).is_err());
    }
}
