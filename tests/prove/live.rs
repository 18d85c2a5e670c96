//! Clients that read uploads as they come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::Client;

use crate::load::{Load, below};
use crate::pieces::Pieces;
use crate::random::Random;
use crate::uploads::Course;

/// The time after which a reader goes away.
const PATIENCE: Duration = Duration::from_millis(400);

/// An answer, as far as it came.
#[derive(Debug)]
struct Reading {
    from: usize,
    status: u16,
    bytes: Vec<u8>,
    /// Whether it ended by itself, and did not break off.
    is_whole: bool,
}

impl Pieces {
    /// Reads from this offset on what there is, and what comes soon; `None` if there is no answer.
    fn read_live(&self, port: u16, from: usize) -> Option<Reading> {
        let path = format!("/files/{}?live", self.id.as_ref()?);
        let range = format!("bytes={from}-");
        let client = Client::anew_each_time(port, PATIENCE);
        let read = client.try_read(&path, &[("Range", &range)]);
        let (status, bytes, is_whole) = read.ok()?;
        Some(Reading {
            from,
            status,
            bytes,
            is_whole,
        })
    }
}

impl Reading {
    /// Returns the offset up to which the upload is durable, as it was read.
    ///
    /// # Errors
    /// When it was no part of this upload, or ended before the upload.
    fn check(&self, pieces: &Pieces) -> Result<usize, String> {
        let (from, end) = (self.from, self.from + self.bytes.len());
        let status = self.status;
        let wrong = |what| Err(format!("{pieces:?} was read from {from} to {end}: {what}"));
        match status {
            200 if from > 0 => wrong("the whole"),
            200 | 206 if end > pieces.length => wrong("more than there is"),
            200 | 206 if self.bytes != pieces.bytes(from, end) => wrong("other bytes"),
            200 | 206 if self.is_whole && end != pieces.length => wrong("an end before its own"),
            200 | 206 => Ok(end),
            404 | 410 | 416 => wrong(&format!("status {status}")),
            _ => Ok(0),
        }
    }
}

impl Load<'_> {
    /// Does something with an upload while a reader follows it. The upload never has less afterwards than
    /// was read.
    pub(crate) fn read_beside<T>(
        &self,
        random: &mut Random,
        course: &mut Course,
        act: impl FnOnce(&mut Course) -> T,
    ) -> T {
        let (port, pieces) = (random.pick(self.ports), course.pieces.clone());
        let from = below(random, pieces.told + 1);
        let (done, reading) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| pieces.read_live(port, from));
            (act(course), reading.join().expect("a reader that goes on"))
        });
        if let Some(reading) = reading {
            let some = u64::from(!reading.bytes.is_empty());
            self.tally.live.fetch_add(some, Ordering::Relaxed);
            match reading.check(&pieces) {
                Ok(end) => course.pieces.seen = course.pieces.seen.max(end),
                Err(what) => self.tally.violate(&what),
            }
            self.ledger.set_pieces(&course.pieces);
        }
        done
    }
}
