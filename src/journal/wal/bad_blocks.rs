//! The blocks of a segment that the disk does not read.
//!
//! 1. If the disk fails a read, its blocks are read one by one, and each failure is noted.
//! 2. The read ends before a block whose first failure is younger than [`PATIENCE`]; one that begins there
//!    fails with the disk's error. The disk may come back.
//! 3. Later, such a block is read as zeros. No check of its bytes holds, so it is damage like any other.
//! 4. A block that the disk reads again is forgotten.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::files::read_up_to;
use super::format::BLOCK;
use super::lock;

/// The time for which a block must have been refused before it counts as damaged.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the disk says of bytes that it cannot read: of a bad block (EIO), and of one whose checksum
/// in the file system is wrong.
const REFUSALS: [Errno; 3] = [Errno::IO, Errno::BADMSG, Errno::UCLEAN];

/// The refused blocks by their offset, with the moment of the first refusal.
#[derive(Debug, Default)]
pub(super) struct BadBlocks(Mutex<BTreeMap<u64, Instant>>);

impl BadBlocks {
    /// Fills a buffer from this offset on, up to the end of the file or to a bad block. Returns how many
    /// bytes these are.
    ///
    /// # Errors
    /// The disk's error, if there is not one byte.
    pub(super) fn read(
        &self,
        now: Instant,
        into: &mut [u8],
        place: u64,
        read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match read_up_to(read, into, place) {
            Err(err) if is_refusal(&err) => self.read_blocks(now, into, place, read), // 1
            filled => {
                self.forget(place, *filled.as_ref().unwrap_or(&0)); // 4
                filled
            }
        }
    }

    fn read_blocks(
        &self,
        now: Instant,
        into: &mut [u8],
        place: u64,
        read: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let (mut done, mut stop) = (0, None);
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = place + wide(done);
            let in_block = usize::try_from(at % wide(BLOCK)).map_err(io::Error::other)?;
            let length = rest.len().min(BLOCK - in_block);
            let piece = rest.get_mut(..length).unwrap_or_default();
            let found = match read_up_to(read, piece, at) {
                Ok(found) => {
                    self.forget(at, found); // 4
                    found
                }
                Err(err) if is_refusal(&err) => {
                    if self.age(now, at) < PATIENCE {
                        stop = stop.or(Some((done, err))); // 2
                    }
                    piece.fill(0); // 3
                    length
                }
                Err(err) => return Err(err),
            };
            done += found;
            if found < length {
                break;
            }
        }
        match stop {
            Some((0, err)) => Err(err),
            Some((before, _)) => Ok(before),
            None => Ok(done),
        }
    }

    /// Notes a refusal. Returns the time since the first one of this block.
    fn age(&self, now: Instant, at: u64) -> Duration {
        let mut blocks = lock(&self.0);
        let first = blocks.entry(block(at)).or_insert(now);
        now.saturating_duration_since(*first)
    }

    fn forget(&self, place: u64, length: usize) {
        let mut blocks = lock(&self.0);
        if length > 0 && !blocks.is_empty() {
            let last = place + wide(length) - 1;
            blocks.retain(|at, _| !(block(place)..=block(last)).contains(at));
        }
    }
}

fn is_refusal(err: &io::Error) -> bool {
    REFUSALS
        .iter()
        .any(|refusal| err.raw_os_error() == Some(refusal.raw_os_error()))
}

