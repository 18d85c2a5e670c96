//! The properties that the readers of this room keep for any input. They are not in the product: tests and
//! fuzzers (`scripts/fuzz`) call each function with the bytes of one case.

use std::path::PathBuf;

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RANGE};
use memchr::memmem;
use percent_encoding::percent_decode_str;

use super::form as forms;
use super::headers::dialect::Dialect;
use super::headers::ranges::{self, Wanted};
use super::headers::{
    append, bearer, beginning, body, claims, conditions, content_type, digest, disposition,
    idempotency_key, live, part, path, pieces, prefer, resumable, structured, tus, upload_metadata,
    whole,
};
use crate::accel;
use crate::file::{FileMeta, FileName, MediaType, Metadata, UnixMillis, WholeDigests};
use crate::form::MOST_PARTS;
use crate::intake::Sender;
use crate::journal::{Becomes, Ends};
use crate::message::Source;
use crate::spool::Spool;
use crate::token::Grant;

/// A spool directory of this thread.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed lies among other temporary ones.
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

thread_local! {
    static SCRATCH: Scratch = {
        let name = format!("gridspool-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap_or_default();
        Scratch(path)
    };
}

/// The boundary of the forms here.
const BOUNDARY: &[u8] = b"xYz";

/// The delimiter between their parts.
const DELIMITER: &[u8] = b"\r\n--xYz";

/// Reads the body of a form with the boundary `xYz`. Its files must lie within it, one behind the
/// other, and each must reach to the first delimiter behind it. Read as a message, it must have
/// these files as parts, too.
///
/// # Panics
/// If a file breaks these rules, or if no file can be written.
pub fn form(bytes: &[u8]) {
    let path = SCRATCH.with(|scratch| scratch.0.clone());
    let written = std::fs::write(path.join("0000000001"), bytes);
    assert!(written.is_ok(), "{written:?}");
    let body = Spool::open(&path).map(|spool| spool.claim(b"0000000001", None));
    let Ok(Ok(body)) = body else {
        unreachable!("a fresh file is a body");
    };
    if let Ok(content) = forms::read_message(&body, BOUNDARY) {
        let files = content.files.len();
        assert!(content.request.parts.len() >= files);
        for part in content.request.parts {
            assert!(!matches!(part.source, Source::Form(number) if number >= files));
        }
        for file in content.files {
            let range = file.window.range();
            assert!(range.is_some_and(|range| range.end <= body.length()));
        }
    }
    let Ok(Some(form)) = forms::read(&body, BOUNDARY, &Metadata::default(), MOST_PARTS) else {
        return;
    };
    let mut end = 0;
    for file in form.files {
        let range = file.window.range();
        assert!(
            range.as_ref().is_some_and(|range| range.start >= end),
            "{range:?}"
        );
        let range = range.unwrap_or_default();
        let [start, stop] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(0));
        // An empty file may share its first line break with the delimiter.
        let from = if start == stop { start - 2 } else { start };
        let found = memmem::find(bytes.get(from..).unwrap_or_default(), DELIMITER);
        let is_next = found.is_some_and(|at| from + at == stop || start == stop && at == 0);
        assert!(is_next, "{range:?}");
        end = range.end;
    }
    assert!(end <= body.length());
}

/// Reads a Range header. The two bytes before it are the file's length.
///
/// # Panics
/// If the range is not within the file.
pub fn range(bytes: &[u8]) {
    let Some((length, header)) = bytes.split_first_chunk() else {
        return;
    };
    let length = u64::from(u16::from_le_bytes(*length));
    let Ok(header) = str::from_utf8(header) else {
        return;
    };
    if let Wanted::Part(range) = ranges::wanted(header, length) {
        assert!(range.start < range.end && range.end <= length, "{range:?}");
    }
    if let Ok(value) = HeaderValue::from_str(header) {
        let headers = HeaderMap::from_iter([(RANGE, value)]);
        for declared in [None, Some(length)] {
            if let Wanted::Part(range) = live::part(&headers, declared) {
                let end = declared.unwrap_or(live::COUNTABLE);
                assert!(range.start < range.end && range.end <= end, "{range:?}");
            }
        }
    }
}

/// Reads the target of a request.
///
/// # Panics
/// If a target passes that other servers could read in another way.
pub fn target(bytes: &[u8]) {
    let target = String::from_utf8_lossy(bytes);
    if path::check_target(&target).is_err() {
        return;
    }
    drop(path::key(&target));
    let path = target.split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    assert_eq!(decoded.split('/').count(), path.split('/').count());
    let mut names = decoded.split('/');
    assert!(names.all(|name| !matches!(name, "." | "..") && !name.contains(['\\', '\0'])));
    assert!(!decoded.contains("//"));
}

