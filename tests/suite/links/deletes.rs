//! The steps that delete a message, and files that go only with their messages.

use gridspool::file::{FileId, FileKey};
use gridspool::message::Message;
use gridspool::message::links::{Removed, Unlinked};
use gridspool::store::{
    Deleted, Dying, IndexStanding, Indexes as _, MessageInStore, Messages as _, Store as _,
    StoredMessage,
};
use mongodb::bson::{Document, doc};

use super::{Stage, mongo_id, other_message};

impl Stage {
    /// Asserts that a file of a message is not deleted alone, and that nobody finds a dying file.
    pub(super) fn delete_linked(&self) {
        let sent = self.send(&[b"tied"]);
        let part = sent.message.parts[0].file;
        for file in [part, sent.id] {
            assert_eq!(self.delete(file), Deleted::Linked);
            self.mongo.block_on(self.bucket.clear(part)).unwrap();
            assert!(self.is_found(file));
            assert_eq!(self.chunks(file), 1);
        }
        assert_eq!(self.unlink(part, sent.id), Unlinked::Last);
        assert!(!self.is_found(part));
        assert_eq!(self.delete(part), Deleted::Absent);
        // Fields of another writer have no such meaning.
        let theirs = other_message(10);
        let metadata =
            doc! { "links": [mongo_id(sent.id)], "message": mongo_id(theirs), "dying": 1 };
        let file = doc! {
            "_id": mongo_id(theirs), "length": 5, "chunkSize": 10, "metadata": metadata,
            "uploadDate": mongodb::bson::DateTime::now(),
        };
        self.mongo.insert("fs.files", file);
        assert!(self.is_found(theirs));
        assert_eq!(self.delete(theirs), Deleted::Gone);
        assert_eq!(self.delete(theirs), Deleted::Absent);
    }

    fn delete(&self, file: FileId) -> Deleted {
        let key = FileKey::Id(file);
        self.mongo.block_on(self.bucket.remove(&key)).unwrap()
    }

    /// Returns whether readers find a file, alone and among others.
    fn is_found(&self, file: FileId) -> bool {
        let key = FileKey::Id(file);
        let found = self.mongo.block_on(self.bucket.find(&key, false)).unwrap();
        let all = self.mongo.block_on(self.bucket.find_all(vec![file]));
        assert_eq!(found.is_some(), all.unwrap().len() == 1);
        found.is_some()
    }

    /// Deletes a message by steps. Each step may be done twice, and the next one to come finds what
    /// is left.
    pub(super) fn delete_message(&self) {
        self.clear_away();
        assert_eq!(
            self.dying(),
            [],
            "without its index the search finds nothing"
        );
        self.make_indexes();
        let (message, files) = self.promise(&[b"first", b"second"]);
        for file in &files {
            self.commit(*file).unwrap();
        }
        let [package, first, second] = files[..] else {
            panic!("{files:?}");
        };
        let begin = |id| self.mongo.block_on(self.bucket.begin_delete(id)).unwrap();
        assert_eq!(begin(first), None, "a part is no message");
        assert_eq!(self.dying(), []);
        for _ in 0..2 {
            assert_eq!(begin(package).as_ref(), Some(&*message));
            let left = Dying::Package(package, Message::clone(&message));
            assert_eq!(self.dying(), [left]);
        }
        let found = self.mongo.block_on(self.bucket.message(package)).unwrap();
        assert!(matches!(found, MessageInStore::Dying), "{found:?}");
        // A commit that begins again keeps the package as the note of the work that is left.
        self.commit(package).unwrap();
        assert_eq!(begin(package).as_ref(), Some(&*message));
        for part in [first, second] {
            assert_eq!(self.unlink(part, package), Unlinked::Last);
            assert!(self.dying().contains(&Dying::File(part)));
            assert_eq!(self.remove(part), Removed::Removed);
        }
        for _ in 0..2 {
            assert_eq!(self.remove(package), Removed::Removed);
            assert_eq!(self.dying(), []);
        }
        assert_eq!(begin(package), None);
        // A removal that stopped after its tombstone is found, too.
        let is_second = doc! { "_id": mongo_id(second) };
        let reopened = self.collection("fs.gone");
        let reopened = async {
            let change = doc! { "$set": { "cleared": false } };
            reopened.update_one(is_second, change).await
        };
        assert_eq!(self.mongo.block_on(reopened).unwrap().modified_count, 1);
        assert_eq!(self.dying(), [Dying::File(second)]);
        // A package that cannot be read is not treated like another file: its parts would never go.
        self.clear_away();
        let sent = self.send(&[b"tied"]);
        assert!(begin(sent.id).is_some());
        let damaged = self.collection("fs.files");
        let damaged = async {
            let change = doc! { "$set": { "metadata.parts": "damaged" } };
            damaged
                .update_one(doc! { "_id": mongo_id(sent.id) }, change)
                .await
        };
        assert_eq!(self.mongo.block_on(damaged).unwrap().modified_count, 1);
        assert_eq!(self.dying(), []);
    }

    /// Builds the indexes that the sweep needs, as a sidecar does in the background.
    fn make_indexes(&self) {
        let is_ready = || {
            let states = self.bucket.states();
            let mut standings = states.iter().map(|state| state.standing);
            standings.all(|standing| standing == IndexStanding::Ready)
        };
        let ready = async {
            while !is_ready() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        self.mongo.block_on(async {
            tokio::select! {
                () = self.bucket.keep("a test") => {}
                () = ready => {}
            }
        });
    }

    /// Returns all dying files. The smallest pages, which repeat some files, must list the same.
    fn dying(&self) -> Vec<Dying> {
        let walk = |most: u32| {
            let (mut all, mut place) = (Vec::new(), None);
            loop {
                let page = self.bucket.dying(place.as_ref(), most);
                let page = self.mongo.block_on(page).unwrap();
                all.extend(page.dying);
                match page.next {
                    Some(next) => place = Some(next),
                    None => return all,
                }
            }
        };
        let all = walk(10);
        let mut by_small_pages = walk(1);
        by_small_pages.dedup();
        assert_eq!(by_small_pages, all);
        all
    }

    pub(super) fn message(&self, id: FileId) -> Option<StoredMessage> {
        match self.mongo.block_on(self.bucket.message(id)).unwrap() {
            MessageInStore::There(message) => Some(*message),
            MessageInStore::Dying | MessageInStore::Absent => None,
        }
    }

    fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.mongo.database().collection(name)
    }

    /// Removes all files and tombstones.
    fn clear_away(&self) {
        for part in ["fs.gone", "fs.files"] {
            let all = self.collection(part);
            let cleared = async { all.delete_many(doc! {}).await };
            self.mongo.block_on(cleared).unwrap();
        }
    }
}
