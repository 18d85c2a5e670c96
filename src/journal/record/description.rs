//! The bytes of a file's description, and of the request that it answers. Several bases contain them.

use super::bases::{Answer, KeyedRequest, PartOf, Subject};
use super::bytes::{Reader, Writer};
use super::change::LogTime;
use super::error::RecordError;
use crate::file::{FileMeta, FileName, MediaType, Metadata, UnixMillis};

type Read<T> = Result<T, RecordError>;
type Written = Result<(), RecordError>;

/// The most files in a form.
const MOST_PARTS: u32 = 65_536;

pub(super) fn write_meta(writer: &mut Writer, meta: &FileMeta) -> Written {
    write_names(writer, &meta.filename, &meta.content_type)?;
    writer.number64(meta.uploaded.0);
    write_metadata(writer, &meta.metadata)
}

pub(super) fn read_meta(reader: &mut Reader<'_>, length: u64) -> Read<FileMeta> {
    let (filename, content_type) = read_names(reader)?;
    Ok(FileMeta {
        filename,
        content_type,
        length,
        uploaded: UnixMillis(reader.number64()?),
        metadata: read_metadata(reader)?,
        revision: None,
    })
}

pub(super) fn write_names(
    writer: &mut Writer,
    name: &FileName,
    content_type: &MediaType,
) -> Written {
    writer.text(name.as_str())?;
    writer.text(content_type.as_str())
}

pub(super) fn read_names(reader: &mut Reader<'_>) -> Read<(FileName, MediaType)> {
    Ok((read_name(reader)?, read_type(reader)?))
}

pub(super) fn read_name(reader: &mut Reader<'_>) -> Read<FileName> {
    FileName::from_claim(reader.text()?).ok_or(RecordError::Damaged("no name"))
}

/// Another version may have accepted more types than this one: no promise is given up for that.
pub(super) fn read_type(reader: &mut Reader<'_>) -> Read<MediaType> {
    let content_type = MediaType::parse(reader.text()?);
    Ok(content_type.unwrap_or_else(|_| MediaType::octet_stream()))
}

pub(super) fn write_metadata(writer: &mut Writer, metadata: &Metadata) -> Written {
    writer.count(metadata.pairs().count())?;
    metadata.pairs().try_for_each(|(name, text)| {
        writer.text(name)?;
        writer.text(text)
    })
}

pub(super) fn read_metadata(reader: &mut Reader<'_>) -> Read<Metadata> {
    let mut metadata = Metadata::default();
    for _ in 0..reader.number32()? {
        let (name, text) = (reader.text()?, reader.text()?);
        metadata
            .add(name.to_owned(), text.to_owned())
            .map_err(|_| RecordError::Damaged("metadata that is not taken"))?;
    }
    Ok(metadata)
}

pub(super) fn write_request(writer: &mut Writer, request: &KeyedRequest) {
    writer.digest(request.key);
    writer.digest(request.content);
    writer.number64(request.sender.0);
    writer.number64(request.at.0);
}

pub(super) fn read_request(reader: &mut Reader<'_>) -> Read<KeyedRequest> {
    Ok(KeyedRequest {
        key: reader.digest()?,
        content: reader.digest()?,
        sender: Subject(reader.number64()?),
        at: LogTime(reader.number64()?),
    })
}

pub(super) fn write_answer(writer: &mut Writer, answer: &Answer) {
    write_request(writer, &answer.request);
    writer.id(answer.part.first);
    writer.number32(answer.part.position);
    writer.number32(answer.part.files);
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Read<Answer> {
    let request = read_request(reader)?;
    let part = PartOf {
        first: reader.id()?,
        position: reader.number32()?,
        files: reader.number32()?,
    };
    if part.position < part.files && part.files <= MOST_PARTS {
        Ok(Answer { request, part })
    } else {
        Err(RecordError::Damaged("a part of no form"))
    }
}
