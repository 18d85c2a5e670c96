//! `Upload-Metadata`: names and texts that are kept with a file, in the syntax of tus 1.0.0 (Creation).

use actix_web::http::header::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HeadError, tus};
use crate::file::Metadata;

/// Reads the header: pairs divided by commas, each a name, a space, and a text in base64; a name
/// alone has an empty text. No name may come twice. An empty header has no pairs, as tuspy sends it.
///
/// # Errors
/// When it cannot be read, has a name twice, is more than is taken, or names a time without a link that cannot be
/// kept.
pub(in crate::http) fn read(headers: &HeaderMap) -> Result<Metadata, HeadError> {
    let mut metadata = Metadata::default();
    for value in headers.get_all("upload-metadata") {
        let value = value.to_str().map_err(|_| HeadError::Metadata)?;
        if value.trim().is_empty() {
            continue;
        }
        for pair in value.split(',').map(str::trim) {
            let (name, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
            let text = STANDARD
                .decode(encoded.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or(HeadError::Metadata)?;
            if metadata.has(name) {
                return Err(HeadError::RepeatedMetadata);
            }
            metadata.add(name.to_owned(), text)?;
        }
    }
    metadata.unlinked_seconds()?;
    Ok(metadata)
}

/// Writes the header for these names and texts. Names that tus does not allow are left out, and so is the
/// list of the uploads that a file was made of.
pub(in crate::http) fn write(metadata: &Metadata) -> String {
    let is_allowed = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        !name.is_empty() && name != tus::CONCAT && name.bytes().all(is_plain)
    };
    let pairs = metadata.pairs().filter(|(name, _)| is_allowed(name));
    let pairs = pairs.map(|(name, text)| match text {
        "" => name.to_owned(),
        text => format!("{name} {}", STANDARD.encode(text)),
    });
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::file::InvalidMetadata;

    fn metadata(value: &str) -> Result<Vec<(String, String)>, HeadError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static("upload-metadata"),
            HeaderValue::from_str(value).unwrap(),
        );
        let owned = |(name, texts): (&str, &[String])| (name.to_owned(), texts.concat());
        Ok(read(&headers)?.iter().map(owned).collect())
    }

    #[test]
    fn names_and_texts_are_read() {
        let read = metadata("caption R3LDvMOfZQ==, is_private, place MSwy").unwrap();
        let expected = [("caption", "Grüße"), ("is_private", ""), ("place", "1,2")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(read, expected);
    }

    #[test]
    fn an_empty_header_has_no_texts() {
        for value in ["", " "] {
            assert_eq!(metadata(value), Ok(Vec::new()), "{value:?}");
        }
    }

    #[test]
    fn what_was_read_is_written_again() {
        let mut kept = Metadata::default();
        for (name, text) in [("caption", "Grüße"), ("is_private", ""), ("a,b", "no")] {
            kept.add(name.to_owned(), text.to_owned()).unwrap();
        }
        assert_eq!(write(&kept), "caption R3LDvMOfZQ==,is_private");
        assert_eq!(write(&Metadata::default()), "");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for value in [
            ",",
            "a !",
            "a /w==",
            "a R3L DvM",
            "a R3LDvMOfZQ",
            "a YQ==,b YQ==,a YQ==",
        ] {
            assert!(metadata(value).is_err(), "{value:?}");
        }
        let long = "A".repeat(12_000);
        let refused = metadata(&format!("a {long}")).unwrap_err();
        assert_eq!(refused, HeadError::UnkeptMetadata(InvalidMetadata::TooMuch));
    }
}
