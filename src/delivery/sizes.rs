//! The bytes that descriptions take in memory.

use bytes::Bytes;

use crate::file::{FileKey, FileMeta};
use crate::store::StoredFile;

/// The bytes of a file's content, if it came along, and of all texts of its description. The texts of
/// the key count once for each place that keeps the key.
pub(super) fn text_bytes_of(file: &StoredFile) -> usize {
    let key_bytes = match &file.key {
        FileKey::Id(_) => 0,
        FileKey::Foreign(text) => text.len(),
    };
    let content_bytes = file.content.as_ref().map_or(0, Bytes::len);
    3 * key_bytes
        + file.foreign_metadata.len()
        + file.locator.len()
        + text_bytes_of_meta(&file.meta)
        + content_bytes
}

pub(super) fn text_bytes_of_meta(meta: &FileMeta) -> usize {
    let metadata = meta.metadata.iter();
    let text_bytes = |text: &String| size_of::<String>() + text.len();
    let metadata: usize = metadata
        .map(|(name, texts)| name.len() + texts.iter().map(text_bytes).sum::<usize>())
        .sum();
    meta.filename.as_str().len() + meta.content_type.as_str().len() + metadata
}
