//! The bytes of a range, put together from batches.

use std::io;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Bucket;
use super::batch::{Held, LINGER, Name, ON_DISK_LINGER, PARTLY_READ_LINGER, Share};
use super::batch_bytes::{Batch, BatchBytes, FREE_BYTES};
use super::division::Division;
use crate::store::{StoreError, StoredFile};

/// The bytes of a window, and the shares that keep their batches. The bytes are dropped before the
/// shares.
pub(super) struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    _shares: Vec<Share>,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.pieces.next()
    }
}

impl Bucket {
    /// Returns the bytes of a window of a file, once all batches of that window are there.
    ///
    /// # Errors
    /// As [`crate::store::Store::read`].
    pub(super) async fn pieces(
        &self,
        file: &Arc<StoredFile>,
        window: &Range<u64>,
    ) -> Result<Pieces, StoreError> {
        let division = Division::of(file);
        let mut shares = self.shares(file, &division, window).await?;
        let mut batches = Vec::new();
        // All batches are read before the first byte is sent: see `Division::first_window`.
        for (share, number) in shares.iter_mut().zip(division.batches(window)) {
            let batch = share.batch().await?;
            let is_to_end = window.end >= division.bytes(number).end;
            share.stay(match (is_to_end, batch.is_on_disk()) {
                (true, _) => LINGER,
                (false, true) => ON_DISK_LINGER,
                (false, false) => PARTLY_READ_LINGER,
            });
            batches.push(batch);
        }
        Ok(Pieces {
            pieces: self.cut(batches, window.clone()).await?.into_iter(),
            _shares: shares,
        })
    }

    /// Returns the bytes of a window of these batches. Bytes from disk are read when there is room
    /// for them.
    async fn cut(
        &self,
        batches: Vec<Arc<BatchBytes>>,
        window: Range<u64>,
    ) -> Result<Vec<Bytes>, StoreError> {
        let bytes = batches.iter().map(|batch| batch.bytes_to_read(&window));
        let bytes = u32::try_from(bytes.sum::<u64>()).unwrap_or(u32::MAX);
        // A reader that holds bytes in memory must not wait for more: see `Batches::reserve`.
        let may_wait = bytes > 0 && batches.iter().all(|batch| batch.is_on_disk());
        let room = if may_wait {
            let bytes = bytes.min(self.batches.most);
            Some(Arc::new(self.batches.reserve(bytes, self.timeout).await?))
        } else {
            None
        };
        let cut = move || -> io::Result<Vec<Bytes>> {
            let mut pieces = Vec::new();
            for batch in batches {
                pieces.extend(batch.cut(&window, room.clone())?);
            }
            Ok(pieces)
        };
        let cut = if bytes == 0 {
            cut()
        } else {
            let read = self.runtime.spawn_blocking(cut).await;
            read.unwrap_or_else(|lost| Err(io::Error::other(lost)))
        };
        cut.map_err(|err| StoreError::Unavailable(format!("a batch on disk: {err}")))
    }

    /// Keeps the batches of a file with long chunks on disk, so that memory has room for others.
    async fn keep(&self, batch: Batch, division: Division, bytes: u32) -> BatchBytes {
        if !division.has_long_chunks() {
            return BatchBytes::InMemory(batch);
        }
        let Some(room) = self.batches.reserve_on_disk(bytes) else {
            return BatchBytes::InMemory(batch);
        };
        let (directory, to_disk) = (self.directory.clone(), batch.clone());
        let write = move || to_disk.write(&directory, FREE_BYTES, room);
        let written = self.runtime.spawn_blocking(write).await;
        match written.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
            Ok(file) => BatchBytes::OnDisk(file),
            Err(err) => {
                log::debug!("a batch stays in memory: {err}");
                BatchBytes::InMemory(batch)
            }
        }
    }

    /// Returns a share in each batch of a window. It begins to read the batches that nobody has
    /// read yet.
    async fn shares(
        &self,
        file: &Arc<StoredFile>,
        division: &Division,
        window: &Range<u64>,
    ) -> Result<Vec<Share>, StoreError> {
        let names: Vec<_> = division
            .batches(window)
            .map(|number| Name {
                locator: file.locator.clone(),
                tag: file.meta.etag(),
                chunk_size_bytes: file.chunk_size_bytes,
                number,
            })
            .collect();
        let mut room = None;
        loop {
            match self.try_shares(file, division, &names, room.take()) {
                Ok(shares) => return Ok(shares),
                Err(missing) => room = Some(self.batches.reserve(missing, self.timeout).await?),
            }
        }
    }

    /// Does the same as [`Bucket::shares`], if the missing batches fit into the reserved room.
    /// Otherwise it returns how many bytes they have.
    fn try_shares(
        &self,
        file: &Arc<StoredFile>,
        division: &Division,
        names: &[Name],
        mut room: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Share>, u32> {
        let mut held = self.batches.held();
        let bytes_of = |name: &Name| {
            let bytes = division.bytes(name.number);
            u32::try_from(bytes.end - bytes.start).unwrap_or(u32::MAX)
        };
        let missing = names.iter().filter(|&name| !held.contains_key(name));
        let missing: Vec<_> = missing.collect();
        let bytes = missing
            .iter()
            .fold(0, |sum: u32, &name| sum.saturating_add(bytes_of(name)));
        let bytes = bytes.min(self.batches.most);
        let reserved = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if usize::try_from(bytes).is_ok_and(|bytes| reserved < bytes) {
            return Err(bytes);
        }
        for name in missing {
            let part = usize::try_from(bytes_of(name)).unwrap_or(usize::MAX);
            let part = room
                .as_mut()
                .and_then(|room| room.split(part.min(room.num_permits())));
            let begun = self.begin_read(file, *division, name, bytes_of(name), part);
            held.insert(name.clone(), begun);
        }
        let shares = names.iter();
        let shares = shares.filter_map(|name| Share::of(&self.batches, &held, name));
        Ok(shares.collect())
    }

    /// Reads a batch in a task of its own, so that the readers that wait for it may leave.
    fn begin_read(
        &self,
        file: &Arc<StoredFile>,
        division: Division,
        name: &Name,
        bytes: u32,
        room: Option<OwnedSemaphorePermit>,
    ) -> Held {
        let (sender, outcome) = watch::channel(None);
        let begun = Held::begun(outcome, bytes);
        let own = begun.identity();
        let (bucket, file, name) = (self.clone(), Arc::clone(file), name.clone());
        self.runtime.spawn(async move {
            let read = async {
                let batch = bucket.read_batch(&file, division, name.number, room);
                Ok(bucket.keep(batch.await?, division, bytes).await)
            };
            let read = AssertUnwindSafe(read).catch_unwind().await;
            let read = read.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(
                    "the read of a batch panicked".to_owned(),
                ))
            });
            if read.is_err() {
                bucket.batches.forget(&name, &own);
            }
            sender.send_replace(Some(read.map(Arc::new)));
            // The batch has the bytes now, too.
            drop(sender);
            bucket.batches.settle();
            while let Some(until) = bucket.batches.expire(&name, &own) {
                tokio::time::sleep_until(until.into()).await;
            }
        });
        begun
    }
}
