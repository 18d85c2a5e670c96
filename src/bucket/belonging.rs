//! The fields of a document that tell how its file belongs to messages. Any driver can read them.
//!
//! | in `metadata` | of | is |
//! |---|---|---|
//! | `sub` | any file | the subject of the token that it was uploaded with |
//! | `message` | package, part | the message that it came with: of a package, its own id |
//! | `links` | part, linked file | the messages that it belongs to |
//! | `was_linked` | linked file | `true`: a message that had it was deleted while others had it, too |
//! | `unlinked_expires` | any file that came alone | when it goes, if it has no link then |
//! | `dying` | any of these | when its last link was taken, or its message deleted: it goes |
//! | `from`, `to`, `client_id`, `parts` | package | the message; each part has `file` and its descriptor |

use std::sync::Arc;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::{CStr, RawArrayBuf, RawBsonRef};
use mongodb::bson::{RawArray, RawDocument, RawDocumentBuf, cstr};

use super::document;
use crate::file::{FileId, FileName, MediaType};
use crate::message::{
    Belonging, BlurHash, ChosenName, Message, Part, Party, Receivers, Stated, ThumbHash, Waveform,
};
use crate::store::{Sha256, StoreError};

/// Returns the metadata fields of a belonging.
///
/// # Errors
/// When a number does not fit into its BSON type.
pub(super) fn fields(belonging: &Belonging) -> Result<RawDocumentBuf, StoreError> {
    let mut fields = RawDocumentBuf::new();
    let metadata = &mut fields;
    append_text(metadata, cstr!("sub"), belonging.sub.as_deref());
    if let Some(message) = belonging.message {
        metadata.append(cstr!("message"), document::object_id(message));
    }
    if !belonging.links.is_empty() {
        let links = belonging.links.iter().copied().map(document::object_id);
        metadata.append(cstr!("links"), links.collect::<RawArrayBuf>());
    }
    if belonging.was_linked {
        metadata.append(cstr!("was_linked"), true);
    }
    let Some(message) = &belonging.package else {
        return Ok(fields);
    };
    append_text(
        metadata,
        cstr!("from"),
        message.from.as_ref().map(Party::as_str),
    );
    let to = message.to.iter().map(Party::as_str);
    metadata.append(cstr!("to"), to.collect::<RawArrayBuf>());
    let client_id = message.client_id.as_ref().map(ChosenName::as_str);
    append_text(metadata, cstr!("client_id"), client_id);
    let parts = message.parts.iter().map(part);
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    metadata.append(cstr!("parts"), parts.into_iter().collect::<RawArrayBuf>());
    Ok(fields)
}

fn append_text(document: &mut RawDocumentBuf, name: &CStr, text: Option<&str>) {
    if let Some(text) = text {
        document.append(name, text);
    }
}

fn append_number(document: &mut RawDocumentBuf, name: &CStr, number: Option<i64>) {
    if let Some(number) = number {
        document.append(name, number);
    }
}

fn part(part: &Part) -> Result<RawDocumentBuf, StoreError> {
    let length = i64::try_from(part.length);
    let length = length.map_err(|err| StoreError::Refused(err.to_string()))?;
    let stated = &part.stated;
    let mut described = RawDocumentBuf::new();
    described.append(cstr!("file"), document::object_id(part.file));
    append_text(
        &mut described,
        cstr!("name"),
        part.name.as_ref().map(ChosenName::as_str),
    );
    described.append(cstr!("filename"), part.filename.as_str());
    described.append(cstr!("contentType"), part.content_type.as_str());
    described.append(cstr!("length"), length);
    described.append(cstr!("sha256"), part.sha256.to_string());
    let pixels = |number: Option<std::num::NonZeroU16>| number.map(|number| number.get().into());
    append_number(&mut described, cstr!("width"), pixels(stated.width));
    append_number(&mut described, cstr!("height"), pixels(stated.height));
    append_number(
        &mut described,
        cstr!("duration_ms"),
        stated.duration_ms.map(Into::into),
    );
    if let Some(waveform) = &stated.waveform {
        let samples = waveform.samples().iter().map(|&sample| i32::from(sample));
        described.append(cstr!("waveform"), samples.collect::<RawArrayBuf>());
    }
    append_text(
        &mut described,
        cstr!("blurhash"),
        stated.blurhash.as_ref().map(BlurHash::as_str),
    );
    append_text(
        &mut described,
        cstr!("thumbhash"),
        stated.thumbhash.as_ref().map(ThumbHash::as_str),
    );
    Ok(described)
}

