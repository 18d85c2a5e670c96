//! What is told of a file with every answer, and what follows from it alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{FileName, MediaType, Metadata};

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
        Self::from_system_time(SystemTime::now())
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
    /// What it is called.
    pub filename: FileName,
    /// What it claims to be.
    pub content_type: MediaType,
    /// Its size in bytes.
    pub length: u64,
    /// When its last byte arrived: the modification time of its body, and GridFS's `uploadDate`.
    pub uploaded: UnixMillis,
    /// What its sender said of it beside.
    pub metadata: Metadata,
}

impl FileMeta {
    /// The strong entity tag (RFC 9110 §8.8.3), with its quotes.
    ///
    /// Time and length in nginx's own form. A body that nginx sends from the journal carries the
    /// tag that nginx makes of the body's modification time; with the same tag on a committed
    /// file, nginx evaluates If-Match and If-Range alike on both routes. The content under an id
    /// never changes, so a tag need only differ between contents of one id.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.uploaded.whole_seconds(), self.length)
    }

    /// The value of Last-Modified: whole seconds, as HTTP knows no finer.
    pub fn last_modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.uploaded.whole_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_one_that_nginx_makes_of_time_and_length() {
        let meta = FileMeta {
            filename: FileName::from_claim("a").unwrap(),
            content_type: MediaType::octet_stream(),
            length: 0x1_0000_0000,
            uploaded: UnixMillis(0x6540_1234 * 1000 + 999),
            metadata: Metadata::default(),
        };
        assert_eq!(meta.etag(), "\"65401234-100000000\"");
        assert_eq!(
            UnixMillis::from_system_time(meta.last_modified()),
            UnixMillis(0x6540_1234_u64 * 1000)
        );
    }
}
