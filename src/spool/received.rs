//! The body of an upload, spooled or inline.

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
    Inline(&'a [u8]),
}

impl<'a> From<&'a SpooledBody> for Received<'a> {
    fn from(body: &'a SpooledBody) -> Self {
        Self::Spooled(body)
    }
}

/// `None` stands for a request without a body.
impl<'a> From<Option<&'a SpooledBody>> for Received<'a> {
    fn from(body: Option<&'a SpooledBody>) -> Self {
        body.map_or(Self::Inline(&[]), Self::Spooled)
    }
}

impl Received<'_> {
    /// Its length in bytes.
    pub fn length(self) -> u64 {
        match self {
            Self::Spooled(body) => body.length(),
            // A length in memory is also one of a file.
            Self::Inline(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// When its last byte came: as nginx wrote it, or now.
    pub fn modified(self) -> SystemTime {
        match self {
            Self::Spooled(body) => body.modified(),
            Self::Inline(_) => SystemTime::now(),
        }
    }

    /// All of it, if it is in memory.
    fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Spooled(body) => body.content.as_deref(),
            Self::Inline(bytes) => Some(bytes),
        }
    }

    /// Reads from `offset` on, up to the length of `into`. Returns the number of bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_at(self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(bytes) = self.in_memory() else {
            return match self {
                Self::Spooled(body) => body.file().read_at(into, offset),
                Self::Inline(_) => Ok(0),
            };
        };
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let rest = bytes.get(offset..).unwrap_or_default();
        let length = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When it cannot be read, or is shorter.
    pub fn read_exact_at(self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset + u64::try_from(filled).map_err(io::Error::other)?;
            match self.read_at(rest, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// The media type that the first bytes of a part of it show; `application/octet-stream` if they
    /// show none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sniff(self, part: Window) -> io::Result<MediaType> {
        let length = part.length.min(SNIFFED_BYTES);
        let mut head = vec![0; length.try_into().unwrap_or_default()];
        self.read_exact_at(&mut head, part.offset)?;
        Ok(infer::get(&head)
            .and_then(|kind| MediaType::parse(kind.mime_type()).ok())
            .unwrap_or_else(MediaType::octet_stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    #[test]
    fn a_body_that_came_with_the_head_is_read_as_one_in_a_file() {
        let body = Received::Inline(b"0123456789");
        assert_eq!(body.length(), 10);
        let mut four = [0; 4];
        assert_eq!(body.read_at(&mut four, 3).unwrap(), 4);
        assert_eq!(&four, b"3456");
        assert_eq!(body.read_at(&mut four, 8).unwrap(), 2);
        assert_eq!(body.read_at(&mut four, 11).unwrap(), 0);
        body.read_exact_at(&mut four, 0).unwrap();
        assert_eq!(&four, b"0123");
        let too_long = body.read_exact_at(&mut [0; 10], 1).unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_spooled_body_in_memory_is_read_from_there() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("0000000001");
        std::fs::write(&path, b"0123456789").unwrap();
        let spool = Spool::open(scratch.path()).unwrap();
        let mut body = spool.claim(b"0000000001", None).unwrap();
        body.load().unwrap();
        std::fs::write(&path, b"9876543210").unwrap();
        let mut four = [0; 4];
        Received::from(&body).read_exact_at(&mut four, 3).unwrap();
        assert_eq!(&four, b"3456");
        let beyond = Received::from(&body).read_exact_at(&mut four, 7);
        assert!(beyond.is_err());
    }

    #[test]
    fn the_type_of_a_part_is_read_from_its_own_bytes() {
        let body = Received::Inline(b"--\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
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
