//! Salvages intact data from a journal with any faults.
//!
//! 1. The log is read; each whole body is written out under its entry's id, and synced. So are the bytes of
//!    uploads that may still grow, up to their offset, under `ID.open`.
//! 2. If a sidecar may have moved entries meanwhile, the log is read again for the bodies that are not
//!    written yet.
//! 3. Bodies without an entry are copied too.
//! 4. The directories are synced.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::contents::Bytes;
use super::live::again;
use super::record_words::description;
use super::salvage_files::{Output, SalvageError};
use super::verify::{pieces, stated_fault};
use super::{Anomaly, Contents, Inspection};
use crate::file::FileId;
use crate::journal::record;
use crate::journal::room::Room;
use crate::journal::room::room_of;

/// The most readings of the log for entries that have moved.
const PASSES: u32 = 4;

/// The result of a salvage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Files of entries, each under its id.
    pub files: BTreeSet<FileId>,
    /// Uploads that may still grow, each under its id with `.open` behind it.
    pub uploads: BTreeSet<FileId>,
    /// Bodies without an entry, each under its own name.
    pub lone: Vec<String>,
    /// The faults of the log, and files without a whole body.
    pub anomalies: Vec<Anomaly>,
    /// Whether a sidecar changed the journal all the time, so that entries that moved may be missing.
    pub is_moving: bool,
}

impl Inspection {
    /// Writes every whole body and every upload that may still grow into a new directory, with a line about
    /// each, and bodies without an entry. Everything is synced.
    ///
    /// # Errors
    /// When the directory exists, the log has a newer format, or the disk returns an error; files that
    /// were written up to then stay.
    pub fn salvage(&self, to: &Path) -> Result<Salvaged, SalvageError> {
        let mut written = self.written()?;
        let mut contents = self.list_confirmed()?;
        let mut output = Output::begin(to, &self.journal)?;
        let mut salvaged = Salvaged::default();
        for pass in 1.. {
            salvaged.anomalies.clone_from(&contents.anomalies);
            self.write_files(&contents, &mut output, &mut salvaged)?; // 1
            self.write_uploads(&contents, &mut output, &mut salvaged)?;
            let now = self.written()?;
            salvaged.is_moving = now != written;
            if !salvaged.is_moving || pass == PASSES {
                break;
            }
            written = now;
            contents = self.list_confirmed()?; // 2
        }
        self.copy_lone(&contents, &mut output, &mut salvaged)?; // 3
        output.finish()?; // 4
        Ok(salvaged)
    }

    /// Writes out all whole bodies that are not written yet.
    fn write_files(
        &self,
        contents: &Contents,
        output: &mut Output,
        salvaged: &mut Salvaged,
    ) -> Result<(), SalvageError> {
        let before = salvaged.anomalies.len();
        let mut failed = None;
        again(|| {
            salvaged.anomalies.truncate(before);
            self.each_file(contents, &mut |id, known, file, bytes| {
                if failed.is_some() || salvaged.files.contains(&id) {
                    return;
                }
                match self.write_body(id, file, bytes, output) {
                    Ok(None) => {
                        salvaged.files.insert(id);
                        let state = room_of(known.phase).map_or("growing", Room::name);
                        failed = output.describe(&description(id, file, state)).err();
                    }
                    // The body of a settled entry may be gone: the store has it.
                    Ok(Some(fault)) if known.phase.is_pending() => {
                        salvaged.anomalies.push(Anomaly::NoBody { id, fault });
                    }
                    Ok(Some(_)) => {}
                    Err(err) => failed = Some(err),
                }
            })
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Writes a body out; returns its fault if it is not whole. If it cannot be read to its end, or has
    /// not the digest that its sender stated, the bytes that were read are kept under a name that says
    /// so.
    fn write_body(
        &self,
        id: FileId,
        file: &record::File,
        bytes: Bytes<'_>,
        output: &Output,
    ) -> Result<Option<String>, SalvageError> {
        let fault = self.fault_of(id, file, bytes);
        if let Some(fault) = fault.map_err(SalvageError::at(&self.bodies()))? {
            return Ok(Some(fault));
        }
        let mut part = output.begin_file(&id.to_string())?;
        if let Bytes::Inline(bytes) = bytes {
            part.write(bytes)?;
        }
        for (name, offset, length) in pieces(id, file) {
            match part.copy(&self.bodies().join(&name), offset, length)? {
                Ok(copied) if copied == length => {}
                Ok(_) => return Ok(Some(format!("{name} is cut short"))),
                Err(err) => return Ok(Some(format!("{name} cannot be read: {err}"))),
            }
        }
        if let Some(fault) = stated_fault(file, part.hasher()) {
            return Ok(Some(fault));
        }
        part.finish()?;
        Ok(None)
    }

    fn copy_lone(
        &self,
        contents: &Contents,
        output: &mut Output,
        salvaged: &mut Salvaged,
    ) -> Result<(), SalvageError> {
        let bodies = self.bodies();
        let lone = self.lone_bodies(contents);
        for name in lone.map_err(SalvageError::at(&bodies))? {
            let from = bodies.join(&name);
            // A sidecar makes no links or directories here.
            if !fs::symlink_metadata(&from).is_ok_and(|about| about.is_file()) {
                continue;
            }
            let mut part = output.begin_lone(&name)?;
            match part.copy(&from, 0, u64::MAX)? {
                Ok(_) => {
                    part.finish()?;
                    salvaged.lone.push(name);
                }
                Err(err) => {
                    let fault = format!("{name} in {}: {err}", bodies.display());
                    log::error!("{fault}");
                    salvaged.anomalies.push(Anomaly::LoneBody(name));
                }
            }
        }
        Ok(())
    }
}
