//! The texts that a sender adds to a file beside its name and type.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Texts by name, bounded: captions and the like, not a second file. A name may have several texts, in
/// the order of their arrival.
///
/// In JSON a name with one text has a string, and one with several has a list. A clone shares the
/// texts of its original: all files of a form have one metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Arc<BTreeMap<String, Vec<String>>>);

/// The reason why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// The name is empty, or holds control characters.
    #[error("a name of metadata is empty or holds control characters")]
    Name,
    /// All names and texts together are too long.
    #[error("there is more metadata than is taken")]
    TooMuch,
    /// The time without a link is not one number of seconds, or is too long.
    #[error("`unlinked_expires` is not one whole number of seconds, from 1 to 31,536,000")]
    UnlinkedExpires,
}

impl Metadata {
    /// Bytes of all names and texts together.
    pub const MOST_BYTES: usize = 8 * 1024;

    /// The name of the text with the seconds that the file stays without a link to a message.
    pub const UNLINKED_EXPIRES: &str = "unlinked_expires";

    /// The most seconds that a file can be asked to stay without a link: a year.
    const MOST_SECONDS: u32 = 365 * 24 * 60 * 60;

    /// Adds a text behind the other texts of its name.
    ///
    /// # Errors
    /// [`InvalidMetadata`]; nothing is changed then.
    pub fn add(&mut self, name: String, text: String) -> Result<(), InvalidMetadata> {
        check_name(&name)?;
        if self.bytes() + name.len() + text.len() > Self::MOST_BYTES {
            return Err(InvalidMetadata::TooMuch);
        }
        let texts = Arc::make_mut(&mut self.0).entry(name).or_default();
        texts.push(text);
        Ok(())
    }

    /// Sets the only text of a name.
    ///
    /// # Errors
    /// [`InvalidMetadata`]; nothing is changed then.
    pub fn set(&mut self, name: String, text: String) -> Result<(), InvalidMetadata> {
        check_name(&name)?;
        let old = self.0.get(&name).into_iter().flatten();
        let old: usize = old.map(|text| name.len() + text.len()).sum();
        if self.bytes() - old + name.len() + text.len() > Self::MOST_BYTES {
            return Err(InvalidMetadata::TooMuch);
        }
        Arc::make_mut(&mut self.0).insert(name, vec![text]);
        Ok(())
    }

    /// Whether a name has any text.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The seconds that the file stays without a link to a message; `None` if it stays for ever.
    ///
    /// # Errors
    /// [`InvalidMetadata::UnlinkedExpires`].
    pub fn unlinked_seconds(&self) -> Result<Option<u32>, InvalidMetadata> {
        let Some(texts) = self.0.get(Self::UNLINKED_EXPIRES) else {
            return Ok(None);
        };
        let [text] = texts.as_slice() else {
            return Err(InvalidMetadata::UnlinkedExpires);
        };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = text.parse().ok().filter(|_| is_number);
        let seconds = seconds.filter(|seconds| (1..=Self::MOST_SECONDS).contains(seconds));
        seconds.map(Some).ok_or(InvalidMetadata::UnlinkedExpires)
    }

    /// All names in order, each with at least one text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0
            .iter()
            .map(|(name, texts)| (name.as_str(), texts.as_slice()))
    }

    /// All texts, each with its name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter()
            .flat_map(|(name, texts)| texts.iter().map(move |text| (name, text.as_str())))
    }

    /// Whether it has no texts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all names and texts; a name counts once for each of its texts.
    pub fn bytes(&self) -> usize {
        self.pairs()
            .map(|(name, text)| name.len() + text.len())
            .sum()
    }

    /// The bytes that it takes in a record and in memory: at least those of its JSON, and some more for
    /// each text.
    pub fn weight(&self) -> u64 {
        const OF_A_TEXT: usize = 64;
        let json_bytes = |text: &str| {
            let bytes_of = |char: char| match char {
                '"' | '\\' => 2,
                control if control.is_ascii_control() => 6,
                other => other.len_utf8(),
            };
            text.chars().map(bytes_of).sum::<usize>()
        };
        let weights = self
            .pairs()
            .map(|(name, text)| OF_A_TEXT + json_bytes(name) + json_bytes(text));
        u64::try_from(weights.sum::<usize>()).unwrap_or(u64::MAX)
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, texts)| (name, Texts(texts))))
    }
}

