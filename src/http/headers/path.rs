//! Checks that all servers read a path in the same way.
//!
//! nginx decodes a path and resolves its dots before it chooses a location. This process reads the path as
//! the client wrote it, and a site's own check may read either form. `/files/A/../B` is A for this process
//! and B for nginx. So every path that could be read in two ways is refused. A path passes only if
//! decoding it once leaves its segments as they are; a name that is encoded twice is just a name. This
//! file must never know what is behind a path.

use actix_web::http::header::HeaderMap;
use percent_encoding::percent_decode_str;

use super::{HeadError, disposition};
use crate::accel;
use crate::file::{FileId, FileKey, FileName, has_dots_alone};
use crate::message::Party;

/// Refuses an ambiguous path of a request, or of the client's request that it asks about.
///
/// # Errors
/// A refusal, if the path is ambiguous.
pub(in crate::http) fn check(path: &str, headers: &HeaderMap) -> Result<(), HeadError> {
    check_target(path)?;
    // The admission checks that target itself, because its refusals have another form.
    if path != accel::ADMISSION
        && let Some(target) = headers.get(accel::TARGET)
    {
        check_target(&String::from_utf8_lossy(target.as_bytes()))?;
    }
    Ok(())
}

/// Does the same for a target as it stands in a request, with its query.
///
/// # Errors
/// As [`check`].
pub(in crate::http) fn check_target(target: &str) -> Result<(), HeadError> {
    let path = target.split('?').next().unwrap_or_default();
    if path.contains('#') || !is_plain(path) {
        return Err(HeadError::AmbiguousPath);
    }
    Ok(())
}

/// Whether a target is the collection of all files, or of all messages.
pub(in crate::http) fn is_collection(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    matches!(path, "/files" | "/files/" | "/messages" | "/messages/")
}

/// Whether a target is a file, or the collection of all.
pub(in crate::http) fn is_of_files(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path == "/files" || path.starts_with("/files/")
}

/// Whether a target is a message, or the collection of all.
pub(in crate::http) fn is_of_messages(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let first = path.split('/').nth(1).unwrap_or_default();
    percent_decode_str(first).eq(*b"messages")
}

/// Whether a target is a resumable upload, or the collection of all.
pub(in crate::http) fn is_of_uploads(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path == "/uploads" || path.starts_with("/uploads/")
}

/// Whether a target is the collection of all resumable uploads.
pub(in crate::http) fn is_collection_of_uploads(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    matches!(path, "/uploads" | "/uploads/")
}

/// Returns the resumable upload that a target names; `None` if it names none.
pub(in crate::http) fn upload(target: &str) -> Option<FileId> {
    let path = target.split('?').next().unwrap_or_default();
    path.strip_prefix("/uploads/")?.parse().ok()
}

/// Returns the receiver that a target names, in the segment behind `/receivers/`.
///
/// # Errors
/// An error, if the segment has parameters, which some servers remove, or is no name.
pub(in crate::http) fn receiver(target: &str) -> Result<Party, HeadError> {
    let path = target.split('?').next().unwrap_or_default();
    let segment = path.split('/').nth(2).unwrap_or_default();
    if segment.contains(';') {
        return Err(HeadError::AmbiguousPath);
    }
    let text = percent_decode_str(segment).decode_utf8();
    let text = text.map_err(|_| HeadError::NoKey)?;
    Party::try_from(text.into_owned()).map_err(|_| HeadError::NoKey)
}

/// Reads the number of a part, from 1 on; each number has only one spelling.
pub(in crate::http) fn number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number)
}

/// The file that a target names, in the segment behind `/files/`.
///
/// # Errors
/// When the segment has parameters, which some servers remove, or is not UTF-8, as all keys are.
pub(in crate::http) fn key(target: &str) -> Result<FileKey, HeadError> {
    let path = target.split('?').next().unwrap_or_default();
    let segment = path.split('/').nth(2).unwrap_or_default();
    if segment.contains(';') {
        return Err(HeadError::AmbiguousPath);
    }
    let text = percent_decode_str(segment).decode_utf8();
    let text = text.map_err(|_| HeadError::NoKey)?;
    Ok(FileKey::from_path(&text))
}

/// The name that an upload to this target gives its file: the last part of the path below `/files/`, as
/// `curl -T` sends it.
pub(in crate::http) fn name(target: &str) -> Option<FileName> {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/files/")?;
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let segment = if rest.is_empty() { first } else { rest };
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    disposition::name_in_path(&bytes)
}

fn is_plain(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let last = segments.split('/').count() - 1;
    let is_there = |place, segment: &str| !segment.is_empty() || place == last;
    let mut segments = segments.split('/').enumerate();
    segments.all(|(place, segment)| is_there(place, segment) && is_plain_segment(segment))
}

fn is_plain_segment(segment: &str) -> bool {
    let Some(bytes) = decoded(segment) else {
        return false;
    };
    // Some servers remove the text after a semicolon before they look for dots.
    let name = bytes.split(|&byte| byte == b';').next().unwrap_or_default();
    let is_divided = bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0));
    !is_divided
        && !has_dots_alone(&String::from_utf8_lossy(name))
        && !segment.starts_with(';')
        && !is_overlong(&bytes)
}

/// `None` if a percent sign begins no escape.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut pieces = segment.split('%');
    pieces.next();
    let is_escape = |piece: &str| {
        let digits = piece.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    pieces
        .all(is_escape)
        .then(|| percent_decode_str(segment).collect())
}

