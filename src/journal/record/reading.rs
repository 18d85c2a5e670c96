//! Reads the record in a frame.

use super::bases::{Answered, Base, Entry, File, Form, Tombstone, Upload};
use super::bytes::Reader;
use super::change::{Change, Growth, LogTime, Settled, Why};
use super::error::RecordError;
use super::frame::{
    ANSWERS, DEFERRED, FILE, FORM, Frame, GONE, GROWN, HELD, INTENT, MADE, OF_UPLOADS, Record,
    SETTLED, TO_BE_MADE, TOMBSTONE, UPLOAD, VERSION, WAITING, WAS_LINKED, WITH_BELONGING,
    WITH_BYTES, WITH_SHA512,
};
use super::intent::Intent;

impl Frame {
    /// Reads its meaning; `None` if this program does not know the kind, and may skip it.
    ///
    /// # Errors
    /// When this program does not know the kind and may not skip it, or when the record is damaged.
    pub fn read(&self) -> Result<Option<Record>, RecordError> {
        let (kind, version) = (self.kind, self.version);
        let is_known = match kind {
            FILE => matches!(version, VERSION | WITH_BELONGING | WAS_LINKED),
            FORM | TOMBSTONE => matches!(version, VERSION | WITH_BELONGING),
            UPLOAD => matches!(version, OF_UPLOADS | WITH_SHA512 | TO_BE_MADE),
            GROWN => matches!(version, OF_UPLOADS | WITH_BYTES | MADE),
            ANSWERS | INTENT | DEFERRED..=SETTLED | GONE => version == VERSION,
            _ => false,
        };
        if !is_known {
            let unknown = RecordError::Unknown { kind, version };
            return if self.flags & Self::MAY_SKIP != 0 {
                Ok(None)
            } else {
                Err(unknown)
            };
        }
        let record = self.read_known()?;
        // The head must agree with the record, as some code reads the head alone.
        let own = match (&record, self.body_lengths.as_slice()) {
            (Record::Change(Change::Grown(growth)), &[bytes])
                if version == WITH_BYTES && u64::from(bytes) <= growth.length =>
            {
                Self::grown(self.id, *growth, Some(bytes))?
            }
            _ => record.frame(self.id)?,
        };
        let is_own = (self.id, self.length, self.moment) == (own.id, own.length, own.moment)
            && self.body_lengths == own.body_lengths;
        if is_own {
            Ok(Some(record))
        } else {
            Err(RecordError::Damaged("the head is of another record"))
        }
    }

    fn read_known(&self) -> Result<Record, RecordError> {
        let mut reader = Reader::new(&self.record);
        let (length, moment) = (self.length, LogTime(self.moment));
        let has_belonging = self.version >= WITH_BELONGING;
        let entry = |entry| Record::Base(Base::Entry(entry));
        let record = match self.kind {
            FILE => {
                let mut file = File::read(&mut reader, length, moment, has_belonging)?;
                file.belonging.was_linked = self.version == WAS_LINKED;
                entry(Entry::File(file))
            }
            FORM => Record::Base(Base::Form(Form::read(&mut reader, has_belonging)?)),
            UPLOAD => entry(Entry::Upload(Upload::read(
                &mut reader,
                moment,
                self.version,
            )?)),
            TOMBSTONE => entry(Entry::Tombstone(Tombstone::read(
                &mut reader,
                length,
                moment,
                has_belonging,
            )?)),
            INTENT => entry(Entry::Intent(Intent::read(&mut reader)?)),
            ANSWERS => Record::Base(Base::Answers(reader.list(Answered::read)?)),
            DEFERRED => Record::Change(Change::Deferred {
                due: moment,
                why: Why::read(&mut reader)?,
            }),
            HELD => Record::Change(Change::Held(Why::read(&mut reader)?)),
            WAITING => Record::Change(Change::Waiting),
            SETTLED => Record::Change(Change::Settled(Settled {
                at: moment,
                sha256: reader.digest()?,
            })),
            GROWN => {
                let mut growth = Growth::read(&mut reader, moment)?;
                let is_made = self.version == MADE;
                growth.made = is_made.then(|| reader.digest()).transpose()?;
                Record::Change(Change::Grown(growth))
            }
            _ => Record::Change(Change::Gone),
        };
        reader.finish()?;
        Ok(record)
    }
}
