//! Content-Type, of requests and of the parts of forms.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::mime::Mime;

use super::Problem;
use crate::file::MediaType;

/// The type of a form, without its boundary (RFC 7578).
const FORM: &str = "multipart/form-data";

/// The longest boundary (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The value of Content-Type that announces a form.
#[derive(Debug, Clone)]
pub(super) struct FormType {
    value: HeaderValue,
    boundary: String,
}

impl FormType {
    /// Reads the boundary.
    ///
    /// # Errors
    /// When there is none, or one that RFC 2046 does not allow.
    pub(super) fn parse(value: &HeaderValue) -> Result<Self, Problem> {
        let mime: Option<Mime> = value.to_str().ok().and_then(|text| text.parse().ok());
        let boundary = mime
            .as_ref()
            .and_then(|mime| mime.get_param("boundary"))
            .map(|boundary| boundary.as_str().to_owned())
            .filter(|boundary| (1..=LONGEST_BOUNDARY).contains(&boundary.len()))
            .ok_or_else(|| Problem::bad_form("Content-Type names no valid boundary."))?;
        Ok(Self {
            value: value.clone(),
            boundary,
        })
    }

    /// The whole value.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// What separates the parts.
    pub(super) fn boundary(&self) -> &str {
        &self.boundary
    }
}

/// Reads the value of a Content-Type, of a request as of a part.
///
/// # Errors
/// When it is not a media type.
pub(super) fn media_type(value: &HeaderValue) -> Result<MediaType, Problem> {
    match value.to_str().ok().map(MediaType::parse) {
        Some(Ok(parsed)) => Ok(parsed),
        _ => Err(Problem::bad_content_type()),
    }
}

/// The type that a request's header claims; `None` if it claims none.
///
/// # Errors
/// As [`media_type`].
pub(super) fn claimed(headers: &HeaderMap) -> Result<Option<MediaType>, Problem> {
    headers
        .get(header::CONTENT_TYPE)
        .map(media_type)
        .transpose()
}

/// The type of a form, if a request's body is one.
///
/// # Errors
/// As [`media_type`] and [`FormType::parse`].
pub(super) fn form(headers: &HeaderMap) -> Result<Option<FormType>, Problem> {
    let is_form = claimed(headers)?.is_some_and(|claimed| claimed.essence() == FORM);
    headers
        .get(header::CONTENT_TYPE)
        .filter(|_| is_form)
        .map(FormType::parse)
        .transpose()
}
