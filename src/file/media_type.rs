//! A file's media type, in a form that is safe in a header.

use std::fmt;

/// A media type (RFC 9110 §8.3.1) in one spelling: `type/subtype` in lower case, and each parameter as
/// `; name=value`, with quotes if the value is no token.
///
/// It has at most 255 bytes of printable ASCII, so it is safe in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    text: String,
    essence_bytes: usize,
}

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

    /// The type of bytes about which nothing more is known.
    pub fn octet_stream() -> Self {
        let text = "application/octet-stream".to_owned();
        let essence_bytes = text.len();
        Self {
            text,
            essence_bytes,
        }
    }

    /// Reads a media type. If two parameters have the same name, the first counts.
    ///
    /// # Errors
    /// [`InvalidMediaType`] when any part of the text breaks the grammar, parameters included; when it
    /// is too long, or contains anything but printable ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidMediaType> {
        let (kind, rest) = token(text.trim_matches(BLANKS))?;
        let (subtype, rest) = token(rest.strip_prefix('/').ok_or(InvalidMediaType)?)?;
        let mut text = format!("{kind}/{subtype}").to_ascii_lowercase();
        let essence_bytes = text.len();
        let mut names = Vec::new();
        for parameter in (Parameters { rest }) {
            let (name, value) = parameter?;
            let name = name.to_ascii_lowercase();
            if names.contains(&name) {
                continue;
            }
            text.extend(["; ", &name, "="]);
            if token(&value) == Ok((&value, "")) {
                text.push_str(&value);
            } else {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                text.extend(["\"", &escaped, "\""]);
            }
            names.push(name);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidMediaType);
        }
        Ok(Self {
            text,
            essence_bytes,
        })
    }

    /// The text, for a header.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `type/subtype` without parameters, in lower case.
    pub fn essence(&self) -> &str {
        self.text.get(..self.essence_bytes).unwrap_or_default()
    }

    /// The value of a parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let rest = self.text.get(self.essence_bytes..).unwrap_or_default();
        Parameters { rest }
            .flatten()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Whether clients send this type for bytes that they know nothing about: because a library demands
    /// some type, or so that the bytes are saved. A range such as the `image/*` of Android's file
    /// choosers is no type either.
    pub fn says_nothing(&self) -> bool {
        let essence = self.essence();
        essence.contains('*')
            || essence.ends_with("/unknown")
            || essence.ends_with("/x-unknown")
            || matches!(
                essence,
                "application/octet-stream"
                    | "application/x-octet-stream"
                    | "application/octetstream"
                    | "binary/octet-stream"
                    | "application/binary"
                    | "application/x-binary"
                    | "application/x-www-form-urlencoded"
                    | "application/force-download"
                    | "application/x-force-download"
                    | "application/x-forcedownload"
                    | "application/download"
                    | "application/x-download"
            )
    }

    /// Whether a browser may display it. Only pictures, sound and film are safe: SVG, HTML, XML and PDF
    /// can contain scripts.
    pub fn is_inline(&self) -> bool {
        matches!(
            self.essence(),
            "image/png"
                | "image/jpeg"
                | "image/jpg"
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
        formatter.write_str(&self.text)
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Parameters (RFC 9110 §5.6.6) up to the end or the first error. The space between two semicolons may
/// be empty.
struct Parameters<'a> {
    rest: &'a str,
}

impl Iterator for Parameters<'_> {
    type Item = Result<(String, String), InvalidMediaType>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_start_matches(BLANKS);
        let next = rest.trim_start_matches([';', ' ', '\t']);
        if next.is_empty() {
            return None;
        }
        let read = if rest.starts_with(';') {
            parameter(next)
        } else {
            Err(InvalidMediaType)
        };
        self.rest = read.as_ref().map_or("", |&(_, _, rest)| rest);
        Some(read.map(|(name, value, _)| (name.to_owned(), value)))
    }
}

