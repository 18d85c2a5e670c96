//! Reads a part of a file in the journal where nginx cannot send the file itself.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};

use super::{BytesStream, DeliveryError};
use crate::blocking::on_thread;
use crate::file::{FileId, Window};
use crate::journal::{JournalError, Opened};

/// Bytes per read.
const BLOCK_BYTES: u64 = 256 * 1024;

/// Streams `range` of an entry's bytes. Only one block of a file's bytes is in memory at a time.
pub(super) fn stream(id: FileId, opened: Opened, range: Range<u64>) -> BytesStream {
    match opened {
        Opened::File(file, window) => from_file(id, file, window, range),
        Opened::Memory(bytes) => {
            let [begin, end] = [range.start, range.end]
                .map(|at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len()));
            let part = bytes.slice(begin.min(end)..end);
            stream::iter((!part.is_empty()).then_some(Ok(part))).boxed()
        }
    }
}

fn from_file(id: FileId, file: Arc<File>, window: Window, range: Range<u64>) -> BytesStream {
    let begin = window.offset.saturating_add(range.start);
    let end = window.offset.saturating_add(range.end.min(window.length));
    stream::try_unfold(begin, move |offset| {
        let file = Arc::clone(&file);
        async move {
            let length = end.saturating_sub(offset).min(BLOCK_BYTES);
            if length == 0 {
                return Ok(None);
            }
            let read = on_thread(move || {
                let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
                file.read_exact_at(&mut block, offset)?;
                Ok(Bytes::from(block))
            });
            let block = read.await.map_err(|source| JournalError::Disk {
                id,
                step: "read the body",
                source,
            })?;
            Ok::<_, DeliveryError>(Some((block, offset + length)))
        }
    })
    .boxed()
}
