//! Reads a log without opening it: nothing is written, and nothing is made durable.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::damage::Damage;
use super::error::{OpenError, Refused};
use super::format::FIRST_GROUP;
use super::found::FoundFrame;
use super::judge::{Listed, Unjudged, judge};
use super::scan::Depth;
use super::segment::{HeadFound, SegmentHead};
use super::start::Report;
use crate::journal::volume::{LocalDisk, Volume};

/// Reads the log in a directory, and hands out each frame that counts, in order. If a process has the
/// log open, a segment may be removed meanwhile, or another one may begin in its file: this is
/// `NotFound`, and everything that was handed out is void. The digests of bodies are not checked:
/// [`super::Bodies::sound`] does that.
///
/// # Errors
/// A newer format, a frame that the caller refuses, the disk's error.
pub fn read_only(
    directory: &Path,
    sink: &mut dyn FnMut(&FoundFrame<'_>) -> Result<(), Refused>,
) -> Result<Report, OpenError> {
    let volume = Volume::new(Box::new(LocalDisk), directory);
    let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
    for number in volume.numbers().map_err(OpenError::at(directory))? {
        let path = volume.path(number);
        let (head, file_bytes) = head_of(&path).map_err(OpenError::at(&path))?;
        match SegmentHead::read(&head) {
            HeadFound::Newer(form) => return Err(OpenError::NewerFormat { path, form }),
            HeadFound::Sound { head, is_damaged } => listed.push(Listed {
                number,
                file_bytes,
                head,
                is_head_damaged: is_damaged,
            }),
            HeadFound::Unreadable => {
                let bytes = fs::read(&path).map_err(OpenError::at(&path))?;
                // A file of zeros is a spare.
                let is_lost = bytes.iter().any(|&byte| byte != 0);
                unreadable.extend(is_lost.then_some(Damage::File { number }));
            }
        }
    }
    let mut read = |number| fs::read(volume.path(number));
    let looked_at = listed.clone();
    let judged = judge(listed, Depth::Fronts, &mut read, sink);
    let mut judged = judged.map_err(|err| match err {
        Unjudged::Refused(refused) => OpenError::Refused(refused.0),
        Unjudged::Disk(number, err) => OpenError::at(volume.path(number))(err),
    })?;
    judged.damages.splice(0..0, unreadable);
    for segment in looked_at {
        let path = volume.path(segment.number);
        let found = head_of(&path).map_err(OpenError::at(&path))?;
        if SegmentHead::read(&found.0) != segment.found() {
            let moved = io::Error::new(io::ErrorKind::NotFound, "another segment began in it");
            return Err(OpenError::at(path)(moved));
        }
    }
    Ok(judged.report())
}

fn head_of(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut head = Vec::new();
    let limit = u64::try_from(FIRST_GROUP).map_err(io::Error::other)?;
    file.take(limit).read_to_end(&mut head)?;
    Ok((head, file_bytes))
}
