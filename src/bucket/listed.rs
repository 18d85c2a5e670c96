//! Pages of lists. An entry with the words of its message needs no other document.
//!
//! A deleted message leaves the lists soon after its delete. Until then its entries still have its words. So a
//! reader uses the words of an entry only if it knows all dying messages. The samples of [`super::watermark`] ask
//! for these, once for all readers. Without that answer a reader reads the packages.

use std::sync::Arc;

use mongodb::bson::raw::RawArrayBuf;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, cstr};
use mongodb::options::{ReadConcern, ReadPreference};

use super::known_dying::DyingMessages;
use super::watermark::cursor;
use super::{Bucket, document};
use crate::file::FileId;
use crate::message::{Party, Wording};
use crate::store::{Entry, StoreError};

/// About the most bytes of words on a page.
const MOST_BYTES: usize = 1024 * 1024;

/// The most entries in one answer of MongoDB.
const MOST_AT_ONCE: u32 = 64;

/// A message for the list of one receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) message: FileId,
    /// The bytes of the package and of all parts.
    pub(super) bytes: u64,
    pub(super) receiver: &'a Party,
    /// The words of the message, if they are short. Readers then need no other document.
    pub(super) wording: Option<&'a Wording>,
}

pub(super) fn append_wording(entry: &mut RawDocumentBuf, wording: &Wording) {
    let (text, places) = wording.to_keep();
    let places = places.map(|place| i32::try_from(place).unwrap_or(i32::MAX));
    entry.append(cstr!("w"), text);
    entry.append(cstr!("wp"), places.into_iter().collect::<RawArrayBuf>());
}

fn read_wording(entry: &RawDocument) -> Option<Wording> {
    let text = entry.get_str("w").ok()?;
    let mut places = entry.get_array("wp").ok()?.into_iter().map(|place| {
        let place = place.ok()?.as_i32()?;
        usize::try_from(place).ok()
    });
    let mut next = || places.next().flatten();
    Wording::kept(text, [next()?, next()?, next()?])
}

/// Reads an entry without its words.
pub(super) fn entry(found: &RawDocument) -> Option<Entry> {
    Some(Entry {
        message: FileId::from_bytes(found.get_object_id("m").ok()?.bytes()),
        bytes: document::whole_number(found, "b")?,
        cursor: cursor(found.get_timestamp("ts").ok()?),
        wording: None,
    })
}

/// Tells whether the place of an entry is sure.
pub(super) fn is_sure(found: &RawDocument) -> bool {
    !matches!(found.get("u"), Ok(Some(_)))
}

impl Bucket {
    /// Finds entries with their words, each with whether its place is sure, and whether more may follow.
    pub(super) async fn find_listed(
        &self,
        filter: Document,
        most: u32,
        dying: Option<DyingMessages>,
    ) -> Result<(Vec<(Entry, bool)>, bool), StoreError> {
        let inbox = self.connection.part("inbox", ReadPreference::Primary);
        let options = self.in_order(most, ReadConcern::local());
        let found = self.bounded(async move {
            let find = inbox.find(filter).with_options(options);
            let batch = most.saturating_add(1).min(MOST_AT_ONCE);
            let mut found = find.batch_size(batch).await?;
            let (mut entries, mut bytes, mut count) = (Vec::new(), 0, 0);
            while bytes < MOST_BYTES && found.advance().await? {
                let document = found.current();
                count += 1;
                let Some(mut entry) = entry(document) else {
                    continue;
                };
                let is_alive = |dying: &DyingMessages| !dying.contains(&entry.message);
                if dying.as_ref().is_some_and(is_alive) {
                    let wording = read_wording(document);
                    bytes += wording.as_ref().map_or(0, Wording::bytes);
                    entry.wording = wording.map(Arc::new);
                }
                entries.push((entry, is_sure(document)));
            }
            Ok((entries, count >= most || bytes >= MOST_BYTES))
        });
        found.await.map_err(|err| self.of_lists(&err))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::rawdoc;

    use super::*;

    #[test]
    fn the_words_of_an_entry_are_read_as_they_were_written() {
        let text = r#"{"id":"1","to":["b"],"created":null,"state":"","parts":[]}"#;
        let state = text.find("\"\",\"parts").unwrap() + 1;
        let wording = Wording::kept(text, [9, 20, state]).unwrap();
        let mut entry = rawdoc! { "m": 1 };
        assert_eq!(read_wording(&entry), None);
        append_wording(&mut entry, &wording);
        assert_eq!(read_wording(&entry), Some(wording));
        for places in [[9, 8, state], [9, state + 1, state], [9, 20, text.len()]] {
            assert_eq!(Wording::kept(text, places), None);
        }
        assert_eq!(read_wording(&rawdoc! { "w": text, "wp": [9, 20] }), None);
    }
}
