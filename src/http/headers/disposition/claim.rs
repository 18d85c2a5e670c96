//! Content-Disposition as clients of all kinds write it, in requests and in the parts of forms.
//!
//! RFC 6266 and RFC 7578 define how it should be written. Browsers and many libraries write backslashes and
//! quotes as they are, and three characters percent-encoded (WHATWG HTML, "multipart form data"). Their
//! meaning is mostly clear.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::extended::{Continued, Whole, extended};
use crate::file::FileName;

/// The parameters of a Content-Disposition. The first of two of one name counts.
#[derive(Debug, Default)]
pub(in crate::http) struct Claim {
    kind: String,
    name: Option<Vec<u8>>,
    filename: Option<Vec<u8>>,
    /// `filename*`.
    extended: Option<Vec<u8>>,
    continued: Continued,
    is_of_file: bool,
    is_cut: bool,
}

impl Claim {
    /// Reads all that can be read.
    pub(in crate::http) fn read(value: &[u8]) -> Self {
        let (kind, mut rest) = cut_at_semicolon(value);
        let mut claim = Self {
            kind: lower(kind),
            ..Self::default()
        };
        while let Some(parameter) = rest {
            rest = claim.read_parameter(parameter.trim_ascii_start());
        }
        claim
    }

    /// Reads one parameter. Returns the text after its semicolon.
    fn read_parameter<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let end = memchr::memchr2(b'=', b';', text)?;
        let (name, value) = text.split_at(end);
        let Some(value) = value.strip_prefix(b"=").map(<[u8]>::trim_ascii_start) else {
            return value.get(1..);
        };
        let name = lower(name);
        self.is_of_file |= name == "filename" || name.starts_with("filename*");
        // An extended value has no quotes, and a broken one must not end another parameter.
        let quoted = value.strip_prefix(b"\"").filter(|_| !name.ends_with('*'));
        let (read, rest) = match quoted.map(unquoted) {
            Some(Some((read, rest))) => (read, cut_at_semicolon(rest).1),
            Some(None) => {
                self.is_cut = true;
                return None;
            }
            None => {
                let (read, rest) = cut_at_semicolon(value);
                (read.to_vec(), rest)
            }
        };
        let place = match name.as_str() {
            "name" => &mut self.name,
            "filename" => &mut self.filename,
            "filename*" => &mut self.extended,
            other => {
                if let Some(number) = other.strip_prefix("filename*") {
                    self.continued.take(number, read);
                }
                return rest;
            }
        };
        place.get_or_insert(read);
        rest
    }

    /// Its type, in lower case.
    pub(in crate::http) fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether it names a form's field.
    pub(in crate::http) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// Whether it names a file, even with a name that cannot be used.
    pub(in crate::http) fn is_of_file(&self) -> bool {
        self.is_of_file
    }

    /// Whether the name of the file is there and empty.
    pub(in crate::http) fn has_empty_filename(&self) -> bool {
        self.extended.is_none()
            && self.continued.whole().is_none()
            && self.filename.as_deref() == Some(b"")
    }

    /// Whether a quoted string has no end.
    pub(in crate::http) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The name of a form's field; bytes that are not UTF-8 are decoded by `charset`.
    pub(in crate::http) fn name(&self, charset: &'static Encoding) -> Option<String> {
        self.name.as_deref().map(|name| as_browsers(name, charset))
    }

    /// The name of the file: `filename*`, or else `filename` (RFC 6266 §4.3), or else a name in pieces. A
    /// name that cannot be used counts as absent.
    pub(in crate::http) fn filename(&self, charset: &'static Encoding) -> Option<FileName> {
        let of_extended = |value: &[u8]| FileName::from_claim(&extended(value)?);
        let of_plain = |value: &[u8]| FileName::from_claim(&as_browsers(value, charset));
        let extended = self.extended.as_deref().and_then(of_extended);
        extended
            .or_else(|| self.filename.as_deref().and_then(of_plain))
            .or_else(|| match self.continued.whole()? {
                Whole::Extended(value) => of_extended(&value),
                Whole::Plain(value) => of_plain(&value),
            })
    }
}

/// The name that the field of an upload claims. A field that is not UTF-8 is Latin-1, as it was historically
/// (RFC 9110 §5.5).
pub(in crate::http) fn claimed_name(header: &[u8]) -> Option<FileName> {
    Claim::read(header).filename(WINDOWS_1252)
}

/// The name in a decoded segment of a path.
pub(in crate::http) fn name_in_path(segment: &[u8]) -> Option<FileName> {
    FileName::from_claim(&decoded(segment, WINDOWS_1252))
}

