//! Forms: the files and texts in a spooled `multipart/form-data` body (RFC 7578).

mod message;
mod text;

use encoding_rs::{Encoding, UTF_8};

use super::Problem;
use super::headers::part::{Head, Kind};
use crate::file::Metadata;
use crate::form::Parts;
use crate::intake::{FilePart, FormContent};
use crate::spool::SpooledBody;

pub(super) use message::read as read_message;

/// The name of the field that tells the charset of all texts (RFC 7578 §4.6). It is not kept as a text.
const CHARSET: &str = "_charset_";

/// Reads the form in a claimed body. Blocks.
///
/// A part with a file name is a file. So is a part of any type other than text or JSON. A browser
/// sends an empty part with an empty name for each file field without a choice; such a part is
/// skipped.
///
/// The texts of the form are added to `metadata`, in UTF-8, whatever charset they come in. Returns
/// `None` if it has more than `most_files` files.
///
/// # Errors
/// When the form is malformed, or holds no file.
pub(super) fn read(
    body: &SpooledBody,
    boundary: &[u8],
    metadata: &Metadata,
    most_files: usize,
) -> Result<Option<FormContent>, Problem> {
    let read_in = |charset| read_in(charset, body, boundary, metadata.clone(), most_files);
    let Some(mut read) = read_in(UTF_8)? else {
        return Ok(None);
    };
    // The field with the charset may come after the texts.
    if let Some(charset) = read.charset.filter(|&charset| charset != UTF_8)
        && let Some(again) = read_in(charset)?
    {
        read = again;
    }
    if read.has_undecodable {
        Err(Problem::bad_form(
            "A text in the form is not in the charset that it should be in.",
        ))
    } else if read.form.files.is_empty() {
        Err(Problem::no_file_in_form())
    } else {
        Ok(Some(read.form))
    }
}

/// A form that was read as if its texts were in some charset.
struct Read {
    form: FormContent,
    /// The charset that it names itself.
    charset: Option<&'static Encoding>,
    has_undecodable: bool,
}

fn read_in(
    charset: &'static Encoding,
    body: &SpooledBody,
    boundary: &[u8],
    metadata: Metadata,
    most_files: usize,
) -> Result<Option<Read>, Problem> {
    let mut read = Read {
        form: FormContent {
            files: Vec::new(),
            metadata,
        },
        charset: None,
        has_undecodable: false,
    };
    for part in Parts::of(body.file(), body.length(), boundary)? {
        let part = part?;
        let head = Head::read(&part.head)?;
        match head.kind(part.data)? {
            Kind::Nothing => {}
            Kind::File if read.form.files.len() == most_files => return Ok(None),
            Kind::File => read.form.files.push(FilePart {
                filename: head.filename(charset),
                content_type: head.content_type,
                window: part.data,
            }),
            Kind::Text => {
                let name = head.name(charset);
                let bytes = text::bytes(body, part.data)?;
                if name == CHARSET {
                    let named = text::charset(&String::from_utf8_lossy(&bytes))?;
                    read.charset.get_or_insert(named);
                    continue;
                }
                match text::decode(&bytes, head.content_type.media_type(), charset)? {
                    Some(text) => read.form.metadata.add(name, text)?,
                    None => read.has_undecodable = true,
                }
            }
        }
    }
    Ok(Some(read))
}

#[cfg(test)]
mod second_reader;
#[cfg(test)]
mod tests;
