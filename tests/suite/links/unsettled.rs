//! Links of files that have documents, and that their journal has not settled yet.

use gridspool::journal::Settling;
use gridspool::message::links::{Linked, Reason, Unlinked};
use gridspool::store::Messages as _;
use mongodb::bson::{Bson, doc};

use super::{Stage, mongo_id, other_message};

impl Stage {
    /// The next attempt writes new links and removes lost ones; without any link all of the file
    /// goes.
    pub(super) fn link_unsettled(&self) {
        let (message, files) = self.promise(&[b"sent on"]);
        let (part, other) = (message.parts[0].file, other_message(20));
        let early = self.commit(part).unwrap();
        assert_eq!(self.journal.link(part, other).unwrap(), Linked::Linked);
        let unlinked = self
            .journal
            .unlink(part, files[0], Reason::Deleted)
            .unwrap();
        assert_eq!(unlinked, Unlinked::Stays);
        assert_eq!(self.journal.settle(&early).unwrap(), Settling::Relinked);
        let late = self.commit(part).unwrap();
        let document = self.document(part).unwrap();
        let metadata = document.get_document("metadata").unwrap();
        let links: Vec<Bson> = vec![mongo_id(other).into()];
        assert_eq!(*metadata.get_array("links").unwrap(), links);
        assert!(metadata.get_bool("was_linked").unwrap());
        assert_eq!(
            self.journal.unlink(part, other, Reason::Deleted).unwrap(),
            Unlinked::Last
        );
        assert_eq!(self.journal.settle(&late).unwrap(), Settling::Deleted);
        for _ in 0..2 {
            self.mongo.block_on(self.bucket.discard(part)).unwrap();
            assert_eq!((self.document(part), self.chunks(part)), (None, 0));
        }
        // A file without links is not concerned.
        self.mongo.block_on(self.bucket.discard(files[0])).unwrap();
        assert_eq!(
            self.mongo
                .count(&self.mongo.files(), doc! { "_id": mongo_id(part) }),
            0
        );
    }
}