/// Reads the message of a package's document; `None` if the document is no package's, or if its
/// fields cannot be read.
pub(super) fn read_message(file: &RawDocument) -> Option<Message> {
    let metadata = file.get_document("metadata").ok()?;
    if !is_package(file) {
        return None;
    }
    let to = texts(metadata, "to")?.map(Party::try_from);
    let to: Vec<_> = to.collect::<Result<_, _>>().ok()?;
    let parts = metadata.get_array("parts").ok()?.into_iter();
    let parts = parts.map(|part| read_part(part.ok()?.as_document()?));
    Some(Message {
        from: optional(metadata, "from", Party::try_from).ok()?,
        to: Receivers::try_from(to).ok()?,
        client_id: optional(metadata, "client_id", ChosenName::try_from).ok()?,
        parts: parts.collect::<Option<_>>()?,
    })
}

/// Returns whether a document is a package's.
pub(super) fn is_package(file: &RawDocument) -> bool {
    let own = file.get_object_id("_id").ok();
    let metadata = file.get_document("metadata").ok();
    let message = metadata.and_then(|metadata| metadata.get_object_id("message").ok());
    own.is_some() && own == message
}

/// Reads the subject of the token that a document's file was uploaded with.
pub(super) fn read_sub(file: &RawDocument) -> Option<Arc<str>> {
    let metadata = file.get_document("metadata").ok()?;
    metadata.get_str("sub").ok().map(Into::into)
}

/// Returns whether a document's file is dying.
pub(super) fn is_dying(file: &RawDocument) -> bool {
    let metadata = file.get_document("metadata").ok();
    metadata.is_some_and(|metadata| matches!(metadata.get("dying"), Ok(Some(_))))
}

/// Returns how many links a document has.
pub(super) fn count_links(file: &RawDocument) -> usize {
    links(file).map_or(0, |links| links.into_iter().count())
}

/// Returns whether a document has a link to this message.
pub(super) fn has_link(file: &RawDocument, message: ObjectId) -> bool {
    let links = links(file).into_iter().flatten().flatten();
    links
        .filter_map(RawBsonRef::as_object_id)
        .any(|link| link == message)
}

/// Returns the messages that a document has links to.
pub(super) fn links_of(file: &RawDocument) -> impl Iterator<Item = FileId> {
    let links = links(file).into_iter().flatten().flatten();
    let links = links.filter_map(RawBsonRef::as_object_id);
    links.map(|link| FileId::from_bytes(link.bytes()))
}

fn links(file: &RawDocument) -> Option<&RawArray> {
    let metadata = file.get_document("metadata").ok()?;
    metadata.get_array("links").ok()
}

/// A field has a value of the wrong type.
struct Unreadable;

/// A text that may be absent.
fn optional<T, E>(
    document: &RawDocument,
    name: &str,
    read: impl FnOnce(String) -> Result<T, E>,
) -> Result<Option<T>, Unreadable> {
    let value = document.get(name).map_err(|_| Unreadable)?;
    let text = value.map(|value| value.as_str().ok_or(Unreadable));
    let text = text.transpose()?;
    let read = text.map(|text| read(text.to_owned()));
    read.transpose().map_err(|_| Unreadable)
}

fn texts<'a>(
    document: &'a RawDocument,
    name: &str,
) -> Option<impl Iterator<Item = String> + use<'a>> {
    let texts = document.get_array(name).ok()?.into_iter();
    Some(texts.map(|text| {
        let text = text.ok().and_then(RawBsonRef::as_str);
        text.unwrap_or_default().to_owned()
    }))
}

