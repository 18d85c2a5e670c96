//! The indexes that there should be beside the two of GridFS: for messages, lists and subjects.

use mongodb::bson::{Document, doc};

/// An index that there should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Files by the subject of their upload, the newest first.
    Subject,
    /// Files that go.
    Dying,
    /// Tombstones of which the chunks may still be there.
    OpenTombstone,
    /// The lists of receivers.
    Inbox,
}

impl Wanted {
    /// The lists first: commits of messages wait for theirs.
    pub(super) const ALL: [Self; 4] =
        [Self::Inbox, Self::OpenTombstone, Self::Dying, Self::Subject];

    /// In status and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Subject => "files metadata.sub",
            Self::Dying => "files metadata.dying",
            Self::OpenTombstone => "gone at",
            Self::Inbox => "inbox r, ts",
        }
    }

    /// Its collection.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::Subject | Self::Dying => "files",
            Self::OpenTombstone => "gone",
            Self::Inbox => "inbox",
        }
    }

    /// Its fields.
    pub(super) fn keys(self) -> Document {
        match self {
            Self::Subject => doc! { "metadata.sub": 1, "_id": -1 },
            Self::Dying => doc! { "metadata.dying": 1 },
            Self::OpenTombstone => doc! { "at": 1 },
            Self::Inbox => doc! { "r": 1, "ts": 1 },
        }
    }

    /// What its documents have in common, if it does not have all.
    fn only(self) -> Option<Document> {
        match self {
            Self::Subject => Some(doc! { "metadata.sub": { "$exists": true } }),
            Self::Dying => Some(doc! { "metadata.dying": { "$exists": true } }),
            Self::OpenTombstone => Some(doc! { "cleared": false }),
            Self::Inbox => None,
        }
    }

    /// As a command has it. Drivers give such a name to an index that has none.
    pub(super) fn spec(self) -> Document {
        let keys = self.keys();
        let words = keys.iter().map(|(field, order)| format!("{field}_{order}"));
        let name = words.collect::<Vec<_>>().join("_");
        let mut spec = doc! { "key": keys, "name": name };
        if let Some(only) = self.only() {
            spec.insert("partialFilterExpression", only);
        }
        spec
    }
}

/// Those of a collection.
pub(super) fn of_part(part: &str) -> impl Iterator<Item = Wanted> {
    let all = Wanted::ALL.into_iter();
    all.filter(move |wanted| wanted.part() == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_name_that_drivers_give_it() {
        let names = Wanted::ALL.map(|wanted| wanted.spec().get_str("name").unwrap().to_owned());
        let expected = [
            "r_1_ts_1",
            "at_1",
            "metadata.dying_1",
            "metadata.sub_1__id_-1",
        ];
        assert_eq!(names, expected);
    }
}
