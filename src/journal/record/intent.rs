//! Intents: the record, and its bytes.

use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::file::FileId;

/// The links that are made for a message; the entry has the message's id. The base of the message
/// replaces an intent. An intent that a start finds belongs to no message, and its links are
/// undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The files that are linked to it.
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
