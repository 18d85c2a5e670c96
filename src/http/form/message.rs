//! The form of a message: its package, its parts and its receivers.
//!
//! A field with a meaning has that meaning with or without a file name, because scripts in browsers
//! give a file name to everything that has a type. Any other file is a part of the message. Any
//! other text is refused by its name, so a sender that asks for something unknown learns of it.

use encoding_rs::UTF_8;

use super::text;
use crate::file::MediaType;
use crate::form::Parts;
use crate::http::Problem;
use crate::http::headers::part::{Head, Kind};
use crate::intake::{FilePart, MessageContent};
use crate::message::{
    ChosenName, MOST_PACKAGE_BYTES, MOST_PARTS, MessageError, PackageRequest, PartRequest, Party,
    Receivers, Request,
};
use crate::spool::SpooledBody;

/// The most bytes of all texts except the package.
const MOST_TEXT_BYTES: usize = 1024 * 1024;

/// The type of a package that comes without one.
const TEXT: &str = "text/plain; charset=utf-8";

/// The fields that were read so far.
#[derive(Debug, Default)]
struct Fields {
    package: Option<PackageRequest>,
    from: Option<Party>,
    to: Vec<String>,
    id: Option<ChosenName>,
    parts: Option<String>,
    files: Vec<FilePart>,
    names: Vec<Option<ChosenName>>,
    text_bytes: usize,
}

/// Reads the form of a message in a claimed body. Blocks.
///
/// # Errors
/// An error, if the form is malformed or is no message.
pub(in crate::http) fn read(
    body: &SpooledBody,
    boundary: &[u8],
) -> Result<MessageContent, Problem> {
    let mut fields = Fields::default();
    for part in Parts::of(body.file(), body.length(), boundary)? {
        let part = part?;
        let head = Head::read(&part.head)?;
        let name = head.name(UTF_8);
        let mut text = |most| fields_text(body, part.data, most, &mut fields.text_bytes);
        match name.as_str() {
            "message" => {
                let bytes = text::at_most(body, part.data, MOST_PACKAGE_BYTES)?;
                let bytes = bytes.ok_or(MessageError::PackageTooLong)?;
                let claimed = head.content_type.media_type().cloned();
                let claimed = claimed.or_else(|| MediaType::parse(TEXT).ok());
                let claimed = claimed.unwrap_or_else(MediaType::octet_stream);
                let package = PackageRequest::new(claimed, bytes)?;
                once("message", &mut fields.package, package)?;
            }
            "from" => {
                let from = Party::try_from(text(MOST_TEXT_BYTES)?);
                let from = from.map_err(|err| MessageError::unreadable("from", err))?;
                once("from", &mut fields.from, from)?;
            }
            "to" => {
                let to = text(MOST_TEXT_BYTES)?;
                fields.to.push(to);
            }
            "id" => {
                let id = ChosenName::try_from(text(MOST_TEXT_BYTES)?);
                let id = id.map_err(|err| MessageError::unreadable("id", err))?;
                once("id", &mut fields.id, id)?;
            }
            "parts" => {
                let parts = text(MOST_TEXT_BYTES)?;
                once("parts", &mut fields.parts, parts)?;
            }
            "_charset_" => {
                let charset = text(MOST_TEXT_BYTES)?;
                if text::charset(&charset)? != UTF_8 {
                    return Err(Problem::bad_form("The texts of a message are in UTF-8."));
                }
            }
            _ => match head.kind(part.data)? {
                Kind::Nothing => {}
                Kind::Text => return Err(Problem::unknown_field(&name)),
                Kind::File if fields.files.len() == MOST_PARTS => {
                    return Err(MessageError::TooManyParts.into());
                }
                Kind::File => {
                    let named = (!name.is_empty()).then(|| ChosenName::try_from(name));
                    let named = named.transpose();
                    let named = named.map_err(|err| MessageError::unreadable("name", err))?;
                    fields.names.push(named);
                    fields.files.push(FilePart {
                        filename: head.filename(UTF_8),
                        content_type: head.content_type,
                        window: part.data,
                    });
                }
            },
        }
    }
    fields.into_content()
}

/// Reads a text of the form, which must be UTF-8.
fn fields_text(
    body: &SpooledBody,
    data: crate::file::Window,
    most: usize,
    taken: &mut usize,
) -> Result<String, Problem> {
    let bytes = text::at_most(body, data, most.saturating_sub(*taken))?;
    let bytes = bytes.ok_or(MessageError::TextTooLong)?;
    *taken += bytes.len();
    String::from_utf8(bytes).map_err(|_| {
        Problem::bad_form("A text in the form is not in the charset that it should be in.")
    })
}

/// Fills a field that may come once. A second value is an error.
fn once<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), MessageError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(MessageError::unreadable(name, "it comes twice")),
    }
}

impl Fields {
    fn into_content(self) -> Result<MessageContent, Problem> {
        let to = (!self.to.is_empty()).then(|| Receivers::read(self.to.iter().map(String::as_str)));
        let parts = PartRequest::of_form(self.parts.as_deref(), self.names)?;
        let request = Request::new(self.package, self.from, to.transpose()?, self.id, parts)?;
        Ok(MessageContent {
            request,
            files: self.files,
        })
    }
}
