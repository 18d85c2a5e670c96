//! Finds all faults of a journal, bodies included.

use std::fs::{self, File as DiskFile};
use std::io::{self, Read as _, Seek as _, SeekFrom};

use sha2::{Digest as _, Sha256 as Hasher};

use super::contents::Bytes;
use super::{Anomaly, Contents, EntryInfo, Inspection};
use crate::file::FileId;
use crate::journal::index::Phase;
use crate::journal::record::{Body, File};
use crate::journal::volume::if_there;
use crate::journal::wal::OpenError;
use crate::store::Sha256;

impl Inspection {
    /// Reads the whole journal, and verifies all checks.
    ///
    /// # Errors
    /// When the log has a newer format; the disk's error.
    pub fn verify(&self) -> Result<Vec<Anomaly>, OpenError> {
        let mut contents = self.list()?;
        let mut found = std::mem::take(&mut contents.anomalies);
        let mut failed = None;
        self.each_file(&contents, &mut |id, known, file, bytes| {
            let is_needed = known.phase.is_pending();
            let fault = self.fault_of(id, file, bytes);
            let fault = fault.and_then(|fault| match fault {
                None if is_needed => self.digest_fault(id, file),
                fault => Ok(fault),
            });
            match fault {
                Ok(Some(fault)) if is_needed => found.push(Anomaly::NoBody { id, fault }),
                Ok(_) => {}
                Err(err) => failed = Some(err),
            }
        })?;
        if let Some(err) = failed {
            return Err(OpenError::at(self.bodies())(err));
        }
        for EntryInfo { id, known } in contents.entries() {
            let is_open = known.phase == Phase::Growing && known.length > 0;
            let fault = if is_open {
                self.range_fault(&id.to_string(), known.length)
            } else {
                Ok(None)
            };
            let fault = fault.map_err(OpenError::at(self.bodies()))?;
            found.extend(fault.map(|fault| Anomaly::NoBody { id, fault }));
        }
        let lone = self.lone_bodies(&contents);
        let lone = lone.map_err(OpenError::at(self.bodies()))?;
        found.extend(lone.into_iter().map(Anomaly::LoneBody));
        Ok(found)
    }

    /// The fault of a file's body, as far as it shows without reading the body.
    pub(super) fn fault_of(
        &self,
        id: FileId,
        file: &File,
        bytes: Bytes<'_>,
    ) -> io::Result<Option<String>> {
        if let Bytes::Damaged(position) = bytes {
            let (segment, place) = (position.generation, position.place);
            let fault = format!("is damaged in the log, in segment {segment} at {place}");
            return Ok(Some(fault));
        }
        for (name, offset, length) in pieces(id, file) {
            let fault = self.range_fault(&name, offset.saturating_add(length))?;
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    /// The fault of a body that must have this many bytes.
    fn range_fault(&self, name: &str, bytes: u64) -> io::Result<Option<String>> {
        let there = if_there(fs::metadata(self.bodies().join(name)))?;
        Ok(match there {
            None => Some(format!("{name} is missing")),
            Some(there) if there.len() < bytes => Some(format!("{name} is cut short")),
            Some(_) => None,
        })
    }

    /// Reads a body that is not inline, if its sender stated its digest.
    fn digest_fault(&self, id: FileId, file: &File) -> io::Result<Option<String>> {
        if file.stated.is_none() || file.body == Body::Inline {
            return Ok(None);
        }
        let mut hasher = Hasher::new();
        for (name, offset, length) in pieces(id, file) {
            let Some(body) = if_there(DiskFile::open(self.bodies().join(&name)))? else {
                return Ok(Some(format!("{name} is missing")));
            };
            if let Err(err) = hash(body, offset, length, &mut hasher) {
                return Ok(Some(format!("{name} cannot be read: {err}")));
            }
        }
        Ok(stated_fault(file, hasher))
    }

    /// Names of bodies that no entry has, in order.
    pub(super) fn lone_bodies(&self, contents: &Contents) -> io::Result<Vec<String>> {
        let mut lone = Vec::new();
        for found in fs::read_dir(self.bodies())? {
            let name = found?.file_name().to_string_lossy().into_owned();
            let id = name.split('.').next().and_then(|id| id.parse().ok());
            let known = id.and_then(|id| contents.index.get(id));
            if known.is_none_or(|known| known.phase == Phase::Deleted) {
                lone.push(name);
            }
        }
        lone.sort_unstable();
        Ok(lone)
    }
}

/// The fault, if the hashed bytes do not have the digest that the sender stated.
pub(super) fn stated_fault(file: &File, hasher: Hasher) -> Option<String> {
    let found = Sha256(hasher.finalize().into());
    let is_other = file.stated.is_some_and(|stated| stated != found);
    is_other.then(|| "is not the one whose digest was checked when it came".to_owned())
}

fn hash(mut body: DiskFile, offset: u64, length: u64, hasher: &mut Hasher) -> io::Result<()> {
    body.seek(SeekFrom::Start(offset))?;
    let mut part = body.take(length);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match part.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => hasher.update(buffer.get(..read).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// The files of a body: the name of each, and its range in the body.
pub(super) fn pieces(id: FileId, file: &File) -> Vec<(String, u64, u64)> {
    match &file.body {
        Body::Inline => Vec::new(),
        Body::Linked { offset } => vec![(id.to_string(), *offset, file.meta.length)],
    }
}
