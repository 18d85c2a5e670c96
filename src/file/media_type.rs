//! A file's media type, as a header can carry it.

use std::fmt;

/// A media type (RFC 9110 §8.3.1): `type/subtype`, with parameters kept as they came.
///
/// Never longer than 255 bytes, printable ASCII only: safe to write into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(String);

/// The text is not a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMediaType;

impl fmt::Display for InvalidMediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a media type of the form type/subtype")
    }
}

impl std::error::Error for InvalidMediaType {}

impl MediaType {
    const MAX_BYTES: usize = 255;

    /// What bytes are when nothing more is known of them.
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// Reads a media type.
    ///
    /// # Errors
    /// [`InvalidMediaType`] when it has no `type/subtype` of tokens, is too long, or holds
    /// anything but printable ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidMediaType> {
        let text = text.trim_matches([' ', '\t']);
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let (kind, subtype) = essence.split_once('/').ok_or(InvalidMediaType)?;
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_token(kind) && is_token(subtype) && printable && text.len() <= Self::MAX_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidMediaType)
        }
    }

    /// The text, for a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `type/subtype` without parameters, in lower case.
    pub fn essence(&self) -> String {
        let essence = self.0.split(';').next().unwrap_or_default();
        essence.trim_end().to_ascii_lowercase()
    }

    /// Whether a browser may show it in place. Only pictures, sound and film: nothing that can
    /// carry a script, which rules SVG, HTML, XML and PDF out.
    pub fn is_inline(&self) -> bool {
        matches!(
            self.essence().as_str(),
            "image/png"
                | "image/jpeg"
                | "image/gif"
                | "image/webp"
                | "image/avif"
                | "image/bmp"
                | "audio/mpeg"
                | "audio/mp4"
                | "audio/aac"
                | "audio/ogg"
                | "audio/opus"
                | "audio/wav"
                | "audio/x-wav"
                | "audio/webm"
                | "audio/flac"
                | "audio/amr"
                | "audio/3gpp"
                | "video/mp4"
                | "video/webm"
                | "video/ogg"
                | "video/quicktime"
                | "video/3gpp"
        )
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_keep_their_parameters_and_lose_outer_space() {
        let media_type = MediaType::parse(" Text/Plain; charset=utf-8 ").unwrap();
        assert_eq!(media_type.as_str(), "Text/Plain; charset=utf-8");
        assert_eq!(media_type.essence(), "text/plain");
    }

    #[test]
    fn what_a_header_cannot_carry_is_refused() {
        let long = format!("a/{}", "b".repeat(300));
        for text in [
            "",
            "text",
            "/plain",
            "text/",
            "te xt/plain",
            "a/b\r\nX: y",
            "a/b;ü",
            &long,
        ] {
            assert_eq!(MediaType::parse(text), Err(InvalidMediaType), "{text}");
        }
    }

    #[test]
    fn nothing_that_can_hold_a_script_is_shown_in_place() {
        for text in [
            "text/html",
            "image/svg+xml",
            "application/pdf",
            "text/xml",
            "application/xhtml+xml",
        ] {
            assert!(!MediaType::parse(text).unwrap().is_inline(), "{text}");
        }
        assert!(MediaType::parse("IMAGE/PNG; q=1").unwrap().is_inline());
    }
}
