//! Content-Disposition: read from uploads, written on downloads.

use actix_web::http::header::{ContentDisposition, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::file::{FileMeta, FileName};

/// What must be escaped in an extended value: all but attr-char (RFC 8187 §3.2.1).
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The name that an upload's header claims: `filename*` before `filename` (RFC 6266 §4.3).
pub(super) fn claimed_name(header: &HeaderValue) -> Option<FileName> {
    let disposition = ContentDisposition::from_raw(header).ok()?;
    let extended = disposition
        .get_filename_ext()
        .and_then(|value| str::from_utf8(&value.value).ok());
    extended
        .and_then(FileName::from_claim)
        .or_else(|| disposition.get_filename().and_then(FileName::from_claim))
}

/// What a download's query asks for: to be saved, whatever it is.
pub(super) const DOWNLOAD: &str = "download";

/// Whether a query asks for that.
pub(super) fn is_to_be_saved(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(DOWNLOAD))
}

/// The header of a download (RFC 6266 §4.1, appendix D): an ASCII `filename` that every client
/// reads, and a `filename*` beside it when that could not say all.
pub(super) fn of_download(meta: &FileMeta, is_to_be_saved: bool) -> String {
    let kind = if meta.content_type.is_inline() && !is_to_be_saved {
        "inline"
    } else {
        "attachment"
    };
    let name = meta.filename.as_str();
    // A percent sign would be decoded by some clients, and a quote or backslash ends the string.
    let is_plain = |char: char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\' | '%');
    let plain: String = name
        .chars()
        .map(|char| if is_plain(char) { char } else { '_' })
        .collect();
    if plain == name {
        format!("{kind}; filename=\"{plain}\"")
    } else {
        let extended = utf8_percent_encode(name, NOT_ATTR_CHAR);
        format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{extended}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{MediaType, Metadata, UnixMillis};

    fn claimed(header: &str) -> Option<String> {
        let value = HeaderValue::from_bytes(header.as_bytes()).unwrap();
        claimed_name(&value).map(|name| name.to_string())
    }

    fn written(name: &str, content_type: &str) -> String {
        of_download(&meta(name, content_type), false)
    }

    fn meta(name: &str, content_type: &str) -> FileMeta {
        FileMeta {
            filename: FileName::from_claim(name).unwrap(),
            content_type: MediaType::parse(content_type).unwrap(),
            length: 1,
            uploaded: UnixMillis(0),
            metadata: Metadata::default(),
        }
    }

    #[test]
    fn what_is_to_be_saved_is_an_attachment_whatever_it_is() {
        let picture = meta("a.png", "image/png");
        assert!(of_download(&picture, false).starts_with("inline;"));
        assert!(of_download(&picture, true).starts_with("attachment;"));
        for query in ["download", "download=", "download=1", "token=x&download"] {
            assert!(is_to_be_saved(query), "{query}");
        }
        for query in ["", "downloads", "a=download", "token=download", "Download"] {
            assert!(!is_to_be_saved(query), "{query}");
        }
    }

    #[test]
    fn the_extended_name_wins_over_the_plain_one() {
        let both = "attachment; filename=\"a.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt";
        assert_eq!(claimed(both).as_deref(), Some("größe.txt"));
        assert_eq!(
            claimed("attachment; filename=\"../a b.txt\"").as_deref(),
            Some("a b.txt")
        );
        assert_eq!(claimed("inline"), None);
        assert_eq!(claimed("attachment; filename=\"\""), None);
    }

    #[test]
    fn a_name_that_ascii_cannot_say_is_written_twice() {
        assert_eq!(
            written("a b.txt", "text/html"),
            "attachment; filename=\"a b.txt\""
        );
        assert_eq!(
            written("größe 5%.png", "image/png"),
            "inline; filename=\"gr__e 5_.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%205%25.png"
        );
        assert_eq!(
            written("a\"b;c'.txt", "text/plain"),
            "attachment; filename=\"a_b;c'.txt\"; filename*=UTF-8''a%22b%3Bc%27.txt"
        );
    }
}
