//! Forms: what the parts of a spooled `multipart/form-data` body are (RFC 7578).

use std::os::unix::fs::FileExt as _;

use actix_multipart::{Field, Multipart};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::mime;
use actix_web::web::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};

use super::content_type::{FormType, media_type};
use super::{Problem, disposition, whole};
use crate::file::{FileName, MediaType, Metadata, Window};
use crate::form::{self, Part};
use crate::spool::SpooledBody;

/// What a form holds.
#[derive(Debug)]
pub(super) struct Form {
    /// Its files, in their order.
    pub(super) files: Vec<FilePart>,
    /// Its texts.
    pub(super) metadata: Metadata,
}

/// A file in a form.
#[derive(Debug)]
pub(super) struct FilePart {
    /// What its sender calls it.
    pub(super) filename: Option<FileName>,
    /// What its sender takes it for.
    pub(super) content_type: Option<MediaType>,
    /// Where it is in the body.
    pub(super) window: Window,
}

/// Reads the form in a claimed body: its delimiters by [`form::split`], the head of each part by
/// actix-multipart. Blocks.
///
/// A part with a file name is a file, and so is one of another type than text or JSON. A browser sends an
/// empty part with an empty name for each choice of a file that was left open: that is nothing.
///
/// The texts of the form are added to `metadata`.
///
/// # Errors
/// What is wrong with it; a form without any file, too.
pub(super) fn read(
    body: &SpooledBody,
    form_type: &FormType,
    metadata: Metadata,
) -> Result<Form, Problem> {
    let parts = form::split(body.file(), body.length(), form_type.boundary().as_bytes())?;
    let mut form = Form {
        files: Vec::new(),
        metadata,
    };
    for part in parts {
        let field = head(form_type, &part)?;
        if !is_file(&field) {
            let text = text(body, part.data)?;
            let name = field.name().unwrap_or_default().to_owned();
            form.metadata.insert(name, text)?;
        } else if !is_open_choice(&field, part.data) {
            form.files.push(FilePart {
                filename: disposition_of(&field).and_then(disposition::claimed_name),
                content_type: field
                    .headers()
                    .get(header::CONTENT_TYPE)
                    .map(media_type)
                    .transpose()?,
                window: part.data,
            });
        }
    }
    if form.files.is_empty() {
        return Err(Problem::no_file_in_form());
    }
    Ok(form)
}

/// Reads the head of one part: as a form that ends behind it, so that no byte of the part itself
/// passes through the parser.
fn head(form_type: &FormType, part: &Part) -> Result<Field, Problem> {
    let lines = with_slashes_in_paths(&String::from_utf8_lossy(&part.head));
    let beginning = format!("--{}\r\n{lines}\r\n", form_type.boundary());
    let bytes = stream::iter([Ok::<_, PayloadError>(Bytes::from(beginning))]);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, form_type.value().clone());
    let field = Multipart::new(&headers, bytes)
        .next()
        .now_or_never()
        .flatten()
        .ok_or_else(|| Problem::bad_form("The head of a part cannot be read."))?
        .map_err(|err| {
            log::debug!("a form was refused: {err}");
            Problem::bad_form("The head of a part cannot be read.")
        })?;
    check_encoding(&field, part.data)?;
    Ok(field)
}

/// Old browsers send whole Windows paths, with backslashes that escape nothing. As a quoted string
/// would lose them, they become slashes; only the last part of a path counts anyway.
fn with_slashes_in_paths(lines: &str) -> String {
    const NAME: &str = "filename=\"";
    let start = lines.to_ascii_lowercase().find(NAME);
    let Some((before, value)) = start.and_then(|at| lines.split_at_checked(at + NAME.len())) else {
        return lines.to_owned();
    };
    let is_path = match value.as_bytes() {
        [drive, b':', b'\\', ..] => drive.is_ascii_alphabetic(),
        [b'\\', b'\\', third, ..] => !matches!(third, b'"' | b'\\'),
        _ => false,
    };
    match value.split_once('"') {
        Some((path, after)) if is_path => {
            format!("{before}{}\"{after}", path.replace('\\', "/"))
        }
        _ => lines.to_owned(),
    }
}

/// What a part says of its own bytes must be true of them.
fn check_encoding(field: &Field, data: Window) -> Result<(), Problem> {
    for (name, value) in field.headers() {
        whole::check_line_of_part(name.as_str(), value.as_bytes())?;
    }
    let said = |name: &str| {
        let value = field.headers().get(name)?;
        Some(value.to_str().unwrap_or_default().to_ascii_lowercase())
    };
    if said("content-length").is_some_and(|length| length.parse() != Ok(data.length)) {
        return Err(Problem::bad_form("A part is not as long as it says."));
    }
    match said("content-transfer-encoding").as_deref() {
        None | Some("binary" | "8bit" | "7bit") => Ok(()),
        // RFC 7578 §4.7 deprecates it; stored as it is, it would be another file.
        Some(_) => Err(Problem::bad_form("A part has a transfer encoding.")),
    }
}

fn disposition_of(field: &Field) -> Option<&HeaderValue> {
    field.headers().get(header::CONTENT_DISPOSITION)
}

fn is_file(field: &Field) -> bool {
    let is_named = field.content_disposition().is_some_and(|disposition| {
        disposition.get_filename().is_some() || disposition.get_filename_ext().is_some()
    });
    let is_text = field
        .content_type()
        .is_none_or(|kind| kind.type_() == mime::TEXT || *kind == mime::APPLICATION_JSON);
    is_named || !is_text
}

fn is_open_choice(field: &Field, data: Window) -> bool {
    let name = field
        .content_disposition()
        .and_then(|disposition| disposition.get_filename());
    data.length == 0 && name == Some("")
}

/// The bytes of a part as text.
fn text(body: &SpooledBody, data: Window) -> Result<String, Problem> {
    let length = usize::try_from(data.length).unwrap_or(usize::MAX);
    if length > Metadata::MOST_BYTES {
        return Err(Problem::too_much_metadata());
    }
    let mut bytes = vec![0; length];
    body.file()
        .read_exact_at(&mut bytes, data.offset)
        .map_err(form::FormError::from)?;
    String::from_utf8(bytes).map_err(|_| Problem::bad_form("A text in the form is not UTF-8."))
}

#[cfg(test)]
mod tests;
