//! The receivers of a message.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{MOST_RECEIVERS, MessageError, Party};

/// Receivers, each once, in the order of the request. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Party>")]
pub struct Receivers(Vec<Party>);

/// The name of their field.
const FIELD: &str = "to";

impl Receivers {
    /// Reads texts. Each text is the name of a receiver, or a JSON array of names.
    ///
    /// # Errors
    /// An error, if a text is no name, or if there is no receiver or too many.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, MessageError> {
        let mut parties = Vec::new();
        for text in texts {
            if text.trim_start().starts_with('[') {
                let list: Vec<Party> = serde_json::from_str(text)
                    .map_err(|err| MessageError::unreadable(FIELD, err))?;
                parties.extend(list);
            } else {
                let party = Party::try_from(text.to_owned());
                parties.push(party.map_err(|err| MessageError::unreadable(FIELD, err))?);
            }
        }
        Self::try_from(parties)
    }

    /// Returns all receivers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Party> {
        self.0.iter()
    }

    /// Returns whether `party` is one of them.
    pub fn contains(&self, party: &Party) -> bool {
        self.0.contains(party)
    }
}

impl From<Party> for Receivers {
    fn from(only: Party) -> Self {
        Self(vec![only])
    }
}

impl TryFrom<Vec<Party>> for Receivers {
    type Error = MessageError;

    fn try_from(mut parties: Vec<Party>) -> Result<Self, MessageError> {
        let mut seen = HashSet::new();
        let is_first: Vec<_> = parties
            .iter()
            .map(|party| seen.insert(party.as_str()))
            .collect();
        if seen.len() > MOST_RECEIVERS {
            return Err(MessageError::TooManyReceivers);
        }
        let mut is_first = is_first.into_iter();
        parties.retain(|_| is_first.next().unwrap_or_default());
        if parties.is_empty() {
            return Err(MessageError::NoReceiver);
        }
        Ok(Self(parties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Result<Vec<String>, MessageError> {
        let read = Receivers::read(texts.iter().copied())?;
        Ok(read.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_and_lists_of_names_make_one_list_with_each_once() {
        for (texts, expected) in [
            (&["bob"][..], &["bob"][..]),
            (&["bob", "eve"], &["bob", "eve"]),
            (&[r#"["bob","eve"]"#], &["bob", "eve"]),
            (
                &["eve", " [ \"bob\" , \"eve\" ] ", "bob", "b,c"],
                &["eve", "bob", "b,c"],
            ),
            (&[r#"["[x]"]"#], &["[x]"]),
        ] {
            assert_eq!(names(texts).unwrap(), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for text in [
            "",
            "a/b",
            "[",
            "[1]",
            "[\"a\"",
            "[\"a\"] x",
            "[null]",
            "[\"\"]",
        ] {
            let refused = names(&["bob", text]);
            assert!(
                matches!(refused, Err(MessageError::Unreadable { field: "to", .. })),
                "{text}: {refused:?}"
            );
        }
        assert_eq!(names(&[]), Err(MessageError::NoReceiver));
        assert_eq!(names(&["[]"]), Err(MessageError::NoReceiver));
    }

    #[test]
    fn a_thousand_are_taken_and_one_more_is_not() {
        let most: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        let mut texts: Vec<_> = most.iter().map(String::as_str).collect();
        texts.push("7");
        assert_eq!(names(&texts).unwrap().len(), 1000);
        texts.push("1000");
        assert_eq!(names(&texts), Err(MessageError::TooManyReceivers));
    }
}
