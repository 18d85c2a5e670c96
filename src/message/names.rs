//! Names that platforms and senders choose.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::file::has_dots_alone;

/// The most bytes of any of these names.
const MOST_BYTES: usize = 255;

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty or too long, or has control characters.
    #[error("a name has 1 to {MOST_BYTES} bytes and no control characters")]
    Plain,
    /// It cannot stand in a path.
    #[error(
        "the name of a sender or receiver has no slash or backslash, no blank at either end, and more than dots"
    )]
    Segment,
}

/// The sender or a receiver of messages, by the name that the platform gave. The name can be one
/// segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Party(Box<str>);

/// A name that a sender chose, for a part or for a message that it may send again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ChosenName(Box<str>);

impl Party {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChosenName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Party {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        check(&text)?;
        let is_divided = text.contains(['/', '\\']);
        if is_divided || text.trim().len() < text.len() || has_dots_alone(&text) {
            return Err(InvalidName::Segment);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ChosenName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn check(text: &str) -> Result<(), InvalidName> {
    if (1..=MOST_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(InvalidName::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_one_segment_of_a_path() {
        for name in [
            "a",
            "größe@example.org",
            "+49 170 1",
            "a;b",
            "42",
            "[x]",
            "...a",
            &"x".repeat(255),
        ] {
            assert_eq!(Party::try_from(name.to_owned()).unwrap().as_str(), name);
        }
        for name in [
            "",
            "a/b",
            "a\\b",
            " a",
            "a\u{a0}",
            ".",
            "..",
            "．．",
            "a\nb",
            "a\0",
            &"x".repeat(256),
        ] {
            assert!(Party::try_from(name.to_owned()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_chosen_name_is_any_text_without_controls() {
        for name in ["a/b", " ", "voice", "größe", &"é".repeat(127)] {
            assert_eq!(
                ChosenName::try_from(name.to_owned()).unwrap().as_str(),
                name
            );
        }
        for name in ["", "a\r", "\u{85}", &"é".repeat(128)] {
            assert!(ChosenName::try_from(name.to_owned()).is_err(), "{name:?}");
        }
    }
}
