//! The bytes of bases: the fields of each record, and their order.
//!
//! A frame's head contains id, length and one moment; a record does not repeat them.

use super::bases::{Answered, Body, File, Form, Part, State, Subject, Tombstone};
use super::belonging::{
    read_belonging, read_deleted, read_form, write_belonging, write_deleted, write_form,
};
use super::bytes::{Reader, Writer, sum};
use super::change::{LogTime, Settled, Why};
use super::description::{
    read_answer, read_meta, read_metadata, read_names, read_request, write_answer, write_meta,
    write_metadata, write_names, write_request,
};
use super::error::RecordError;
use crate::file::UnixMillis;
use crate::store::Sha256;

type Read<T> = Result<T, RecordError>;
type Written = Result<(), RecordError>;

const WAITING: u8 = 0;
const DEFERRED: u8 = 1;
const HELD: u8 = 2;
const SETTLED: u8 = 3;

const INLINE: u8 = 0;
const LINKED: u8 = 1;

impl State {
    pub(super) fn moment(&self) -> LogTime {
        match self {
            Self::Deferred { due, .. } => *due,
            Self::Settled(settled) => settled.at,
            Self::Waiting | Self::Held(_) => LogTime(0),
        }
    }

    fn write(&self, writer: &mut Writer) -> Written {
        match self {
            Self::Waiting => writer.byte(WAITING),
            Self::Deferred { why, .. } => {
                writer.byte(DEFERRED);
                why.write(writer)?;
            }
            Self::Held(why) => {
                writer.byte(HELD);
                why.write(writer)?;
            }
            Self::Settled(settled) => {
                writer.byte(SETTLED);
                writer.digest(settled.sha256);
            }
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>, moment: LogTime) -> Read<Self> {
        let state = match reader.byte()? {
            WAITING => Self::Waiting,
            DEFERRED => Self::Deferred {
                due: moment,
                why: Why::read(reader)?,
            },
            HELD => Self::Held(Why::read(reader)?),
            SETTLED => Self::Settled(Settled {
                at: moment,
                sha256: reader.digest()?,
            }),
            _ => return Err(RecordError::Damaged("no such state")),
        };
        if state.moment() == moment {
            Ok(state)
        } else {
            Err(RecordError::Damaged("a moment of nothing"))
        }
    }
}

impl Body {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Inline => writer.byte(INLINE),
            Self::Linked { offset } => {
                writer.byte(LINKED);
                writer.number64(*offset);
            }
        }
    }

    fn read(reader: &mut Reader<'_>, length: u64) -> Read<Self> {
        match reader.byte()? {
            INLINE => Ok(Self::Inline),
            LINKED => {
                let offset = reader.number64()?;
                sum([offset, length].into_iter())?;
                Ok(Self::Linked { offset })
            }
            _ => Err(RecordError::Damaged("no such body")),
        }
    }
}

impl File {
    pub(super) fn write(&self, writer: &mut Writer) -> Written {
        write_meta(writer, &self.meta)?;
        self.body.write(writer);
        write_stated(writer, self.stated)?;
        writer.number64(self.subject.0);
        writer.optional(self.answer.as_ref(), |writer, answer| {
            write_answer(writer, answer);
            Ok(())
        })?;
        self.state.write(writer)?;
        write_belonging(writer, &self.belonging)
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        length: u64,
        moment: LogTime,
        has_belonging: bool,
    ) -> Read<Self> {
        Ok(Self {
            meta: read_meta(reader, length)?,
            body: Body::read(reader, length)?,
            stated: reader.optional(Reader::digest)?,
            subject: Subject(reader.number64()?),
            answer: reader.optional(read_answer)?,
            state: State::read(reader, moment)?,
            belonging: read_belonging(reader, has_belonging)?,
        })
    }
}

impl Form {
    pub(super) fn write(&self, writer: &mut Writer) -> Written {
        write_metadata(writer, &self.metadata)?;
        writer.number64(self.uploaded.0);
        writer.number64(self.subject.0);
        writer.optional(self.request.as_ref(), |writer, request| {
            write_request(writer, request);
            Ok(())
        })?;
        writer.list(&self.parts, |writer, part| {
            writer.id(part.id);
            write_names(writer, &part.filename, &part.content_type)?;
            writer.number64(part.length);
            part.body.write(writer);
            write_stated(writer, part.stated)?;
            writer.optional(part.metadata.as_ref(), |writer, metadata| {
                write_metadata(writer, metadata)
            })
        })?;
        write_form(writer, self)
    }

    pub(super) fn read(reader: &mut Reader<'_>, has_belonging: bool) -> Read<Self> {
        let mut form = Self::read_parts(reader)?;
        read_form(reader, has_belonging, &mut form)?;
        Ok(form)
    }

    fn read_parts(reader: &mut Reader<'_>) -> Read<Self> {
        Ok(Self {
            sub: None,
            message: None,
            metadata: read_metadata(reader)?,
            uploaded: UnixMillis(reader.number64()?),
            subject: Subject(reader.number64()?),
            request: reader.optional(read_request)?,
            parts: reader.list(|reader| {
                let id = reader.id()?;
                let (filename, content_type) = read_names(reader)?;
                let length = reader.number64()?;
                Ok(Part {
                    id,
                    filename,
                    content_type,
                    length,
                    body: Body::read(reader, length)?,
                    stated: reader.optional(Reader::digest)?,
                    metadata: reader.optional(read_metadata)?,
                })
            })?,
        })
    }
}

impl Tombstone {
    pub(super) fn write(&self, writer: &mut Writer) -> Written {
        writer.byte(u8::from(self.may_be_stored));
        writer.optional(self.answered.as_ref(), |writer, (answer, meta)| {
            write_answer(writer, answer);
            write_meta(writer, meta)
        })?;
        write_deleted(writer, self.message.as_ref())
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        length: u64,
        at: LogTime,
        has_belonging: bool,
    ) -> Read<Self> {
        Ok(Self {
            at,
            may_be_stored: reader.flag()?,
            answered: reader
                .optional(|reader| Ok((read_answer(reader)?, read_meta(reader, length)?)))?,
            message: read_deleted(reader, has_belonging)?,
        })
    }
}

impl Answered {
    pub(super) fn write(&self, writer: &mut Writer) -> Written {
        writer.id(self.id);
        writer.number64(self.meta.length);
        write_meta(writer, &self.meta)?;
        write_answer(writer, &self.answer);
        writer.byte(u8::from(self.is_deleted));
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let id = reader.id()?;
        let length = reader.number64()?;
        Ok(Self {
            id,
            meta: read_meta(reader, length)?,
            answer: read_answer(reader)?,
            is_deleted: reader.flag()?,
        })
    }
}

pub(super) fn write_stated(writer: &mut Writer, stated: Option<Sha256>) -> Written {
    writer.optional(stated.as_ref(), |writer, stated| {
        writer.digest(*stated);
        Ok(())
    })
}
