//! The bytes of a belonging: how a file belongs to messages. The records of files and forms of the
//! second version have them.

use std::sync::Arc;

use super::bases::Form;
use super::bytes::{Reader, Writer};
use super::error::RecordError;
use crate::message::{Belonging, Message};

type Read<T> = Result<T, RecordError>;
type Written = Result<(), RecordError>;

/// Writes nothing for a file that belongs to nothing.
pub(super) fn write_belonging(writer: &mut Writer, belonging: &Belonging) -> Written {
    if belonging.is_none() {
        return Ok(());
    }
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

/// Reads a belonging. `is_there` says whether one was written. The version of the record tells whether the file was
/// linked before.
pub(super) fn read_belonging(reader: &mut Reader<'_>, is_there: bool) -> Read<Belonging> {
    if !is_there {
        return Ok(Belonging::default());
    }
    let belonging = Belonging {
        sub: read_sub(reader)?,
        message: reader.optional(Reader::id)?,
        links: reader.list(Reader::id)?,
        was_linked: false,
        package: read_message(reader)?,
    };
    if belonging.is_none() {
        return Err(RecordError::Damaged("a belonging to nothing"));
    }
    Ok(belonging)
}

/// Writes the belongings of a form.
pub(super) fn write_form(writer: &mut Writer, form: &Form) -> Written {
    if !form.has_belonging() {
        return Ok(());
    }
    write_sub(writer, form.sub.as_ref())?;
    write_message(writer, form.message.as_ref())
}

/// Reads the belongings of a form.
pub(super) fn read_form(reader: &mut Reader<'_>, is_there: bool, form: &mut Form) -> Read<()> {
    if is_there {
        form.sub = read_sub(reader)?;
        form.message = read_message(reader)?;
        if !form.has_belonging() {
            return Err(RecordError::Damaged("a belonging to nothing"));
        }
    }
    Ok(())
}

/// Writes the message that a tombstone keeps.
pub(super) fn write_deleted(writer: &mut Writer, message: Option<&Arc<Message>>) -> Written {
    message.map_or(Ok(()), |_| write_message(writer, message))
}

/// Reads the message that a tombstone keeps.
pub(super) fn read_deleted(reader: &mut Reader<'_>, is_there: bool) -> Read<Option<Arc<Message>>> {
    if !is_there {
        return Ok(None);
    }
    let message = read_message(reader)?;
    let nothing = || RecordError::Damaged("a belonging to nothing");
    message.ok_or_else(nothing).map(Some)
}

pub(super) fn write_sub(writer: &mut Writer, sub: Option<&Arc<str>>) -> Written {
    writer.optional(sub, |writer, sub| writer.text(sub))
}

pub(super) fn read_sub(reader: &mut Reader<'_>) -> Read<Option<Arc<str>>> {
    reader.optional(|reader| Ok(reader.text()?.into()))
}

/// Writes the message as JSON. It is read only when somebody asks for the message.
fn write_message(writer: &mut Writer, message: Option<&Arc<Message>>) -> Written {
    writer.optional(message, |writer, message| {
        let json = serde_json::to_string(&**message);
        let json = json.map_err(|_| RecordError::Damaged("a message that has no JSON"))?;
        writer.text(&json)
    })
}

fn read_message(reader: &mut Reader<'_>) -> Read<Option<Arc<Message>>> {
    reader.optional(|reader| {
        let message: Result<Message, _> = serde_json::from_str(reader.text()?);
        let message = message.map_err(|_| RecordError::Damaged("no message"))?;
        Ok(Arc::new(message))
    })
}
