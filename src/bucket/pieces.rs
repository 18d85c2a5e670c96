//! The bytes of a range, put together from the batches that have some of them.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Bucket;
use super::batch::{Held, LINGER, Name, PARTLY_READ_LINGER, Share};
use super::division::Division;
use crate::store::{StoreError, StoredFile};

/// The bytes of a window, and what keeps their batches from making room: the bytes are dropped
/// first.
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
    /// The bytes of a window of a file, when all batches that have some of them are there.
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
        let mut pieces = Vec::new();
        // Of all of them before the first byte: see `Division::first_window`.
        for (share, number) in shares.iter_mut().zip(division.batches(window)) {
            pieces.extend(share.batch().await?.cut(window));
            let is_to_end = window.end >= division.bytes(number).end;
            share.stay(if is_to_end {
                LINGER
            } else {
                PARTLY_READ_LINGER
            });
        }
        Ok(Pieces {
            pieces: pieces.into_iter(),
            _shares: shares,
        })
    }

    /// A share in each batch of a window. Those that nobody has read yet are being read from here on.
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

    /// As [`Bucket::shares`], if the batches that are missing have room in what was reserved; else
    /// how many bytes they have.
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

    /// Reads a batch, in a task of its own: those who wait for it may go.
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
            let read = bucket.read_batch(&file, division, name.number, room);
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
            // It has the bytes too.
            drop(sender);
            bucket.batches.settle();
            while let Some(until) = bucket.batches.expire(&name, &own) {
                tokio::time::sleep_until(until.into()).await;
            }
        });
        begun
    }
}
