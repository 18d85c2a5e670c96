//! What a sender says of a file beside its name and type.

use std::collections::BTreeMap;

use serde::Serialize;

/// Texts by name, bounded: a caption and the like, not a second file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metadata(BTreeMap<String, String>);

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// The name is empty, or holds control characters.
    #[error("a name of metadata is empty or holds control characters")]
    Name,
    /// All names and texts together are too long.
    #[error("there is more metadata than is taken")]
    TooMuch,
}

impl Metadata {
    /// Bytes of all names and texts together.
    pub const MOST_BYTES: usize = 8 * 1024;

    /// Adds a text; of several under one name the last counts.
    ///
    /// # Errors
    /// [`InvalidMetadata`]; nothing is changed then.
    pub fn insert(&mut self, name: String, text: String) -> Result<(), InvalidMetadata> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(InvalidMetadata::Name);
        }
        let others = self.0.iter().filter(|(known, _)| **known != name);
        let bytes: usize = others.map(|(name, text)| name.len() + text.len()).sum();
        if bytes + name.len() + text.len() > Self::MOST_BYTES {
            return Err(InvalidMetadata::TooMuch);
        }
        self.0.insert(name, text);
        Ok(())
    }

    /// All of it, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_under_a_name_counts() {
        let mut metadata = Metadata::default();
        for text in ["first", "last"] {
            metadata
                .insert("caption".to_owned(), text.to_owned())
                .unwrap();
        }
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("caption", "last")]);
    }

    #[test]
    fn names_and_texts_are_bounded() {
        let mut metadata = Metadata::default();
        for name in ["", "a\0", "a\r\nb"] {
            let refused = metadata.insert(name.to_owned(), String::new());
            assert_eq!(refused, Err(InvalidMetadata::Name), "{name:?}");
        }
        let most = "x".repeat(Metadata::MOST_BYTES - 1);
        assert_eq!(metadata.insert("a".to_owned(), most), Ok(()));
        let more = metadata.insert("b".to_owned(), String::new());
        assert_eq!(more, Err(InvalidMetadata::TooMuch));
    }
}