/// Decodes UTF-8, or else this charset.
fn decoded<'a>(text: &'a [u8], charset: &'static Encoding) -> Cow<'a, str> {
    str::from_utf8(text).map_or_else(
        |_| charset.decode_without_bom_handling(text).0,
        Cow::Borrowed,
    )
}

/// The text before the first semicolon, trimmed, and the text after it.
fn cut_at_semicolon(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = memchr::memchr(b';', text).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    (value.trim_ascii(), rest.get(1..))
}

fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(text.trim_ascii()).to_ascii_lowercase()
}

/// The rest of a quoted string, and the text after its closing quote; `None` if there is none.
///
/// A backslash escapes a quote or a backslash, and stands for itself before anything else. A quote ends the
/// string if a parameter may end there. After a backslash, a quote ends the string only if another parameter
/// or nothing follows: then the backslash is the last character of a name.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = match (byte, after) {
            (b'\\', [b'"', behind @ ..]) if is_followed_by_parameter(behind) => {
                value.push(b'\\');
                return Some((value, behind));
            }
            (b'\\', [escaped @ (b'"' | b'\\'), behind @ ..]) => {
                value.push(*escaped);
                behind
            }
            (b'"', behind) if is_end_of_parameter(behind) => return Some((value, behind)),
            (other, behind) => {
                value.push(other);
                behind
            }
        };
    }
}

fn is_end_of_parameter(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), None | Some(b';'))
}

fn is_followed_by_parameter(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some(text) = text.strip_prefix(b";").map(<[u8]>::trim_ascii_start) else {
        return text.is_empty();
    };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_*".contains(byte);
    let name = text.iter().take_while(|byte| is_of_name(byte)).count();
    name > 0
        && text
            .get(name..)
            .unwrap_or_default()
            .trim_ascii_start()
            .starts_with(b"=")
}

