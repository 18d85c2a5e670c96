//! The indexes that a bucket needs beside the two of GridFS: for messages, lists and subjects.

use mongodb::bson::{Document, doc};

/// An index that a bucket needs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Files by the subject of their upload, the newest first.
    Subject,
    /// Dying files.
    Dying,
    /// Files without a link that expire, by their time.
    Unlinked,
    /// Tombstones of files with chunks that may still exist.
    OpenTombstone,
    /// The lists of receivers.
    Inbox,
}

impl Wanted {
    /// All of them. The index of the lists comes first, because commits of messages wait for it.
    pub(super) const ALL: [Self; 5] = [
        Self::Inbox,
        Self::OpenTombstone,
        Self::Dying,
        Self::Unlinked,
        Self::Subject,
    ];

    /// Returns its name in status and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Subject => "files metadata.sub",
            Self::Dying => "files metadata.dying",
            Self::Unlinked => "files metadata.unlinked_expires",
            Self::OpenTombstone => "gone at",
            Self::Inbox => "inbox r, ts",
        }
    }

    /// Returns the collection that has it.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::Subject | Self::Dying | Self::Unlinked => "files",
            Self::OpenTombstone => "gone",
            Self::Inbox => "inbox",
        }
    }

    /// Returns its fields.
    pub(super) fn keys(self) -> Document {
        match self {
            Self::Subject => doc! { "metadata.sub": 1, "_id": -1 },
            Self::Dying => doc! { "metadata.dying": 1, "_id": 1 },
            Self::Unlinked => doc! { "metadata.unlinked_expires": 1, "_id": 1 },
            Self::OpenTombstone => doc! { "at": 1, "_id": 1 },
            Self::Inbox => doc! { "r": 1, "ts": 1 },
        }
    }

    /// Returns the condition on the documents of a partial index; `None` if the index has all
    /// documents.
    fn only(self) -> Option<Document> {
        match self {
            Self::Subject => Some(doc! { "metadata.sub": { "$exists": true } }),
            Self::Dying => Some(doc! { "metadata.dying": { "$exists": true } }),
            // A file that gets a link leaves the index, and is in it again if that link is undone.
            Self::Unlinked => Some(doc! {
                "metadata.unlinked_expires": { "$exists": true },
                "metadata.links": null,
            }),
            Self::OpenTombstone => Some(doc! { "cleared": false }),
            Self::Inbox => None,
        }
    }

    /// Returns the index as the command `createIndexes` takes it. The name is the one that drivers
    /// give to an index without a name.
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

/// Returns the wanted indexes of a collection.
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
            "at_1__id_1",
            "metadata.dying_1__id_1",
            "metadata.unlinked_expires_1__id_1",
            "metadata.sub_1__id_-1",
        ];
        assert_eq!(names, expected);
    }
}