fn read_part(part: &RawDocument) -> Option<Part> {
    let file: ObjectId = part.get_object_id("file").ok()?;
    let content_type = MediaType::parse(part.get_str("contentType").ok()?);
    Some(Part {
        file: FileId::from_bytes(file.bytes()),
        name: optional(part, "name", ChosenName::try_from).ok()?,
        filename: FileName::from_claim(part.get_str("filename").ok()?)?,
        // Another version may accept more types than this one.
        content_type: content_type.unwrap_or_else(|_| MediaType::octet_stream()),
        length: document::whole_number(part, "length")?,
        sha256: Sha256::from_hex(part.get_str("sha256").ok()?)?,
        stated: read_stated(part)?,
    })
}

fn read_stated(part: &RawDocument) -> Option<Stated> {
    let number = |name| document::whole_number(part, name);
    let pixels = |name| u16::try_from(number(name)?).ok()?.try_into().ok();
    let samples = part.get_array("waveform").ok().map(|samples| {
        let samples = samples.into_iter().map(|sample| {
            let sample = sample.ok()?;
            let whole = sample.as_i64().or_else(|| sample.as_i32().map(i64::from));
            u16::try_from(whole?).ok()
        });
        Waveform::try_from(samples.collect::<Option<Vec<_>>>()?).ok()
    });
    Some(Stated {
        width: pixels("width"),
        height: pixels("height"),
        duration_ms: number("duration_ms").and_then(|number| u32::try_from(number).ok()),
        waveform: samples.flatten(),
        blurhash: optional(part, "blurhash", BlurHash::try_from).ok()?,
        thumbhash: optional(part, "thumbhash", ThumbHash::try_from).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::rawdoc;

    use super::*;
    use crate::message::PartRequest;

    fn message() -> Message {
        let said = r#"[{"width":640,"height":65535,"duration_ms":4294967295,"waveform":[0,65535],
            "blurhash":"LEHV6nWB2yk8pyo0adR*.7kCMdnj","thumbhash":"1QcSHQRnh493V4dIh4eXh1h4kJUI"}]"#;
        let parts = PartRequest::of_form(Some(said), vec![None; 2]).unwrap();
        let parts = parts.into_iter().zip(1..).map(|(part, number)| Part {
            file: FileId::from_bytes([number; 12]),
            name: part.name,
            filename: FileName::from_claim("größe").unwrap(),
            content_type: MediaType::parse("audio/ogg; codecs=opus").unwrap(),
            length: 1 << 40,
            sha256: Sha256([number; 32]),
            stated: part.stated,
        });
        Message {
            from: Party::try_from("alice".to_owned()).ok(),
            to: Receivers::read(["bob", "eve"]).unwrap(),
            client_id: ChosenName::try_from("m 1".to_owned()).ok(),
            parts: parts.collect(),
        }
    }

    fn file(id: FileId, belonging: &Belonging) -> RawDocumentBuf {
        let metadata = fields(belonging).unwrap();
        rawdoc! { "_id": document::object_id(id), "metadata": metadata }
    }

    #[test]
    fn a_message_is_read_from_its_package_as_it_was_written() {
        let id = FileId::from_bytes([9; 12]);
        for message in [
            message(),
            Message {
                from: None,
                client_id: None,
                parts: Vec::new(),
                ..message()
            },
        ] {
            let belonging = Belonging {
                sub: Some("alice's".into()),
                message: Some(id),
                package: Some(message.clone().into()),
                ..Belonging::default()
            };
            let file = file(id, &belonging);
            assert_eq!(read_message(&file), Some(message));
            assert_eq!(read_sub(&file).as_deref(), Some("alice's"));
            assert!(!is_dying(&file));
            assert_eq!(count_links(&file), 0);
        }
    }

    #[test]
    fn a_part_tells_its_links_and_is_no_message() {
        let (id, other) = (FileId::from_bytes([9; 12]), FileId::from_bytes([8; 12]));
        let belonging = Belonging {
            message: Some(other),
            links: vec![other, id],
            ..Belonging::default()
        };
        let file = file(id, &belonging);
        assert_eq!(read_message(&file), None);
        assert_eq!(count_links(&file), 2);
        assert!(has_link(&file, document::object_id(id)));
        assert!(!has_link(&file, ObjectId::from_bytes([1; 12])));
        let nothing = self::file(id, &Belonging::default());
        assert!(nothing.get_document("metadata").unwrap().is_empty());
    }
}
