//! Content-Disposition: read from uploads, written on downloads.

mod claim;
mod extended;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::file::FileMeta;

pub(in crate::http) use claim::{Claim, claimed_name, name_in_path};

/// The characters that an extended value escapes: all but attr-char (RFC 8187 §3.2.1).
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

/// The word in a query that makes a download of any type an attachment.
pub(in crate::http) const DOWNLOAD: &str = "download";

/// Whether a query has that word.
pub(in crate::http) fn is_to_be_saved(query: &str) -> bool {
    has_word(query, DOWNLOAD)
}

/// Whether a query has a word, with or without a value.
pub(super) fn has_word(query: &str, word: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(word))
}

/// The field of a download (RFC 6266 §4.1, appendix D): an ASCII `filename` that every client reads, and a
/// `filename*` if the name is not plain ASCII.
pub(in crate::http) fn of_download(meta: &FileMeta, is_to_be_saved: bool) -> String {
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
    use proptest::prelude::*;

    use super::*;
    use crate::file::{FileName, MediaType};

    fn claimed(header: &str) -> Option<String> {
        claimed_name(header.as_bytes()).map(|name| name.to_string())
    }

    fn written(name: &str, content_type: &str) -> String {
        of_download(&meta(name, content_type), false)
    }

    fn meta(name: &str, content_type: &str) -> FileMeta {
        FileMeta {
            filename: FileName::from_claim(name).unwrap(),
            content_type: MediaType::parse(content_type).unwrap(),
            ..FileMeta::sample()
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

    /// Characters that mean something in a header or a path, and any others.
    fn text() -> impl Strategy<Value = String> {
        const SPECIAL: [char; 16] = [
            '"', '\\', '%', ';', '=', '*', '\'', '/', ' ', '\r', '\n', '\t', '.', ',', '\u{202e}',
            'ü',
        ];
        let char = |number: u32| {
            let special = usize::try_from(number % 32)
                .ok()
                .and_then(|place| SPECIAL.get(place));
            special
                .copied()
                .or_else(|| char::from_u32(number >> 8))
                .unwrap_or('a')
        };
        let chars = proptest::collection::vec((0..1_u32 << 28).prop_map(char), 0..12);
        chars.prop_map(String::from_iter)
    }

    /// The parameters of a header, read as RFC 6266 has them, by nothing that the product uses.
    fn parameters(header: &str) -> Vec<(String, String)> {
        let (_, mut rest) = header.split_once(';').unwrap();
        let mut found = Vec::new();
        loop {
            let (name, value) = rest.split_once('=').unwrap();
            let end = if let Some(quoted) = value.strip_prefix('"') {
                quoted.find('"').unwrap() + 2
            } else {
                value.find(';').unwrap_or(value.len())
            };
            found.push((
                name.trim().to_owned(),
                value[..end].trim_matches('"').to_owned(),
            ));
            match value[end..].strip_prefix(';') {
                Some(more) => rest = more,
                None => return found,
            }
        }
    }

    /// Undoes percent-encoding.
    fn decoded(value: &str) -> String {
        let mut pieces = value.split('%');
        let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
        for piece in pieces {
            bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
            bytes.extend_from_slice(&piece.as_bytes()[2..]);
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_name_comes_back_from_the_header_of_a_download(claim in text()) {
            let Some(name) = FileName::from_claim(&claim) else {
                return Ok(());
            };
            let header = written(&claim, "text/html");
            prop_assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", header);
            let found = parameters(&header);
            prop_assert_eq!(&found[0].0, "filename");
            prop_assert!(!found[0].1.contains(['\\', '%']), "{}", header);
            let told = match found.as_slice() {
                [plain] => plain.1.clone(),
                [_, extended] => {
                    prop_assert_eq!(&extended.0, "filename*");
                    decoded(extended.1.strip_prefix("UTF-8''").unwrap())
                }
                _ => panic!("{header}"),
            };
            prop_assert_eq!(&told, name.as_str(), "{}", header);
            let read = claimed(&header);
            prop_assert_eq!(read.as_deref(), Some(name.as_str()), "{}", header);
        }

        #[test]
        fn any_header_claims_a_harmless_name_or_none(header in text().prop_map(|text| format!("attachment; filename{text}"))) {
            if let Some(name) = claimed(&header) {
                prop_assert!(!name.is_empty() && name.len() <= 255, "{}", header);
                prop_assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control), "{}", header);
            }
        }
    }
}
