//! What stands in a URL for a file: our id, or whatever `_id` another driver gave.

use super::{FileId, hex};

/// How a caller names a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileKey {
    /// 24 hexadecimal digits. It may be ours, or an `ObjectId` that another driver made.
    Id(FileId),
    /// Any other text: the bucket decides which `_id` values it can mean.
    Foreign(String),
}

/// What a foreign key begins with in a path segment, so that it can never be read as an id.
const FOREIGN: char = '~';

impl FileKey {
    /// Reads the text that a client gave.
    pub fn from_text(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Foreign(text.to_owned()), Self::Id)
    }

    /// A path segment of letters and digits that names this key, for our own internal URIs.
    pub fn to_segment(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Foreign(text) => {
                let digits = std::fmt::from_fn(|formatter| hex::write(text.as_bytes(), formatter));
                format!("{FOREIGN}{digits}")
            }
        }
    }

    /// Reads what [`FileKey::to_segment`] wrote; `None` for anything else.
    pub fn from_segment(segment: &str) -> Option<Self> {
        let Some(digits) = segment.strip_prefix(FOREIGN) else {
            return segment.parse().ok().map(Self::Id);
        };
        String::from_utf8(hex::read(digits)?)
            .ok()
            .map(Self::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_names_exactly_its_key_and_needs_no_escaping() {
        for text in [
            "0123456789abcdef01234567",
            "report 7/ü.pdf",
            "~",
            "42",
            "{\"$oid\":1}",
        ] {
            let key = FileKey::from_text(text);
            let segment = key.to_segment();
            assert!(
                segment
                    .chars()
                    .all(|char| char.is_ascii_alphanumeric() || char == '~')
            );
            assert_eq!(FileKey::from_segment(&segment), Some(key));
        }
        assert_eq!(FileKey::from_segment("42"), None);
        assert_eq!(FileKey::from_segment("~zz"), None);
    }
}
