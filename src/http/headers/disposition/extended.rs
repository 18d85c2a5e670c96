//! Names that are encoded, or that come in pieces.
//!
//! HTTP has only encoded names (RFC 8187). Mail has names in pieces, too (RFC 2231 §3 and §4.1):
//! `filename*0`, `filename*1` and so on. The number of an encoded piece is followed by another star. Programs
//! that make their heads with a library for mail send such names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use encoding_rs::Encoding;
use percent_encoding::percent_decode;

/// The pieces by their numbers, and whether each is encoded.
#[derive(Debug, Default)]
pub(super) struct Continued(BTreeMap<u16, (bool, Vec<u8>)>);

/// The name that the pieces form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// The text of a plain `filename`.
    Plain(Vec<u8>),
    /// The text of an encoded `filename*`.
    Extended(Vec<u8>),
}

impl Continued {
    /// Takes a piece; `number` is the text after `filename*`. The first of two pieces with one number counts,
    /// and a text that is no number is skipped.
    pub(super) fn take(&mut self, number: &str, value: Vec<u8>) {
        let digits = number.strip_suffix('*');
        let is_encoded = digits.is_some();
        let digits = digits.unwrap_or(number);
        if let Ok(number) = digits.parse::<u16>()
            && digits == number.to_string()
        {
            self.0.entry(number).or_insert((is_encoded, value));
        }
    }

    /// Joins all pieces; `None` if one is missing, or if one is encoded and none gives a charset.
    pub(super) fn whole(&self) -> Option<Whole> {
        let (is_extended, _) = self.0.get(&0)?;
        let mut whole = Vec::new();
        for ((&number, (is_encoded, piece)), expected) in self.0.iter().zip(0..) {
            if number != expected || (*is_encoded && !is_extended) {
                return None;
            }
            for &byte in piece {
                match byte {
                    // A percent sign in a plain piece stands for itself.
                    b'%' if *is_extended && !is_encoded => whole.extend_from_slice(b"%25"),
                    // Some clients put encoded pieces between quotes.
                    b'"' if *is_encoded => {}
                    other => whole.push(other),
                }
            }
        }
        Some(if *is_extended {
            Whole::Extended(whole)
        } else {
            Whole::Plain(whole)
        })
    }
}

/// Decodes an extended value (RFC 8187): charset, language and percent-encoded bytes, divided by apostrophes.
/// `None` for anything else.
pub(super) fn extended(value: &[u8]) -> Option<String> {
    // Some clients put an extended value between quotes, which RFC 8187 does not allow.
    let bare = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value);
    let mut pieces = bare.splitn(3, |&byte| byte == b'\'');
    let charset = Encoding::for_label_no_replacement(pieces.next()?)?;
    let encoded = pieces.nth(1)?;
    let is_whole = encoded.split(|&byte| byte == b'%').skip(1).all(|piece| {
        let digits = piece.get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    charset
        .decode_without_bom_handling_and_without_replacement(&bytes)
        .filter(|_| is_whole)
        .map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_8;

    use super::super::Claim;
    use super::*;

    fn filename(parameters: &[u8]) -> Option<String> {
        let claim = Claim::read(&[b"form-data; ", parameters].concat());
        claim.filename(UTF_8).map(|name| name.to_string())
    }

    fn whole(pieces: &[(&str, &str)]) -> Option<Whole> {
        let mut continued = Continued::default();
        for (number, piece) in pieces {
            continued.take(number, piece.as_bytes().to_vec());
        }
        continued.whole()
    }

    #[test]
    fn pieces_are_put_together_by_their_numbers() {
        let plain = |text: &str| Some(Whole::Plain(text.into()));
        let extended = |text: &str| Some(Whole::Extended(text.into()));
        for (pieces, expected) in [
            (&[("0", "a.txt")][..], plain("a.txt")),
            (&[("1", "b%41.txt"), ("0", "a")], plain("ab%41.txt")),
            (
                &[("0", "a"), ("0", "x"), ("1", "b"), ("1", "x")],
                plain("ab"),
            ),
            (&[("0*", "UTF-8''a%20b.txt")], extended("UTF-8''a%20b.txt")),
            (
                &[("0*", "UTF-8''%C3"), ("1*", "\"%B6\""), ("2", "5%41\".txt")],
                extended("UTF-8''%C3%B65%2541\".txt"),
            ),
            // One piece is missing, or the charset is missing.
            (&[("1", "b")], None),
            (&[("0", "a"), ("2", "c")], None),
            (&[("0", "a"), ("1*", "%41")], None),
            (&[], None),
            // None of these is a number.
            (&[("00", "a")], None),
            (
                &[
                    ("+0", "a"),
                    ("-0", "b"),
                    ("", "c"),
                    ("*", "d"),
                    ("0**", "e"),
                ],
                None,
            ),
            (&[("0", "a"), ("01", "b"), ("65536", "c")], plain("a")),
        ] {
            assert_eq!(whole(pieces), expected, "{pieces:?}");
        }
        let many: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(|number| (&**number, "x")).collect();
        assert_eq!(whole(&many), plain(&"x".repeat(20)));
    }

    #[test]
    fn a_name_in_pieces_counts_where_there_is_no_other() {
        for (parameters, name) in [
            (
                "filename*0=\"gr%22\"; filename*1=\"een.txt\"",
                "gr\"een.txt",
            ),
            (
                "filename*1*=%C3%9Fe.txt; filename*0*=UTF-8''gr%C3%B6",
                "größe.txt",
            ),
            (
                "FILENAME*0*=iso-8859-1'de'gr%F6; filename*1=\"5%41;.txt\"",
                "grö5%41;.txt",
            ),
            ("filename*0=bad.txt; filename=good.txt", "good.txt"),
            ("filename=good.txt; filename*0*=UTF-8''bad.txt", "good.txt"),
            ("filename*0=bad.txt; filename*=UTF-8''good.txt", "good.txt"),
            ("filename=\"\"; filename*=%; filename*0=a.txt", "a.txt"),
        ] {
            assert_eq!(
                filename(parameters.as_bytes()).as_deref(),
                Some(name),
                "{parameters}"
            );
        }
        assert_eq!(filename(b"filename*0*=UTF-8''%F6; filename*2=a"), None);
        assert_eq!(filename(b"filename*0*=UTF-8''%F6.txt"), None);
    }
}
