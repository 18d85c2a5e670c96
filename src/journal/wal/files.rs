//! The files that a start finds, and what it does with each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};

use super::Segment;
use super::Shape;
use super::error::OpenError;
use super::format::FIRST_GROUP;
use super::judge::Listed;
use super::segment::{HeadFound, SegmentHead};
use super::spares::Spare;
use crate::journal::volume::Volume;

/// The files of a log.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) open: BTreeMap<u32, File>,
    pub(super) listed: Vec<Listed>,
    pub(super) unreadable: Vec<u32>,
    /// Files of zeros with the size of a new segment.
    pub(super) blank: Vec<u32>,
    /// Files of zeros with another size.
    pub(super) unmade: Vec<u32>,
}

impl Files {
    pub(super) fn list(volume: &Volume, shape: Shape) -> Result<Self, OpenError> {
        let mut files = Self::default();
        let numbers = volume.numbers().map_err(OpenError::at(volume.path(0)))?;
        for number in numbers {
            let path = volume.path(number);
            let file = volume.open(number).map_err(OpenError::at(&path))?;
            let read = || -> io::Result<(u64, Vec<u8>)> {
                let mut head = vec![0; FIRST_GROUP];
                let read = |into: &mut [u8], place| file.read_at(into, place);
                let length = read_up_to(&read, &mut head, 0)?;
                head.truncate(length);
                Ok((file.metadata()?.len(), head))
            };
            let (file_bytes, head) = read().map_err(OpenError::at(&path))?;
            match SegmentHead::read(&head) {
                HeadFound::Newer(form) => return Err(OpenError::NewerFormat { path, form }),
                HeadFound::Sound { head, is_damaged } => files.listed.push(Listed {
                    number,
                    file_bytes,
                    head,
                    is_head_damaged: is_damaged,
                }),
                HeadFound::Unreadable => {
                    let bytes = read_all(&file).map_err(OpenError::at(&path))?;
                    let list = if bytes.iter().any(|&byte| byte != 0) {
                        &mut files.unreadable
                    } else if file_bytes == u64::from(shape.segment_bytes) {
                        &mut files.blank
                    } else {
                        &mut files.unmade
                    };
                    list.push(number);
                }
            }
            files.open.insert(number, file);
        }
        Ok(files)
    }

    /// Takes out the files of the living segments.
    pub(super) fn segments(&mut self, living: &[Listed]) -> BTreeMap<u64, Arc<Segment>> {
        let segments = living.iter().enumerate().filter_map(|(at, listed)| {
            let head = listed.head;
            let next = living.get(at + 1).map(|next| next.head);
            let follows = next.filter(|next| next.seal.generation == head.seal.generation + 1);
            let sealed = follows.map_or_else(OnceLock::new, |next| next.before.into());
            let file = Arc::new(self.open.remove(&listed.number)?);
            let segment = Segment::new(listed.number, file, head, sealed);
            Some((head.seal.generation, Arc::new(segment)))
        });
        segments.collect()
    }

    /// Takes out the files in which segments may begin, files of zeros first. Also returns the numbers
    /// of files to remove.
    pub(super) fn not_living(&mut self, dead: &[Listed]) -> (Vec<Spare>, Vec<u32>) {
        let (damaged, dead): (Vec<&Listed>, Vec<&Listed>) =
            dead.iter().partition(|listed| listed.is_head_damaged);
        let dead = dead.into_iter().map(|listed| (listed.number, false));
        let blank = self.blank.drain(..).map(|number| (number, true));
        let numbers = blank.chain(dead);
        let spare = |(number, is_blank)| {
            let file = Arc::new(self.open.remove(&number)?);
            Some(Spare {
                number,
                file,
                is_blank,
            })
        };
        let spares = numbers.filter_map(spare).collect();
        let damaged = damaged.into_iter().map(|listed| listed.number);
        (spares, damaged.chain(self.unmade.drain(..)).collect())
    }
}

/// Reads a whole file.
pub(super) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let length = read_up_to(&|into, place| file.read_at(into, place), &mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Fills a buffer from this offset on as far as the file has bytes.
pub(super) fn read_up_to(
    read_at: &dyn Fn(&mut [u8], u64) -> io::Result<usize>,
    buffer: &mut [u8],
    mut place: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_at(rest, place) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                place += u64::try_from(read).map_err(io::Error::other)?;
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}
