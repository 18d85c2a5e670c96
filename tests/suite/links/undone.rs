//! Links of messages that were never promised, and files whose time without a link is over.

use std::time::{Duration, SystemTime};

use gridspool::file::FileId;
use gridspool::message::links::{Linked, Reason, Removed, Unlinked};
use gridspool::store::{Cause, Messages as _};
use mongodb::bson::{DateTime, Document, doc};

use super::{Stage, mongo_id, other_message};

const HOUR: Duration = Duration::from_hours(1);

impl Stage {
    /// A file goes with such a link only if a promised message had it. Nothing else ends its time.
    pub(super) fn undo_links(&self) {
        let (one, other) = (other_message(30), other_message(31));
        let sent = self.send(&[b"forwarded", b"alone"]);
        let [forwarded, alone] = [0, 1].map(|place: usize| sent.message.parts[place].file);
        assert_eq!(self.link(forwarded, one), Linked::Linked);
        assert_eq!(self.unlink(forwarded, sent.id), Unlinked::Stays);
        assert_eq!(self.undo(forwarded, one), Unlinked::Last);
        assert_eq!(self.remove(forwarded), Removed::Removed);
        // As it is after a plain upload.
        self.change(
            alone,
            doc! { "$unset": { "metadata.links": "", "metadata.message": "" } },
        );
        for _ in 0..2 {
            assert_eq!(self.link(alone, one), Linked::Linked);
            assert_eq!(self.link(alone, other), Linked::Linked);
            assert_eq!(self.undo(alone, one), Unlinked::Stays);
            assert_eq!(self.undo(alone, other), Unlinked::Stays);
            assert_eq!(self.undo(alone, other), Unlinked::NotLinked);
            assert_eq!(self.remove(alone), Removed::Kept);
            let document = self.document(alone).unwrap();
            let metadata = document.get_document("metadata").unwrap();
            assert!(!metadata.contains_key("links"), "{metadata}");
        }
        self.expire(alone, one);
    }

    fn expire(&self, file: FileId, message: FileId) {
        let is_begun = || {
            let begun = self.bucket.begin_expiry(file);
            self.mongo.block_on(begun).unwrap()
        };
        assert!(!is_begun(), "it has no time");
        let now = SystemTime::now();
        for (time, is_over) in [(now + HOUR, false), (now - HOUR, true)] {
            let time = DateTime::from_system_time(time);
            self.change(file, doc! { "$set": { "metadata.unlinked_expires": time } });
            assert_eq!(self.link(file, message), Linked::Linked);
            assert!(!is_begun(), "it has a link");
            assert_eq!(self.undo(file, message), Unlinked::Stays);
            assert_eq!(is_begun(), is_over);
        }
        assert_eq!(self.link(file, message), Linked::Gone);
        let removed = self.bucket.remove_dying(file, Cause::Expired);
        assert_eq!(self.mongo.block_on(removed).unwrap(), Removed::Removed);
        assert!(!is_begun());
        assert_eq!(
            self.tombstone(file).unwrap().get_str("why").unwrap(),
            "expired"
        );
    }

    fn undo(&self, file: FileId, message: FileId) -> Unlinked {
        let undone = self.bucket.unlink(file, message, Reason::NeverPromised);
        self.mongo.block_on(undone).unwrap()
    }

    fn change(&self, file: FileId, change: Document) {
        let (files, filter) = (self.mongo.files(), doc! { "_id": mongo_id(file) });
        let changed = async { files.update_one(filter, change).await };
        assert_eq!(self.mongo.block_on(changed).unwrap().modified_count, 1);
    }
}