/// The texts of one name.
struct Texts<'a>(&'a [String]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

fn check_name(name: &str) -> Result<(), InvalidMetadata> {
    if name.is_empty() || name.chars().any(char::is_control) {
        Err(InvalidMetadata::Name)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(texts: &[(&str, &str)]) -> Metadata {
        let mut metadata = Metadata::default();
        for &(name, text) in texts {
            metadata.add(name.to_owned(), text.to_owned()).unwrap();
        }
        metadata
    }

    #[test]
    fn all_texts_under_a_name_are_kept_in_their_order() {
        let mut metadata = metadata(&[("tag", "z"), ("place", "sea"), ("tag", "a"), ("tag", "z")]);
        let json = serde_json::to_string(&metadata).unwrap();
        assert_eq!(json, r#"{"place":"sea","tag":["z","a","z"]}"#);
        metadata.set("tag".to_owned(), "only".to_owned()).unwrap();
        let json = serde_json::to_string(&metadata).unwrap();
        assert_eq!(json, r#"{"place":"sea","tag":"only"}"#);
    }

    #[test]
    fn it_weighs_no_less_than_its_json() {
        for text in ["", "plain", "\"\\", "\u{1}\n\t\u{7f}", "größe ☃"] {
            let metadata = metadata(&[("a", text), ("a", text), ("b\"", text)]);
            let json = serde_json::to_vec(&metadata).unwrap();
            assert!(metadata.weight() >= u64::try_from(json.len()).unwrap());
        }
    }

    #[test]
    fn a_time_without_a_link_is_one_whole_number_of_seconds() {
        assert_eq!(metadata(&[("a", "1")]).unlinked_seconds(), Ok(None));
        for (text, seconds) in [("1", 1), ("086400", 86_400), ("31536000", 31_536_000)] {
            let read = metadata(&[("unlinked_expires", text)]).unlinked_seconds();
            assert_eq!(read, Ok(Some(seconds)));
        }
        for text in [
            "",
            "0",
            "+1",
            "-1",
            "1.5",
            " 1",
            "1 h",
            "31536001",
            "4294967297",
        ] {
            let read = metadata(&[("unlinked_expires", text)]).unlinked_seconds();
            assert_eq!(read, Err(InvalidMetadata::UnlinkedExpires), "{text:?}");
        }
        let twice = metadata(&[("unlinked_expires", "5"), ("unlinked_expires", "5")]);
        let read = twice.unlinked_seconds();
        assert_eq!(read, Err(InvalidMetadata::UnlinkedExpires));
    }

    #[test]
    fn a_copy_does_not_change_with_the_first() {
        let first = metadata(&[("a", "1")]);
        let mut copy = first.clone();
        copy.add("b".to_owned(), "2".to_owned()).unwrap();
        assert_eq!(first, metadata(&[("a", "1")]));
    }

    #[test]
    fn names_and_texts_are_bounded() {
        let mut metadata = Metadata::default();
        for name in ["", "a\0", "a\r\nb"] {
            let refused = metadata.add(name.to_owned(), String::new());
            assert_eq!(refused, Err(InvalidMetadata::Name), "{name:?}");
            let refused = metadata.set(name.to_owned(), String::new());
            assert_eq!(refused, Err(InvalidMetadata::Name), "{name:?}");
        }
        let most = "x".repeat(Metadata::MOST_BYTES - 1);
        assert_eq!(metadata.add("a".to_owned(), most.clone()), Ok(()));
        for name in ["a", "b"] {
            let more = metadata.add(name.to_owned(), String::new());
            assert_eq!(more, Err(InvalidMetadata::TooMuch), "{name}");
        }
        assert_eq!(metadata.bytes(), Metadata::MOST_BYTES);
        assert_eq!(metadata.set("a".to_owned(), most), Ok(()));
        let more = metadata.set("b".to_owned(), String::new());
        assert_eq!(more, Err(InvalidMetadata::TooMuch));
    }
}