/// Reads the lines of a head. Each has a name, a colon and a value.
///
/// # Panics
/// If a value that was read could harm a receiver of it.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let name = halves.next().map(HeaderName::from_bytes);
        let value = halves
            .next()
            .map(|value| HeaderValue::from_bytes(value.trim_ascii()));
        if let (Some(Ok(name)), Some(Ok(value))) = (name, value) {
            headers.append(name, value);
        }
    }
    let meta = meta(&headers);
    check_disposition(&disposition::of_download(&meta, false));
    drop(content_type::boundary(&headers));
    drop(part::Head::read(bytes));
    drop(digest::read(&headers));
    drop(upload_metadata::read(&headers));
    drop(tus::kind(&headers));
    let sender = || Sender {
        grant: Grant::everything(),
        subject: String::new(),
    };
    drop(beginning::by_tus(&headers, sender()));
    if let Ok(begun) = beginning::at(&headers, "/files/a", Some(10), sender()) {
        let is_file = begun.upload.becomes == Becomes::File;
        assert_eq!(begun.upload.declared, Some(10));
        assert_eq!(begun.upload.filename.is_some(), is_file);
    }
    drop(tus::checksum(&headers));
    if digest::of_whole(&headers).is_ok_and(|whole| whole != WholeDigests::default()) {
        assert!(headers.contains_key("repr-digest"));
    }
    if let Ok(append) = append::read(&headers, Dialect::of(&headers), Some(10)) {
        assert!(headers.contains_key("upload-offset"), "{append:?}");
    }
    let is_yes = structured::boolean(&headers, "upload-complete") == structured::Said::Yes;
    assert!(!is_yes || structured::integer(&headers, "upload-complete").is_none());
    if let Ok(append) = resumable::Append::read(&headers, Some(10))
        && let Some(declared) = append.declared
    {
        let end = append.offset.saturating_add(10);
        assert!(declared == end || append.ends == Ends::Later && declared > end);
    }
    let claims = claims::read(&headers);
    drop(claims.map(|claims| claims.digests.check((None).into())));
    if let Ok(Some(key)) = idempotency_key::read(&headers) {
        assert!((1..=255).contains(&key.len()) && key.is_ascii(), "{key:?}");
    }
    let is_named = headers.contains_key(accel::BODY_FILE);
    if let Ok(spooled) = body::spooled(&headers) {
        assert_eq!(spooled.is_some(), is_named, "{headers:?}");
    }
    assert!(
        !is_named || body::check_inline(&headers).is_err(),
        "{headers:?}"
    );
    let target = headers.get("target");
    let target = target.map_or("", |target| target.to_str().unwrap_or_default());
    if let Ok(Some(token)) = bearer::token(&headers, target) {
        assert!(!token.contains('&') || headers.contains_key("authorization"));
    }
    let asked = whole::Asked {
        method: "PUT",
        target,
        length: Some(10),
    };
    if whole::check(&headers, asked).is_ok() {
        // The plainest way to say that the body is not the file.
        assert!(!headers.contains_key("content-range"), "{headers:?}");
        let texts = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        assert!(!pieces::are_told(texts), "{headers:?}");
    }
    let seconds = prefer::Preferences::read(&headers).wait_seconds;
    assert!(seconds.is_none_or(|seconds| seconds <= 60), "{seconds:?}");
    conditions::judge(&Method::GET, &headers, &meta);
    conditions::hold(&headers, Some(&meta));
}

/// A file as an upload with these headers makes it.
fn meta(headers: &HeaderMap) -> FileMeta {
    let named = headers.get("content-disposition");
    let content_type = content_type::claimed(headers).media_type().cloned();
    if let Some(written) = &content_type {
        let read = MediaType::parse(written.as_str());
        assert_eq!(read.as_ref(), Ok(written), "{written:?}");
    }
    FileMeta {
        filename: named
            .and_then(|value| disposition::claimed_name(value.as_bytes()))
            .unwrap_or_else(|| FileName::of_id(crate::file::FileId::from_bytes([0; 12]))),
        content_type: content_type.unwrap_or_else(MediaType::octet_stream),
        length: 10,
        uploaded: UnixMillis(1_700_000_000_000),
        metadata: Metadata::default(),
        revision: None,
    }
}

/// One quoted name, and one that is escaped: nothing that ends a line, a string or the header.
fn check_disposition(header: &str) {
    assert!(
        header.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{header}"
    );
    let (kind, name) = header.split_once("; filename=\"").unwrap_or_default();
    assert!(matches!(kind, "inline" | "attachment"), "{header}");
    let (plain, rest) = name.split_once('"').unwrap_or_default();
    assert!(!plain.contains('\\'), "{header}");
    let escaped = rest.strip_prefix("; filename*=UTF-8''").unwrap_or(rest);
    assert!(!escaped.contains(['"', ';', ' ']), "{header}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::testing::{cases, mutant};

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn mutants_of_forms_are_read_or_refused(bytes in mutant("form")) {
            super::form(&bytes);
        }

        #[test]
        fn mutants_of_ranges_are_read_or_refused(bytes in mutant("range")) {
            super::range(&bytes);
        }

        #[test]
        fn mutants_of_targets_are_read_or_refused(bytes in mutant("target")) {
            super::target(&bytes);
        }

        #[test]
        fn mutants_of_heads_are_read_or_refused(bytes in mutant("headers")) {
            super::headers(&bytes);
        }
    }
}
