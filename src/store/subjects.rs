//! The port for the files of a subject.

use futures::future::BoxFuture;

use super::StoreError;
use crate::file::{FileId, FileMeta};

/// Some of the files that were uploaded with the token of one subject.
#[derive(Debug, Clone, Default)]
pub struct SubjectPage {
    /// The newest first.
    pub files: Vec<(FileId, FileMeta)>,
    /// The id before which the next page begins; `None` after the oldest file.
    pub next: Option<FileId>,
}

/// Finds files by the subject of the token that they were uploaded with.
pub trait Subjects: Send + Sync {
    /// Returns up to `most` of the newest files of a subject with ids below `before`. Files of
    /// messages are included, and dying files are not. A file that comes in meanwhile moves no
    /// other file to another page.
    ///
    /// # Errors
    /// `Unavailable`, also as long as the index for this is not there.
    fn files_of<'a>(
        &'a self,
        sub: &'a str,
        before: Option<FileId>,
        most: u32,
    ) -> BoxFuture<'a, Result<SubjectPage, StoreError>>;
}
