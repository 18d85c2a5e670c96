//! Reads a journal that a sidecar may be working on: entries move meanwhile, and segments go. Anything
//! that is missing or seems wrong is checked a second time, and counts only if it is found again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::contents::files_of;
use super::{Anomaly, Contents, Inspection, Shown};
use crate::file::FileId;
use crate::journal::OpenError;
use crate::journal::begin::check_format;
use crate::journal::layout::Layout;
use crate::journal::record::{Change, Record, State};
use crate::journal::tag::found_frame;
use crate::journal::volume::if_there;
use crate::journal::wal;

/// The times of the last writes to a journal's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written(Vec<(PathBuf, SystemTime)>);

/// The most repetitions of a reading because a segment has just gone.
pub(super) const TRIES: u32 = 8;

impl Inspection {
    /// Reads the journal below a data directory.
    ///
    /// # Errors
    /// When there is none, or it has another format.
    pub fn of(data_dir: &Path) -> Result<Self, OpenError> {
        let layout = Layout::new(data_dir);
        check_format(&layout)?;
        Ok(Self::new(layout.journal()))
    }

    /// All entries at one moment.
    ///
    /// # Errors
    /// As [`Inspection::list`].
    pub fn list_live(&self) -> Result<Contents, OpenError> {
        again(|| self.list())
    }

    /// All faults that persist, except bodies without an entry: such a body may be on its way in or
    /// out.
    ///
    /// # Errors
    /// As [`Inspection::verify`].
    pub fn verify_live(&self) -> Result<Vec<Anomaly>, OpenError> {
        let look = || -> Result<Vec<Anomaly>, OpenError> {
            let mut found = again(|| self.verify())?;
            found.retain(|anomaly| !matches!(anomaly, Anomaly::LoneBody(_)));
            Ok(found)
        };
        let mut found = look()?;
        if !found.is_empty() {
            let once_more = look()?;
            found.retain(|anomaly| once_more.contains(anomaly));
        }
        Ok(found)
    }

    /// All entries at one moment, and the faults of the log that persist.
    ///
    /// # Errors
    /// As [`Inspection::list`].
    pub fn list_confirmed(&self) -> Result<Contents, OpenError> {
        let first = self.list_live()?.anomalies;
        let mut contents = self.list_live()?;
        contents.anomalies.retain(|anomaly| first.contains(anomaly));
        Ok(contents)
    }

    /// All faults that persist, and bodies without an entry.
    ///
    /// # Errors
    /// As [`Inspection::verify`].
    pub fn verify_confirmed(&self) -> Result<Vec<Anomaly>, OpenError> {
        let mut found = again(|| self.verify())?;
        if !found.is_empty() {
            let once_more = again(|| self.verify())?;
            found.retain(|anomaly| once_more.contains(anomaly));
        }
        Ok(found)
    }

    /// All frames of an entry, and the faults of the log that persist.
    ///
    /// # Errors
    /// As [`Inspection::show`].
    pub fn show_confirmed(&self, id: FileId) -> Result<Shown, OpenError> {
        let mut shown = again(|| self.show(id))?;
        if !shown.damages.is_empty() {
            let first = shown.damages;
            shown = again(|| self.show(id))?;
            shown.damages.retain(|damage| first.contains(damage));
        }
        Ok(shown)
    }

    /// The times of the last writes to the log's files and the directories: while they are the same,
    /// nothing has moved.
    ///
    /// # Errors
    /// The disk's error.
    pub fn written(&self) -> Result<Written, OpenError> {
        let mut written = Vec::new();
        for directory in [self.wal(), self.bodies()] {
            let about = fs::metadata(&directory).and_then(|about| about.modified());
            written.push((directory.clone(), about.map_err(OpenError::at(&directory))?));
        }
        for found in fs::read_dir(self.wal()).map_err(OpenError::at(self.wal()))? {
            let path = found.map_err(OpenError::at(self.wal()))?.path();
            let modified = fs::metadata(&path).and_then(|about| about.modified());
            // A file that goes at this moment changes its directory.
            if let Some(modified) = if_there(modified).map_err(OpenError::at(&path))? {
                written.push((path, modified));
            }
        }
        written.sort();
        Ok(Written(written))
    }

    /// The reasons of held entries, by id; entries that were held before may be included.
    ///
    /// # Errors
    /// As [`Inspection::list`].
    pub fn held_for(&self) -> Result<HashMap<FileId, String>, OpenError> {
        again(|| {
            let mut reasons = HashMap::new();
            wal::read_only(&self.wal(), &mut |found| {
                let frame = found_frame(found);
                for (id, file) in files_of(&frame) {
                    if let State::Held(why) = file.state {
                        reasons.insert(id, why.reason);
                    }
                }
                if let Ok(Some(Record::Change(Change::Held(why)))) = frame.read() {
                    reasons.insert(frame.id, why.reason);
                }
                Ok(())
            })?;
            Ok(reasons)
        })
    }

    /// The names of files that were set aside.
    ///
    /// # Errors
    /// The disk's error.
    pub fn set_aside(&self) -> Result<Vec<String>, OpenError> {
        let corrupt = self.corrupt();
        let names = || -> io::Result<Vec<String>> {
            let found = fs::read_dir(&corrupt)?;
            let names = found.map(|found| Ok(found?.file_name().to_string_lossy().into_owned()));
            names.collect()
        };
        names().map_err(OpenError::at(&corrupt))
    }
}

/// Repeats a reading, as a segment may go between two calls to the disk.
pub(super) fn again<T>(
    mut look: impl FnMut() -> Result<T, wal::OpenError>,
) -> Result<T, OpenError> {
    let mut tries = 1;
    loop {
        match look() {
            Err(wal::OpenError::Disk { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tries < TRIES =>
            {
                tries += 1;
            }
            looked => return Ok(looked?),
        }
    }
}
