//! The name of a file in a URL: an id, or the `_id` that another driver chose.

use super::{FileId, has_dots_alone, hex};

/// The name by which a caller asks for a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileKey {
    /// 24 hexadecimal digits. It may be ours, or an `ObjectId` that another driver made.
    Id(FileId),
    /// Any other text; the bucket decides which `_id` values it can mean.
    Foreign(String),
}

/// The character before a foreign key in a path segment, so that the key is never read as an id.
const FOREIGN: char = '~';

impl FileKey {
    /// Reads the text of a client.
    pub fn from_text(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Foreign(text.to_owned()), Self::Id)
    }

    /// Reads a decoded path segment. A text that cannot stand in a path, such as one with a slash, is
    /// written as [`FileKey::to_segment`] does: so each key has exactly one spelling.
    pub fn from_path(text: &str) -> Self {
        match Self::from_segment(text) {
            Some(Self::Foreign(hidden)) if !stands_in_a_path(&hidden) => Self::Foreign(hidden),
            _ => Self::from_text(text),
        }
    }

    /// A path segment of letters and digits for this key, for internal URIs.
    pub fn to_segment(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Foreign(text) => {
                let digits = std::fmt::from_fn(|formatter| hex::write(text.as_bytes(), formatter));
                format!("{FOREIGN}{digits}")
            }
        }
    }

    /// Reads a segment of [`FileKey::to_segment`]; `None` for any other text.
    pub fn from_segment(segment: &str) -> Option<Self> {
        let Some(digits) = segment.strip_prefix(FOREIGN) else {
            return segment.parse().ok().map(Self::Id);
        };
        String::from_utf8(hex::read(digits)?)
            .ok()
            .map(Self::Foreign)
    }
}

/// Whether a path segment can hold this text, and every server reads it in the same way.
fn stands_in_a_path(text: &str) -> bool {
    let is_divided = text.contains(['/', '\\', '\0']);
    let name = text.split(';').next().unwrap_or_default();
    let is_read_otherwise = match FileKey::from_segment(text) {
        Some(FileKey::Foreign(hidden)) => !stands_in_a_path(&hidden),
        Some(FileKey::Id(_)) | None => false,
    };
    let is_nothing = text.is_empty() || has_dots_alone(name);
    !is_divided && !is_nothing && !is_read_otherwise
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Mostly characters of ids and segments.
    fn text() -> impl Strategy<Value = String> {
        const USUAL: &[u8] = b"0123456789abcdefABCDEF~~";
        let char = |number: u32| {
            let usual = usize::try_from(number % 25)
                .ok()
                .and_then(|place| USUAL.get(place));
            let any = || char::from_u32(number >> 8).unwrap_or('a');
            usual.map_or_else(any, |&byte| byte.into())
        };
        let chars = || proptest::collection::vec((0..1_u32 << 28).prop_map(char), 0..8);
        prop_oneof![
            chars().prop_map(String::from_iter),
            chars().prop_map(|chars| format!("~{}", String::from_iter(chars))),
            any::<[u8; 12]>().prop_map(|bytes| FileId::from_bytes(bytes).to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_comes_back_from_its_segment_and_no_two_share_one(
            text in text(),
            other in text(),
        ) {
            let [key, other] = [text, other].map(|text| FileKey::from_text(&text));
            let segment = key.to_segment();
            prop_assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'~'));
            prop_assert_eq!(key == other, segment == other.to_segment());
            prop_assert_eq!(FileKey::from_segment(&segment), Some(key));
        }

        #[test]
        fn any_text_has_one_spelling_in_a_path(
            text in prop_oneof![text(), "[~/\\\\;. \u{200b}\u{ff0e}2ef]{0,8}", "(~2e|~7e)(2f|2e|7e|32|65){0,4}"],
        ) {
            let key = FileKey::Foreign(text.clone());
            if FileKey::from_text(&text) != key {
                return Ok(());
            }
            let hidden = key.to_segment();
            prop_assert_eq!(FileKey::from_path(&hidden) == key, !stands_in_a_path(&text), "{}", text);
            prop_assert!(!stands_in_a_path(&text) || FileKey::from_path(&text) == key, "{}", text);
        }

        #[test]
        fn any_segment_names_one_key_or_none(segment in text()) {
            if let Some(key) = FileKey::from_segment(&segment) {
                prop_assert_eq!(key.to_segment(), segment.to_lowercase());
            }
        }
    }
}