/// The offset of the block with this byte.
fn block(at: u64) -> u64 {
    at - at % wide(BLOCK)
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl super::Wal {
    /// Makes all refusals older, as if the patience with them had ended.
    pub(in crate::journal) fn lose_patience(&self) {
        for segment in lock(&self.segments).values() {
            for first in lock(&segment.bad_blocks.0).values_mut() {
                *first = first.checked_sub(PATIENCE).unwrap();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    const LENGTH: usize = 4 * BLOCK;

    /// A file of ones, of which some blocks are refused.
    #[derive(Default)]
    struct Bad(RefCell<BTreeSet<u64>>);

    impl Bad {
        fn refuse(&self, blocks: &[u64]) {
            let offsets = blocks.iter().map(|number| number * wide(BLOCK));
            *self.0.borrow_mut() = offsets.collect();
        }

        fn read(&self, into: &mut [u8], place: u64) -> io::Result<usize> {
            let end = LENGTH.min(usize::try_from(place).unwrap() + into.len());
            let length = end.saturating_sub(usize::try_from(place).unwrap());
            let bad = self.0.borrow();
            let mut touched = (place..place + wide(length)).map(block);
            if touched.any(|at| bad.contains(&at)) {
                return Err(Errno::IO.into());
            }
            into[..length].fill(1);
            Ok(length)
        }
    }

    fn read(
        blocks: &BadBlocks,
        bad: &Bad,
        now: Instant,
        place: u64,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let mut into = vec![7; length];
        let read = |into: &mut [u8], place| bad.read(into, place);
        let filled = blocks.read(now, &mut into, place, &read)?;
        into.truncate(filled);
        Ok(into)
    }

    fn ones(length: usize) -> Vec<u8> {
        vec![1; length]
    }

    #[test]
    fn blocks_that_stay_refused_are_zeros_after_a_while_and_not_before() {
        let (blocks, bad, now) = (BadBlocks::default(), Bad::default(), Instant::now());
        bad.refuse(&[1, 3]);
        for later in [Duration::ZERO, PATIENCE / 2] {
            let found = read(&blocks, &bad, now + later, 50, LENGTH).unwrap();
            assert!(found == ones(BLOCK - 50));
            for place in [BLOCK, BLOCK + 9, 3 * BLOCK] {
                let told = read(&blocks, &bad, now + later, wide(place), 10);
                assert!(told.is_err_and(|err| is_refusal(&err)), "{place}");
            }
        }
        let found = read(&blocks, &bad, now + PATIENCE, 50, LENGTH - 50).unwrap();
        let zeros = vec![0; BLOCK];
        assert!(
            found
                == [&ones(BLOCK - 50), &zeros, &ones(BLOCK), &zeros]
                    .map(|part| &part[..])
                    .concat()
        );
        // Another one is refused for the first time.
        bad.refuse(&[1, 2]);
        let found = read(&blocks, &bad, now + PATIENCE, 0, LENGTH).unwrap();
        assert!(found == [ones(BLOCK), vec![0; BLOCK]].concat());
    }

    #[test]
    fn a_disk_that_comes_back_loses_nothing() {
        let (blocks, bad, now) = (BadBlocks::default(), Bad::default(), Instant::now());
        bad.refuse(&[0, 1, 2]);
        assert!(read(&blocks, &bad, now, 0, LENGTH).is_err());
        // One of them is read alone, and one beside a block that is refused still.
        bad.refuse(&[2]);
        assert!(read(&blocks, &bad, now, 10, 90).unwrap() == ones(90));
        assert!(read(&blocks, &bad, now, wide(BLOCK), LENGTH).unwrap() == ones(BLOCK));
        bad.refuse(&[0, 1]);
        for place in [0, wide(BLOCK)] {
            assert!(read(&blocks, &bad, now + PATIENCE, place, BLOCK).is_err());
        }
        bad.refuse(&[]);
        assert!(read(&blocks, &bad, now + PATIENCE, 0, LENGTH).unwrap() == ones(LENGTH));
    }

    #[test]
    fn other_errors_of_the_disk_are_told_and_never_counted() {
        let (blocks, now) = (BadBlocks::default(), Instant::now());
        for later in [Duration::ZERO, 2 * PATIENCE] {
            let read = |_: &mut [u8], _| Err(Errno::NOMEM.into());
            let told = blocks.read(now + later, &mut [0; 10], 0, &read);
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
