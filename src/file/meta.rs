//! The description of a file, told with every answer, and values that follow from it alone.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{FileName, MediaType, Metadata, hex, wall_time};

/// A moment in milliseconds since 1970, UTC: the precision of GridFS's `uploadDate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment that this system time stands for; times before 1970 count as 1970.
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self::from_system_time(wall_time())
    }

    /// So much later.
    #[must_use]
    pub fn later(self, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(pause))
    }

    /// This moment as a system time.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// Whole seconds since 1970: what an HTTP date can say.
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
    /// The texts that its sender added.
    pub metadata: Metadata,
    /// Tells contents under one id apart, of a file that gridspool did not write; `None` for one that
    /// it wrote: what stands under its id never changes.
    pub revision: Option<Revision>,
}

/// All that is known of a content that may be replaced under its id, as a digest.
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
    /// Time and length in nginx's own form. A body that nginx sends from the journal carries the
    /// tag that nginx makes of the body's modification time; with the same tag on a committed
    /// file, nginx evaluates If-Match and If-Range alike on both routes. The content under an id of
    /// ours never changes, so a tag need only differ between contents of one id. Other writers
    /// replace files within a second, by others of the same length: their tags say more.
    pub fn etag(&self) -> String {
        let (seconds, length) = (self.uploaded.whole_seconds(), self.length);
        match self.revision {
            None => format!("\"{seconds:x}-{length:x}\""),
            Some(revision) => format!("\"{seconds:x}-{length:x}-{revision}\""),
        }
    }

    /// The value of Last-Modified: whole seconds, as HTTP knows no finer. `None` if nobody has told.
    pub fn last_modified(&self) -> Option<SystemTime> {
        let is_known = self.revision.is_none() || self.uploaded > UnixMillis(0);
        is_known.then(|| UNIX_EPOCH + Duration::from_secs(self.uploaded.whole_seconds()))
    }

    /// Whether a later content has a later date, so that a date tells whether a copy is still good.
    pub fn is_told_by_date(&self) -> bool {
        self.revision.is_none()
    }
}

#[cfg(test)]
impl FileMeta {
    /// A file that gridspool took, ten bytes long, for the unit tests of all rooms. Its date is
    /// Tue, 14 Nov 2023 22:13:20 GMT.
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