/// A name as browsers write it: quotes and line breaks percent-encoded, and nothing else.
fn as_browsers(name: &[u8], charset: &'static Encoding) -> String {
    let name = decoded(name, charset);
    // No replacement makes another one possible.
    let pairs = [("%22", "\""), ("%0D", "\r"), ("%0A", "\n")];
    pairs.iter().fold(name.into_owned(), |name, (code, char)| {
        name.replace(code, char)
    })
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_8;

    use super::*;

    fn names(parameters: &[u8]) -> (Option<String>, Option<String>) {
        let claim = Claim::read(&[b"form-data; ", parameters].concat());
        let filename = claim.filename(UTF_8).map(|name| name.to_string());
        (claim.name(UTF_8), filename)
    }

    fn filename(parameters: &[u8]) -> Option<String> {
        names(parameters).1
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (parameters, name) in [
            (&br#"filename="a b.txt""#[..], "a b.txt"),
            (b"filename=a.txt", "a.txt"),
            (b"filename=a b.txt ; x=y", "a b.txt"),
            (b"FileName = \"a.txt\" ;x", "a.txt"),
            ("filename=\"größe.txt\"".as_bytes(), "größe.txt"),
            (b"filename=\"gr\xf6\xdfe.txt\"", "gr\u{fffd}\u{fffd}e.txt"),
            (br#"filename="my \"best\" pic.png""#, "my \"best\" pic.png"),
            (br#"filename="my "best" pic.png""#, "my \"best\" pic.png"),
            (br#"filename="a\"; b.txt""#, "a\"; b.txt"),
            (br#"filename="a;b=c.txt""#, "a;b=c.txt"),
            (br#"filename="a"; filename="b""#, "a"),
            (br#"x="filename=b"; filename="a""#, "a"),
        ] {
            let shown = String::from_utf8_lossy(parameters);
            assert_eq!(filename(parameters).as_deref(), Some(name), "{shown}");
        }
        for parameters in [
            &b"filename"[..],
            b"filename=",
            br#"filename="""#,
            br#"filename="a"#,
        ] {
            assert_eq!(filename(parameters), None);
        }
    }

    #[test]
    fn a_backslash_escapes_a_quote_or_a_backslash_and_nothing_else() {
        for (parameters, name, filename) in [
            (&br#"name="f"; filename="report\""#[..], "f", "report_"),
            (br#"name="dir\"; filename="a.bin""#, "dir\\", "a.bin"),
            (br#"name="dir\" ;filename*=UTF-8''a.bin"#, "dir\\", "a.bin"),
            (br#"name="f"; filename="a\b.txt""#, "f", "b.txt"),
            (
                br#"name="a\b"; filename="folder\new\f.txt""#,
                "a\\b",
                "f.txt",
            ),
            (
                br#"name="f"; filename="C:\Users\me\new photo.jpg""#,
                "f",
                "new photo.jpg",
            ),
            (
                br#"name="f"; filename="C:\\Users\\me\\photo.jpg""#,
                "f",
                "photo.jpg",
            ),
            (
                br#"name="f"; filename="\\host\share\photo.jpg""#,
                "f",
                "photo.jpg",
            ),
            (br#"name="a\\"; filename="report\\""#, "a\\", "report_"),
        ] {
            let shown = String::from_utf8_lossy(parameters);
            let expected = (Some(name.to_owned()), Some(filename.to_owned()));
            assert_eq!(names(parameters), expected, "{shown}");
        }
    }

    #[test]
    fn of_percent_signs_exactly_those_of_browsers_are_decoded() {
        for (parameters, name) in [
            (&b"filename=\"%22a%22.txt\""[..], "\"a\".txt"),
            (b"filename=\"a%0D%0Ab.txt\"", "ab.txt"),
            (b"filename=\"a%0d%0ab%2522.txt\"", "a%0d%0ab%2522.txt"),
            (b"filename=\"100%.txt\"", "100%.txt"),
            (
                b"filename=\"gr%C3%B6%C3%9Fe%201%5C%2F.txt\"",
                "gr%C3%B6%C3%9Fe%201%5C%2F.txt",
            ),
        ] {
            assert_eq!(filename(parameters).as_deref(), Some(name));
        }
        assert_eq!(names(b"name=\"a%22b\"").0.as_deref(), Some("a\"b"));
    }

    #[test]
    fn an_extended_name_wins_unless_it_is_broken() {
        for (extended, name) in [
            ("UTF-8''gr%C3%B6%C3%9Fe.txt", "größe.txt"),
            ("utf-8'en'a%20b.txt", "a b.txt"),
            ("\"UTF-8''b.txt\"", "b.txt"),
            ("ISO-8859-1''gr%F6%DFe.txt", "größe.txt"),
            ("UTF-8''b%22c.txt", "b\"c.txt"),
            ("UTF-8''%", "good.txt"),
            ("UTF-8''%zz.txt", "good.txt"),
            ("UTF-8''%F", "good.txt"),
            ("UTF-8''%F6.txt", "good.txt"),
            ("UTF-8'b.txt", "good.txt"),
            ("UTF-8''", "good.txt"),
            ("UTF-8''%2F", "good.txt"),
            ("b.txt", "good.txt"),
            ("", "good.txt"),
            ("none''b.txt", "good.txt"),
            ("iso-2022-kr''b.txt", "good.txt"),
            ("\"UTF-8''b.txt", "good.txt"),
        ] {
            let (before, after) = (
                format!("filename*={extended}; filename=\"good.txt\""),
                format!("filename=\"good.txt\"; filename*={extended}"),
            );
            for parameters in [before, after] {
                assert_eq!(
                    filename(parameters.as_bytes()).as_deref(),
                    Some(name),
                    "{parameters}"
                );
            }
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_of_the_charset_of_the_form() {
        let claim = Claim::read(b"form-data; name=\"gr\xf6\xdfe\"; filename=\"\xdf.txt\"");
        assert_eq!(claim.name(WINDOWS_1252).as_deref(), Some("größe"));
        let filename = claim.filename(WINDOWS_1252).unwrap();
        assert_eq!(filename.as_str(), "ß.txt");
    }

    #[test]
    fn a_header_or_a_path_that_is_not_utf8_is_latin1() {
        let header = b"attachment; filename=\"gr\xf6\xdfe \x80.txt\"";
        assert_eq!(claimed_name(header).unwrap().as_str(), "größe €.txt");
        let header = "attachment; filename=\"größe.txt\"".as_bytes();
        assert_eq!(claimed_name(header).unwrap().as_str(), "größe.txt");
        assert_eq!(
            name_in_path(b"gr\xf6\xdfe.txt").unwrap().as_str(),
            "größe.txt"
        );
        assert_eq!(name_in_path(b"a/.."), None);
    }

    #[test]
    fn a_string_without_an_end_is_noticed() {
        for (value, is_cut) in [
            (&br#"form-data; name="f"; filename="a"#[..], true),
            (br#"form-data; name="f; filename=a.txt"#, true),
            (br#"form-data; name="f"; filename*="UTF-8''a"#, false),
            (br#"form-data; name="f"; filename="a""#, false),
        ] {
            assert_eq!(Claim::read(value).is_cut(), is_cut);
        }
    }
}
