//! Intents: the record, and its bytes.

use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::file::FileId;

/// Links that are made for a message, whose id the entry has. The base of the message replaces it; one that is
/// found by a start belongs to no message, and its links are undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The files that are tied to it.
    pub files: Vec<FileId>,
}

impl Intent {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), RecordError> {
        writer.list(&self.files, |writer, file| {
            writer.id(*file);
            Ok(())
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let files = reader.list(Reader::id)?;
        Ok(Self { files })
    }
}
