//! The bytes of uploads that may still grow.

use super::bases::{Subject, Upload};
use super::becomes::Becomes;
use super::belonging::{read_sub, write_sub};
use super::bytes::{Reader, Writer};
use super::change::{Growth, LogTime};
use super::description::{
    read_answer, read_metadata, read_name, read_type, write_answer, write_metadata,
};
use super::error::RecordError;
use super::frame::{TO_BE_MADE, WITH_SHA512};
use super::spelling::write_stated;
use crate::file::{UnixMillis, WholeDigests};

type Read<T> = Result<T, RecordError>;
type Written = Result<(), RecordError>;

impl Upload {
    pub(super) fn write(&self, writer: &mut Writer) -> Written {
        writer.optional(self.filename.as_ref(), |writer, name| {
            writer.text(name.as_str())
        })?;
        writer.text(self.content_type.as_str())?;
        write_metadata(writer, &self.metadata)?;
        writer.number64(self.begun.0);
        self.growth.write(writer)?;
        writer.number64(self.subject.0);
        write_sub(writer, self.sub.as_ref())?;
        writer.optional(self.answer.as_ref(), |writer, answer| {
            write_answer(writer, answer);
            Ok(())
        })?;
        write_stated(writer, self.stated.sha256)?;
        writer.byte(match self.becomes {
            Becomes::File => 0,
            Becomes::Part => 1,
            Becomes::Form => 2,
            Becomes::Message => 3,
        });
        if self.becomes.is_made() {
            writer.optional(self.growth.made.as_ref(), |writer, key| {
                writer.digest(*key);
                Ok(())
            })?;
            return writer.optional(self.stated.sha512.as_ref(), |writer, sha512| {
                writer.sha512(*sha512);
                Ok(())
            });
        }
        if let Some(sha512) = &self.stated.sha512 {
            writer.sha512(*sha512);
        }
        Ok(())
    }

    /// The record ends with a SHA-512 if it has one.
    pub(super) fn read(reader: &mut Reader<'_>, lapses: LogTime, version: u8) -> Read<Self> {
        let mut upload = Self::read_common(reader, lapses)?;
        match version {
            TO_BE_MADE => {
                upload.growth.made = reader.optional(Reader::digest)?;
                upload.stated.sha512 = reader.optional(Reader::sha512)?;
            }
            WITH_SHA512 => upload.stated.sha512 = Some(reader.sha512()?),
            _ => {}
        }
        if upload.becomes.is_made() != (version == TO_BE_MADE) {
            return Err(RecordError::Damaged("an upload of another version"));
        }
        Ok(upload)
    }

    fn read_common(reader: &mut Reader<'_>, lapses: LogTime) -> Read<Self> {
        Ok(Self {
            filename: reader.optional(read_name)?,
            content_type: read_type(reader)?,
            metadata: read_metadata(reader)?,
            begun: UnixMillis(reader.number64()?),
            growth: Growth::read(reader, lapses)?,
            subject: Subject(reader.number64()?),
            sub: read_sub(reader)?,
            answer: reader.optional(read_answer)?,
            stated: WholeDigests {
                sha256: reader.optional(Reader::digest)?,
                sha512: None,
            },
            becomes: match reader.byte()? {
                0 => Becomes::File,
                1 => Becomes::Part,
                2 => Becomes::Form,
                3 => Becomes::Message,
                _ => return Err(RecordError::Damaged("an upload that becomes nothing")),
            },
        })
    }
}
