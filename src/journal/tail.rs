//! The last bytes of an upload, while only the log has them for good.
//!
//! A small append is told after one sync: its frame has its bytes. They are also written to the body, so that
//! every reader finds them there, and are fsynced with a later append. Until then the log must keep them:
//! a copy forward syncs the body first, and a start writes them again.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::index::{Phase, Place};
use super::record::{Frame, Growth};
use super::step::LaidOut;
use super::wal::{InlineBody, ReadError};
use super::{Journal, point};
use crate::file::FileId;
use crate::spool::Received;

/// Bytes of an upload in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoggedBytes {
    /// The offset behind them.
    end: u64,
    place: Place,
}

/// The bytes that a start has to write again, of each upload.
pub(super) type Tails = HashMap<FileId, Vec<LoggedBytes>>;

/// Notes the bytes in a frame of an upload's growth.
pub(super) fn note(tails: &mut Tails, frame: &Frame, growth: &Growth, place: Place) {
    if frame.body_lengths.is_empty() {
        // Its append has synced the whole body.
        tails.remove(&frame.id);
    } else {
        tails.entry(frame.id).or_default().push(LoggedBytes {
            end: growth.length,
            place,
        });
    }
}

impl Journal {
    /// Lays out the frame of a small append with its bytes.
    pub(super) fn lay_tail_out(
        id: FileId,
        growth: Growth,
        body: Received<'_>,
        bytes: u32,
    ) -> io::Result<LaidOut> {
        let frame = Frame::grown(id, growth, Some(bytes)).map_err(io::Error::other)?;
        LaidOut::new(&frame, &[], |into| body.read_exact_at(into, 0))
    }

    /// Makes the bytes of an upload durable in its body, if only the log has some of them.
    pub(super) fn sync_tail(&self, id: FileId) -> io::Result<()> {
        if !self.with_tails().contains(&id) {
            return Ok(());
        }
        match OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.layout.body(id))
        {
            // It has ended meanwhile.
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            file => self.sync_file(&file?),
        }
    }

    /// Writes the bytes again that a cut may have taken from the bodies.
    pub(super) fn restore_tails(&self, tails: &Tails) -> io::Result<()> {
        let growing = tails.iter().filter(|(id, _)| {
            self.known(**id)
                .is_some_and(|known| known.phase == Phase::Growing)
        });
        for (&id, tail) in growing {
            let path = self.layout.body(id);
            let file = match OpenOptions::new().read(true).write(true).open(&path) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            for logged in tail {
                let read = self
                    .wal
                    .read_at(logged.place.group(), logged.place.offset());
                let sound = read.and_then(|content| {
                    let bodies = content.bodies.into_iter();
                    bodies.map(InlineBody::sound).collect::<Result<Vec<_>, _>>()
                });
                let bodies = match sound {
                    Ok(bodies) => bodies,
                    Err(ReadError::Disk(err)) => return Err(err),
                    Err(err @ (ReadError::Gone | ReadError::Damaged)) => {
                        log::error!("{id}: the bytes before {} in the log: {err}", logged.end);
                        continue;
                    }
                };
                for body in &bodies {
                    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
                    let from = logged.end.saturating_sub(bytes);
                    self.disk().write_at(&file, &[body], from)?;
                }
            }
            self.sync_file(&file)?;
            point!("open.tail-restored");
        }
        Ok(())
    }

    /// The uploads with bytes that only the log has for good.
    pub(super) fn with_tails(&self) -> MutexGuard<'_, HashSet<FileId>> {
        let with_tails = self.with_tails.lock();
        with_tails.unwrap_or_else(PoisonError::into_inner)
    }
}
