//! The texts of a form, in any charset.

use std::os::unix::fs::FileExt as _;

use encoding_rs::Encoding;

use crate::file::{MediaType, Metadata, Window};
use crate::form::FormError;
use crate::http::Problem;
use crate::spool::SpooledBody;

/// The most bytes of a text as it arrives. In UTF-16 two bytes may become one in UTF-8.
const MOST_BYTES: usize = 2 * Metadata::MOST_BYTES;

/// The bytes of a part.
///
/// # Errors
/// When there are more than a text may have, or they cannot be read.
pub(super) fn bytes(body: &SpooledBody, data: Window) -> Result<Vec<u8>, Problem> {
    let bytes = at_most(body, data, MOST_BYTES)?;
    bytes.ok_or_else(Problem::too_much_metadata)
}

/// The bytes of a part; `None` if there are more than this.
///
/// # Errors
/// When they cannot be read.
pub(super) fn at_most(
    body: &SpooledBody,
    data: Window,
    most: usize,
) -> Result<Option<Vec<u8>>, Problem> {
    let length = usize::try_from(data.length).unwrap_or(usize::MAX);
    if length > most {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    body.file()
        .read_exact_at(&mut bytes, data.offset)
        .map_err(FormError::from)?;
    Ok(Some(bytes))
}

/// Decodes these bytes by the charset of their type, or else by that of the form. `None` if they are not
/// valid in it.
///
/// # Errors
/// When the charset of their type is unknown.
pub(super) fn decode(
    bytes: &[u8],
    media_type: Option<&MediaType>,
    charset_of_form: &'static Encoding,
) -> Result<Option<String>, Problem> {
    let label = media_type.and_then(|media_type| media_type.parameter("charset"));
    let charset = label.map_or(Ok(charset_of_form), |label| charset(&label))?;
    let (text, has_errors) = charset.decode_with_bom_removal(bytes);
    Ok((!has_errors).then(|| text.into_owned()))
}

/// The charset of this name (WHATWG Encoding).
///
/// # Errors
/// When it is unknown.
pub(super) fn charset(label: &str) -> Result<&'static Encoding, Problem> {
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Problem::bad_form("A text in the form is in a charset that is not known."))
}
