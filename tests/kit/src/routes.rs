//! Both routes of a download: from the journal while a file is pending, from GridFS once it is
//! committed.

use mongodb::bson::doc;

use crate::{Builder, Client, Mongo, Site};

/// A site with a MongoDB that answers only its own test, until [`Routes::commit`].
#[derive(Debug)]
pub struct Routes {
    // Ends before the MongoDB behind it.
    pub site: Site,
    pub mongo: Mongo,
}

impl Routes {
    pub fn start() -> Self {
        let mongo = Mongo::start();
        mongo.hide_from_sidecars();
        let site = Builder::without_log()
            .set("settled_grace_seconds", 0)
            .start(&mongo);
        Self { site, mongo }
    }

    /// Lets everything be committed, and waits until the journal has no body any more.
    pub fn commit(&self) {
        self.mongo.heal();
        self.site.wait_until_empty();
    }

    /// Probes while files are pending, and again after their commit.
    pub fn both<T>(&self, mut probe: impl FnMut(&Client) -> T) -> [T; 2] {
        let client = self.site.client();
        assert!(!self.site.names("journal/body").is_empty());
        let pending = probe(&client);
        assert_eq!(self.mongo.count(&self.mongo.files(), doc! {}), 0);
        self.commit();
        [pending, probe(&client)]
    }
}
