//! Reading a journal that belongs to a sidecar at work, without its lock and without a change.
//!
//! Entries move while they are looked at. What seems wrong is looked at once more, and counts only
//! if the entry is still where it was.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use super::entry::Record;
use super::error::OpenError;
use super::layout::{Layout, Room};
use super::log;
use super::recovery::check_window;
use super::volume::if_there;
use crate::file::FileId;

/// A journal, to be looked at. Its memory is that of one segment of the log.
#[derive(Debug, Clone)]
pub struct Inspection {
    layout: Layout,
}

/// An entry that is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: FileId,
    /// The room its record is in.
    pub room: Room,
    /// Its bytes.
    pub length: u64,
    /// Why it is held.
    pub reason: Option<String>,
}

/// What one name in the journal is.
pub type Sight = Result<Seen, Strange>;

/// Something in the journal that needs an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    /// The file's name below the journal.
    pub name: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Inspection {
    /// Looks at the journal below a data directory.
    ///
    /// # Errors
    /// `NoMarker` if there is none.
    pub fn new(data_dir: &Path) -> Result<Self, OpenError> {
        let layout = Layout::new(data_dir);
        if layout.marker().is_file() {
            Ok(Self { layout })
        } else {
            Err(OpenError::NoMarker(layout.marker()))
        }
    }

    /// Which of these the journal has anything of. What has just left it may be named too.
    ///
    /// # Errors
    /// What the disk says, and a log that cannot be read whole: nobody knows then what is in it.
    pub fn known(&self, ids: &BTreeSet<FileId>) -> Result<HashSet<FileId>, OpenError> {
        // From the log an entry goes into files, its body first, or away, and never back; then that is
        // noted in the log. A body stays as long as any promise needs it, through all rooms.
        let (mut known, mut gone) = (HashSet::new(), HashSet::new());
        self.each_segment(&mut |path, contents| {
            if contents.is_damaged {
                let fault = io::Error::other("damaged: what is in it cannot be known");
                return Err(OpenError::at(path)(fault));
            }
            for (id, found) in contents.frames.iter().filter(|(id, _)| ids.contains(id)) {
                match found {
                    Some(_) => known.insert(*id),
                    None => gone.insert(*id),
                };
            }
            Ok(())
        })?;
        known.retain(|id| !gone.contains(id));
        for &id in ids {
            let records = Room::ALL.map(|room| self.layout.record(room, id));
            for path in [self.layout.body(id)].iter().chain(&records) {
                if path.try_exists().map_err(OpenError::at(path))? {
                    known.insert(id);
                }
            }
        }
        Ok(known)
    }

    /// Looks at every entry and every strange thing, and passes on what each is.
    ///
    /// # Errors
    /// What the disk says.
    pub fn each(&self, tell: &mut dyn FnMut(Sight)) -> Result<(), OpenError> {
        for room in Room::ALL {
            each_name(&self.layout.room(room), &mut |name| {
                self.look_at(room, name)
                    .map_err(OpenError::at(self.layout.room(room)))?
                    .map_or(Ok(()), |sight| {
                        tell(sight);
                        Ok(())
                    })
            })?;
        }
        each_name(&self.layout.corrupt(), &mut |name| {
            let fault = "set aside as unreadable".to_owned();
            tell(Err(strange("corrupt", name, fault)));
            Ok(())
        })?;
        self.each_segment(&mut |path, contents| {
            if contents.is_damaged {
                let fault = "damaged in the midst".to_owned();
                let name = path.file_name().unwrap_or_default();
                tell(Err(strange("log", name, fault)));
            }
            Ok(())
        })
    }

    /// Whether the record of an entry is in this room.
    ///
    /// # Errors
    /// What the disk says.
    pub fn is_in(&self, room: Room, id: FileId) -> Result<bool, OpenError> {
        let path = self.layout.record(room, id);
        path.try_exists().map_err(OpenError::at(path))
    }

    /// `None` for an entry that is leaving.
    fn look_at(&self, room: Room, name: &OsStr) -> io::Result<Option<Sight>> {
        let Some(id) = Layout::record_id(name) else {
            let fault = "no record's name".to_owned();
            return Ok(Some(Err(strange(room.name(), name, fault))));
        };
        let path = self.layout.record(room, id);
        let Some(bytes) = if_there(fs::read(&path))? else {
            return Ok(None);
        };
        let body = if_there(fs::metadata(self.layout.body(id)))?;
        if room == Room::Settled && body.is_none() {
            // It is evicted just now: the body goes before the record.
            return Ok(None);
        }
        let judged = Record::decode(id, &bytes).and_then(|record| {
            match (room, body) {
                (Room::Deleted, _) => {}
                (_, None) => return Err("the body is missing".to_owned()),
                (_, Some(body)) => {
                    check_window(&record, body.len()).map_err(|err| err.to_string())?;
                }
            }
            Ok(Seen {
                id,
                room,
                length: record.meta.length,
                reason: record.reason,
            })
        });
        match judged {
            Ok(seen) => Ok(Some(Ok(seen))),
            Err(_) if !path.try_exists()? => Ok(None),
            Err(fault) => Ok(Some(Err(strange(room.name(), name, fault)))),
        }
    }

    fn each_segment(
        &self,
        tell: &mut dyn FnMut(&Path, &log::Contents) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        each_name(&self.layout.log(), &mut |name| {
            let Some(generation) = Layout::generation(name) else {
                return Ok(());
            };
            let path = self.layout.segment(generation);
            match if_there(fs::read(&path)).map_err(OpenError::at(&path))? {
                Some(segment) => tell(&path, &log::Contents::read(generation, &segment)),
                None => Ok(()),
            }
        })
    }
}

fn strange(directory: &str, name: &OsStr, fault: String) -> Strange {
    Strange {
        name: format!("{directory}/{}", name.to_string_lossy()),
        fault,
    }
}

/// Names one after another: a room may have more than memory should.
fn each_name(
    directory: &Path,
    act: &mut dyn FnMut(&OsStr) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    for found in fs::read_dir(directory).map_err(OpenError::at(directory))? {
        act(&found.map_err(OpenError::at(directory))?.file_name())?;
    }
    Ok(())
}
