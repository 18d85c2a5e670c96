//! The head of a part of a form.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::disposition::Claim;
use super::{HeadError, whole};
use crate::file::{FileName, Window};
use crate::intake::ClaimedType;

/// The lines of a part's head that have a meaning here.
#[derive(Debug)]
pub(in crate::http) struct Head {
    disposition: Claim,
    pub(in crate::http) content_type: ClaimedType,
}

/// The kind of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Kind {
    File,
    Text,
    /// A file field without a choice.
    Nothing,
}

impl Head {
    /// Reads the lines of a head, and skips lines without a meaning here.
    ///
    /// # Errors
    /// An error, if they do not name the part, or say that its bytes are coded.
    pub(in crate::http) fn read(lines: &[u8]) -> Result<Self, HeadError> {
        let mut disposition = None;
        let mut content_type = None;
        for line in unfolded(lines) {
            let Some(colon) = memchr::memchr(b':', &line) else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let name = String::from_utf8_lossy(name.trim_ascii_end()).to_ascii_lowercase();
            whole::check_line_of_part(&name, value)?;
            match name.as_str() {
                "content-disposition" => {
                    let is_broken = value.iter().any(|byte| b"\r\n\0".contains(byte));
                    if is_broken || disposition.is_some() {
                        return Err(HeadError::Form("The head of a part cannot be read."));
                    }
                    disposition = Some(Claim::read(value));
                }
                "content-type" => {
                    content_type.get_or_insert_with(|| ClaimedType::read(Some(value)));
                }
                "content-transfer-encoding" => check_transfer_encoding(value)?,
                _ => {}
            }
        }
        let disposition = disposition
            .filter(|claim| claim.kind() == "form-data" && !claim.is_cut() && claim.has_name())
            .ok_or(HeadError::Form("A part has no readable name in its head."))?;
        Ok(Self {
            disposition,
            content_type: content_type.unwrap_or_default(),
        })
    }

    /// The kind of the part that has this head and these bytes.
    ///
    /// # Errors
    /// When it is a form within the form.
    pub(in crate::http) fn kind(&self, data: Window) -> Result<Kind, HeadError> {
        if data.length == 0 && self.disposition.has_empty_filename() {
            return Ok(Kind::Nothing);
        }
        let claimed = self.content_type.media_type();
        let essence = claimed.map_or("text/plain", |claimed| claimed.essence());
        if self.disposition.is_of_file() {
            Ok(Kind::File)
        } else if essence.starts_with("multipart/") {
            Err(HeadError::Form(
                "A part holds parts of its own and has no file name.",
            ))
        } else if essence.starts_with("text/") || essence == "application/json" {
            Ok(Kind::Text)
        } else {
            Ok(Kind::File)
        }
    }

    /// The name of the part.
    pub(in crate::http) fn name(&self, charset: &'static Encoding) -> String {
        self.disposition.name(charset).unwrap_or_default()
    }

    /// The name of its file.
    pub(in crate::http) fn filename(&self, charset: &'static Encoding) -> Option<FileName> {
        self.disposition.filename(charset)
    }
}

/// The lines of a head. A line that begins with a blank continues the one before it.
fn unfolded(lines: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut unfolded: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        match unfolded.last_mut() {
            Some(before) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                let before = before.to_mut();
                before.push(b' ');
                before.extend_from_slice(line.trim_ascii_start());
            }
            _ => unfolded.push(Cow::Borrowed(line)),
        }
    }
    unfolded
}

/// The bytes of a part are kept as they are: in another encoding they would be another file
/// (RFC 7578 §4.7 deprecates those).
fn check_transfer_encoding(value: &[u8]) -> Result<(), HeadError> {
    match value.to_ascii_lowercase().as_slice() {
        b"" | b"binary" | b"8bit" | b"7bit" => Ok(()),
        _ => Err(HeadError::Form(
            "A part has a Content-Transfer-Encoding. Send its bytes as they are.",
        )),
    }
}
