//! Salvages uploads that may still grow: their bytes up to the offset that was told.
//!
//! 1. The base of an upload is met in the log: its body is copied, as far as it goes.
//! 2. Each later frame with bytes of it, which a cut may have kept from the body, is written over them.
//! 3. Those that reach their offset are synced, and get their names. Others keep the name of an incomplete
//!    file.

use std::collections::BTreeMap;

use super::live::again;
use super::record_words::upload_description;
use super::salvage::Salvaged;
use super::salvage_files::{Output, Part, SalvageError};
use super::{Anomaly, Contents, Inspection};
use crate::file::FileId;
use crate::journal::index::Phase;
use crate::journal::record::{Base, Change, Entry, Record, Upload};
use crate::journal::tag::found_frame;
use crate::journal::wal::{FoundFrame, read_only};

/// An upload on its way out.
struct Open {
    upload: Upload,
    part: Part,
    /// The bytes that are there without a gap.
    reached: u64,
}

impl Inspection {
    /// Writes out the uploads that are not written yet.
    pub(super) fn write_uploads(
        &self,
        contents: &Contents,
        output: &mut Output,
        salvaged: &mut Salvaged,
    ) -> Result<(), SalvageError> {
        let mut found = BTreeMap::new();
        let mut failed = None;
        again(|| {
            found.clear();
            read_only(&self.wal(), &mut |frame| {
                if failed.is_none() {
                    let met = self.meet(frame, contents, output, salvaged, &mut found);
                    failed = met.err();
                }
                Ok(())
            })
        })?;
        failed.map_or(Ok(()), Err)?;
        for (id, open) in found {
            let offset = open.upload.growth.length;
            if open.reached < offset {
                let fault = format!("has {} bytes of {offset}", open.reached);
                salvaged.anomalies.push(Anomaly::NoBody { id, fault });
                continue;
            }
            open.part.finish()?; // 3
            output.describe(&upload_description(id, &open.upload))?;
            salvaged.uploads.insert(id);
        }
        Ok(())
    }

    /// Steps 1 and 2 for one frame of the log.
    fn meet(
        &self,
        found: &FoundFrame<'_>,
        contents: &Contents,
        output: &Output,
        salvaged: &Salvaged,
        open: &mut BTreeMap<FileId, Open>,
    ) -> Result<(), SalvageError> {
        let frame = found_frame(found);
        let id = frame.id;
        match frame.read() {
            Ok(Some(Record::Base(Base::Entry(Entry::Upload(upload))))) => {
                let place = super::contents::place(found);
                let known = place.and_then(|place| contents.index.based_at(id, place));
                let grows = known.filter(|known| known.phase == Phase::Growing && known.length > 0);
                let Some(known) = grows.filter(|_| !salvaged.uploads.contains(&id)) else {
                    return Ok(());
                };
                let mut part = output.begin_file(&format!("{id}.open"))?;
                let copied = part.copy(&self.bodies().join(id.to_string()), 0, known.length)?;
                let reached = copied.unwrap_or_else(|err| {
                    log::error!("{id}: its body cannot be read: {err}");
                    0
                }); // 1
                let about = Open {
                    upload,
                    part,
                    reached,
                };
                open.insert(id, about);
            }
            Ok(Some(Record::Change(Change::Grown(growth)))) => {
                let known = contents.index.get(id);
                let is_listed = known.is_some_and(|known| growth.length <= known.length);
                // The list has nothing that came after it.
                let Some(open) = open.get_mut(&id).filter(|_| is_listed) else {
                    return Ok(());
                };
                for bytes in found.bodies.sound().flatten() {
                    let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let from = growth.length.saturating_sub(count);
                    open.part.write_at(bytes, from)?; // 2
                    if from <= open.reached {
                        open.reached = open.reached.max(growth.length);
                    }
                }
                open.upload.growth = growth;
            }
            _ => {}
        }
        Ok(())
    }
}