/// Reads the parameter at the beginning of a text: its name, its value, and the remaining text.
fn parameter(text: &str) -> Result<(&str, String, &str), InvalidMediaType> {
    let (name, rest) = token(text)?;
    let rest = rest.strip_prefix('=').ok_or(InvalidMediaType)?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = token(rest)?;
        return Ok((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        let char = match char {
            '"' => return Ok((name, value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => chars.next().ok_or(InvalidMediaType)?.1,
            other => other,
        };
        if !matches!(char, ' '..='~') {
            return Err(InvalidMediaType);
        }
        value.push(char);
    }
    Err(InvalidMediaType)
}

/// Reads the token (RFC 9110 §5.6.2) at the beginning of a text, and returns the remaining text too.
fn token(text: &str) -> Result<(&str, &str), InvalidMediaType> {
    let is_of_token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    let end = text.find(|char| !is_of_token(char)).unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err(InvalidMediaType),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_type_is_written_anew_from_what_was_read() {
        for (text, written) in [
            (" Text/Plain;Charset=UTF-8 ", "text/plain; charset=UTF-8"),
            ("a/b ;\tc=d;e=f", "a/b; c=d; e=f"),
            ("a/b;; ;", "a/b"),
            ("a/b; c=\"d\"", "a/b; c=d"),
            ("a/b; c=\"d;\\\"e, f\"", "a/b; c=\"d;\\\"e, f\""),
            ("a/b; c=\"\\d\\\\\"", "a/b; c=\"d\\\\\""),
            ("a/b; c=\"\"", "a/b; c=\"\""),
            ("a/b; c=d; C=e", "a/b; c=d"),
        ] {
            let parsed = MediaType::parse(text).unwrap();
            assert_eq!(parsed.as_str(), written, "{text}");
            assert_eq!(MediaType::parse(written).unwrap(), parsed);
        }
        let parsed = MediaType::parse("Text/X; Charset=\"a \\\"b\"; q=1").unwrap();
        assert_eq!(parsed.essence(), "text/x");
        assert_eq!(parsed.parameter("charset").as_deref(), Some("a \"b"));
        assert_eq!(parsed.parameter("q").as_deref(), Some("1"));
        assert_eq!(parsed.parameter("r"), None);
    }

    #[test]
    fn what_is_not_wholly_a_type_is_none() {
        let long = format!("a/{}", "b".repeat(300));
        for text in [
            "",
            "text",
            "image",
            "undefined",
            "/plain",
            "text/",
            "te xt/plain",
            "a/b c",
            "a/b\r\nX: y",
            "a/b;ü",
            "a/b; c=\"ü\"",
            "a/b; c=\"\t\"",
            "application/text-plain:formatted",
            "image/png;,text/html",
            "image/png,text/html",
            "image/png; ,text/html",
            "image/png, text/html; charset=utf-8",
            "image/png; a=b,text/html",
            "image/png; a=\"b\",text/html",
            "image/png; a=\"b\" text/html",
            "image/png; a=\"b\\",
            "image/png; a=\"b",
            "image/png; a=",
            "image/png; a",
            "image/png; a =b",
            "image/png; a= b",
            "image/png; =b",
            "image/png/html",
            "image/png;text/html",
            &long,
        ] {
            assert_eq!(MediaType::parse(text), Err(InvalidMediaType), "{text}");
        }
    }

    #[test]
    fn types_that_are_sent_without_being_meant_say_nothing() {
        for text in [
            "application/octet-stream",
            "Binary/Octet-Stream",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "application/unknown",
            "image/*",
            "*/*",
        ] {
            assert!(MediaType::parse(text).unwrap().says_nothing(), "{text}");
        }
        for text in ["text/plain", "image/png", "application/json"] {
            assert!(!MediaType::parse(text).unwrap().says_nothing(), "{text}");
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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back_as_itself_and_names_one_type(
            pieces in proptest::collection::vec(prop_oneof![
                Just("; a="), Just(";b="), Just("\""), Just("\\"), Just(","), Just("text/html"),
                Just(" "), Just("c"), Just(";"), Just("\t"), Just("ü"), Just("="),
            ], 0..8)
        ) {
            let text = format!("image/png{}", pieces.concat());
            if let Ok(parsed) = MediaType::parse(&text) {
                prop_assert_eq!(MediaType::parse(parsed.as_str()), Ok(parsed.clone()));
                // At a comma outside of quotes a browser begins to read another type.
                let unescaped = parsed.as_str().replace("\\\\", "").replace("\\\"", "");
                let outside: String = unescaped.split('"').step_by(2).collect();
                prop_assert!(!outside.contains(','), "{}", parsed);
            }
        }
    }
}
