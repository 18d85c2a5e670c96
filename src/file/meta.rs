//! The description of a file, which comes with every answer, and values that follow from it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{FileName, MediaType, Metadata, hex, wall_time};

/// A moment in milliseconds since 1970, UTC: the precision of GridFS's `uploadDate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment of this system time; times before 1970 count as 1970.
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self::from_system_time(wall_time())
    }

    /// The moment after this time.
    #[must_use]
    pub fn later(self, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(pause))
    }

    /// This moment as a system time.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// Whole seconds since 1970, the precision of an HTTP date.
    pub fn whole_seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A file's description, the same while it is pending and after its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Its name.
    pub filename: FileName,
    /// Its media type, as claimed or shown.
    pub content_type: MediaType,
    /// Its size in bytes.
    pub length: u64,
    /// When its last byte arrived: the modification time of its body, and GridFS's `uploadDate`.
    pub uploaded: UnixMillis,
    /// Texts that its sender added.
    pub metadata: Metadata,
    /// Tells apart the contents under one id, if another writer made the file. `None` for gridspool's
    /// own files: the content under their ids never changes.
    pub revision: Option<Revision>,
}

/// A digest of everything that is known about a content which may be replaced under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub [u8; 8]);

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl FileMeta {
    /// The strong entity tag (RFC 9110 §8.8.3), with its quotes.
    ///
    /// It has nginx's form: time and length. nginx makes the tag of a journal body from the body's
    /// modification time. A committed file has the same tag, so If-Match and If-Range work alike on
    /// both routes. The content under our ids never changes, so a tag need only differ between contents
    /// of one id. Other writers may replace a file within a second by another one of the same length:
    /// the tags of their files contain the revision too.
    pub fn etag(&self) -> String {
        let (seconds, length) = (self.uploaded.whole_seconds(), self.length);
        match self.revision {
            None => format!("\"{seconds:x}-{length:x}\""),
            Some(revision) => format!("\"{seconds:x}-{length:x}-{revision}\""),
        }
    }

    /// The value of Last-Modified in whole seconds, the precision of HTTP. `None` if the writer stated
    /// no time.
    pub fn last_modified(&self) -> Option<SystemTime> {
        let is_known = self.revision.is_none() || self.uploaded > UnixMillis(0);
        is_known.then(|| UNIX_EPOCH + Duration::from_secs(self.uploaded.whole_seconds()))
    }

    /// Whether a later content always has a later date, so that a date tells whether a copy is still
    /// good.
    pub fn is_told_by_date(&self) -> bool {
        self.revision.is_none()
    }
}

#[cfg(test)]
impl FileMeta {
    /// A file of gridspool, ten bytes long, for the unit tests of all rooms. Its date is Tue, 14 Nov
    /// 2023 22:13:20 GMT.
    pub(crate) fn sample() -> Self {
        Self {
            filename: FileName::from_claim("a").unwrap(),
            content_type: MediaType::octet_stream(),
            length: 10,
            uploaded: UnixMillis(1_700_000_000_999),
            metadata: Metadata::default(),
            revision: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_one_that_nginx_makes_of_time_and_length() {
        let meta = FileMeta {
            length: 0x1_0000_0000,
            uploaded: UnixMillis(0x6540_1234 * 1000 + 999),
            ..FileMeta::sample()
        };
        assert_eq!(meta.etag(), "\"65401234-100000000\"");
        assert_eq!(
            meta.last_modified().map(UnixMillis::from_system_time),
            Some(UnixMillis(0x6540_1234_u64 * 1000))
        );
    }
}
