//! The bytes of how a file belongs to messages: the records of files and forms of their second version have
//! them.

use std::sync::Arc;

use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::message::{Belonging, Message};

type Read<T> = Result<T, RecordError>;
type Written = Result<(), RecordError>;

pub(super) fn write_belonging(writer: &mut Writer, belonging: &Belonging) -> Written {
    write_sub(writer, belonging.sub.as_ref())?;
    writer.optional(belonging.message.as_ref(), |writer, message| {
        writer.id(*message);
        Ok(())
    })?;
    writer.list(&belonging.links, |writer, link| {
        writer.id(*link);
        Ok(())
    })?;
    write_message(writer, belonging.package.as_ref())
}

pub(super) fn read_belonging(reader: &mut Reader<'_>) -> Read<Belonging> {
    let belonging = Belonging {
        sub: read_sub(reader)?,
        message: reader.optional(Reader::id)?,
        links: reader.list(Reader::id)?,
        package: read_message(reader)?,
    };
    if belonging.is_none() {
        return Err(RecordError::Damaged("a belonging to nothing"));
    }
    Ok(belonging)
}

pub(super) fn write_sub(writer: &mut Writer, sub: Option<&Arc<str>>) -> Written {
    writer.optional(sub, |writer, sub| writer.text(sub))
}

pub(super) fn read_sub(reader: &mut Reader<'_>) -> Read<Option<Arc<str>>> {
    reader.optional(|reader| Ok(reader.text()?.into()))
}

/// In JSON, as it is read once for each time that somebody wants the message.
pub(super) fn write_message(writer: &mut Writer, message: Option<&Arc<Message>>) -> Written {
    writer.optional(message, |writer, message| {
        let json = serde_json::to_string(&**message);
        let json = json.map_err(|_| RecordError::Damaged("a message that has no JSON"))?;
        writer.text(&json)
    })
}

pub(super) fn read_message(reader: &mut Reader<'_>) -> Read<Option<Arc<Message>>> {
    reader.optional(|reader| {
        let message: Result<Message, _> = serde_json::from_str(reader.text()?);
        let message = message.map_err(|_| RecordError::Damaged("no message"))?;
        Ok(Arc::new(message))
    })
}
