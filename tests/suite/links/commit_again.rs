//! Commits that begin again, of files that have lost their last link since.

use futures::FutureExt as _;
use gridspool::file::FileId;
use gridspool::journal::Work;
use gridspool::message::links::{Removed, Unlinked};
use gridspool::store::{Committed, Progress, Promised, Store as _, StoreError};

use super::Stage;

impl Stage {
    /// Asserts that a commit that begins again does not bring back a file without links.
    pub(super) fn commit_again(&self) {
        for is_removed in [false, true] {
            for is_group in [false, true] {
                let (message, files) = self.promise(&[b"short", b"lived"]);
                let part = message.parts[0].file;
                for file in &files {
                    self.commit(*file).unwrap();
                }
                assert_eq!(self.unlink(part, files[0]), Unlinked::Last);
                if is_removed {
                    assert_eq!(self.remove(part), Removed::Removed);
                }
                if is_group {
                    let group = files.iter().map(|file| self.promised(*file)).collect();
                    let group = self
                        .bucket
                        .commit_group(group, std::future::ready(()).boxed());
                    let proven = self.mongo.block_on(group).unwrap();
                    // A proof of this part would settle it for ever.
                    assert!(proven.iter().all(|proof| proof.id() != part));
                }
                let again = self.commit(part);
                assert!(matches!(again, Err(StoreError::Gone(_))), "{again:?}");
                assert_eq!((self.document(part), self.chunks(part)), (None, 0));
                assert!(self.tombstone(part).unwrap().get_bool("cleared").unwrap());
                // The other files are unchanged.
                for file in [files[0], files[2]] {
                    self.commit(file).unwrap();
                    assert_eq!(self.chunks(file), 1);
                }
            }
        }
    }

    pub(super) fn promised(&self, file: FileId) -> Promised {
        let Work::Commit { promised, .. } = self.journal.open_work(file).unwrap() else {
            panic!("{file} is no work");
        };
        promised
    }

    pub(super) fn commit(&self, file: FileId) -> Result<Committed, StoreError> {
        let progress = Progress::default();
        let commit = self.bucket.commit(self.promised(file), &progress);
        self.mongo.block_on(commit)
    }
}