/// Whether an ASCII character stands in an overlong form, which UTF-8 forbids and careless decoders accept.
fn is_overlong(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| {
        matches!(
            pair,
            [0xc0 | 0xc1, 0x80..=0xbf]
                | [0xe0, 0x80..=0x9f]
                | [0xf0, 0x80..=0x8f]
                | [0xf8, 0x80..=0x87]
                | [0xfc, 0x80..=0x83]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_messages_is_of_messages_however_it_is_spelt() {
        for (target, is_of, is_all) in [
            ("/messages", true, true),
            ("/messages/?to=/files", true, true),
            ("/messages/a/1", true, false),
            ("/%6dessages/a", true, false),
            ("/files", false, true),
            ("/files/messages", false, false),
            ("/files?/messages", false, true),
            ("/messagesx", false, false),
            ("messages", false, false),
        ] {
            assert_eq!(is_of_messages(target), is_of, "{target}");
            assert_eq!(is_collection(target), is_all, "{target}");
        }
        for (text, expected) in [
            ("1", Some(1)),
            ("256", Some(256)),
            ("0", None),
            ("01", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for text in ["", "+1", "-1", "1 ", "1.0", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        for target in [
            "/files/a/../b",
            "/files/a/./b",
            "/files/a/..",
            "/files/.",
            "/files/../files/a",
            "/files/a/%2e%2e/b",
            "/files/a/%2E./b",
            "/files/a/.%2e",
            "/files/a%2F..%2fb",
            "/files/a%2fb",
            "/files/a/..%2Fb",
            "/files/a/..%5cb",
            "/files/a\\..\\b",
            "/files/a%5Cb",
            "/files/a/..;/b",
            "/files/a/..;x=y/b",
            "/files/a/%2e%2e%3b/b",
            "/files/a/;/b",
            "/files/a/..%20/b",
            "/files/a/..%09/b",
            "/files/a%00/b",
            "/files//a",
            "/files/a//b",
            "/files/a//",
            "//files/a",
            "//a/files/b",
            "http://a/files/b",
            "files/a",
            "",
            "*",
            "/files/a#/../b",
            "/files/a#b",
            "/files/%",
            "/files/a%2",
            "/files/%u002e%u002e/a",
            "/files/a/%c0%ae%c0%ae/b",
            "/files/a%c0%afb",
            "/files/a%c1%9cb",
            "/files/a%e0%80%afb",
            "/files/a%f0%80%80%afb",
            "/files/a/%f8%80%80%80%ae%f8%80%80%80%ae/b",
            "/files/a/%fc%80%80%80%80%ae/b",
            "/files/a/%c0.%c0./b",
            "/files/a/..%0b/b",
            "/files/a/%01../b",
            "/files/a/..%a0/b",
            "/files/a/..%ff",
            "/files/a/..%c2%a0/b",
            "/files/a/.%e2%80%8b./b",
            "/files/a/%ef%bc%8e%ef%bc%8e/b",
            "/files/a/%e2%80%a4./b",
            "/files/a/..%ef%bc%8fb",
            "/files/a/b%e2%88%95../c",
            "/files/a/..\u{ff3c}b",
        ] {
            assert!(check_target(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_path_that_has_one_meaning_passes() {
        for target in [
            "/",
            "/files",
            "/files/",
            "/files/a",
            "/files/a/",
            "/files/a/b/c.txt",
            "/files/a/meta",
            "/files/report%2Epdf",
            "/files/.a",
            "/files/..a",
            "/files/a..",
            "/files/...",
            "/files/a/%252e%252e/b",
            "/files/a/%252F",
            "/files/gr%C3%B6%C3%9Fe%201.txt",
            "/files/größe.txt",
            "/files/gr%F6%DFe.txt",
            "/files/PAP%C0.txt",
            "/files/1%ef%bc%8f2.%e2%80%8btxt",
            "/files/%e2%80%a6.txt",
            "/files/%20",
            "/files/a;b.txt",
            "/files/what%3F%23.txt",
            "/files/a?../../b",
            "/files/a?b#c",
            "/files/%7B%22a%22%3A1%7D",
        ] {
            assert!(check_target(target).is_ok(), "{target}");
        }
    }

    #[test]
    fn a_receiver_is_the_decoded_segment_behind_the_first() {
        for (target, name) in [
            ("/receivers/bob/messages", "bob"),
            ("/receivers/%2B49%20170/messages?after=/x", "+49 170"),
            ("/receivers/gr%C3%B6%C3%9Fe@a.b/delivered", "größe@a.b"),
            ("/receivers/a%3Bb", "a;b"),
        ] {
            assert_eq!(receiver(target).unwrap().as_str(), name, "{target}");
        }
        for target in [
            "/receivers",
            "/receivers//messages",
            "/receivers/a;b",
            "/receivers/%ff",
            "/receivers/%20a",
            "/receivers/a%0a",
        ] {
            assert!(receiver(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_key_is_the_decoded_segment_behind_the_first() {
        let id = "0123456789abcdef01234567";
        for (target, text) in [
            (format!("/files/{id}"), id),
            (format!("/files/{id}/any.name?a=/b/c"), id),
            ("/files/%61%2525".to_owned(), "a%25"),
            ("/files/~612F62/x".to_owned(), "a/b"),
            ("/files/~616263".to_owned(), "~616263"),
        ] {
            assert_eq!(key(&target).unwrap(), FileKey::from_text(text), "{target}");
        }
        assert!(key("/files/a;b").is_err());
        assert!(key("/files/%ff").is_err());
    }
}
