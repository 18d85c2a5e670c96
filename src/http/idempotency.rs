//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): an upload that is sent again
//! under its key gets the first answer again, and makes no second file.

use std::io;

use actix_web::http::header::HeaderMap;
use sfv::{BareItem, Item, Parser};
use sha2::{Digest as _, Sha256};

use super::access::Caller;
use super::{Problem, digest};
use crate::file::Window;
use crate::journal::{Adopted, Claim, Draft, Fingerprint, Journal, Running, Subject};
use crate::spool::Received;
use crate::store;

const HEADER: &str = "idempotency-key";

/// The longest key that is taken, in characters.
const LONGEST_KEY: usize = 255;

/// The shape of an answer. The same body under the same key in the other shape is another request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    File,
    Form,
}

/// An upload's key, as the header has it.
#[derive(Debug)]
pub(super) struct Key(Option<String>);

impl Key {
    /// Reads the header: a string as structured fields have it, or the bare key.
    ///
    /// # Errors
    /// When there is one and it is no key.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(HEADER);
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(key(value.as_bytes()).ok_or_else(Problem::bad_key)?),
            (Some(_), Some(_)) => return Err(Problem::bad_key()),
        };
        Ok(Self(key))
    }

    /// By what an upload with this key is known when it comes again; `None` without one. Reads the body.
    ///
    /// # Errors
    /// When the body cannot be read.
    pub(super) fn request(
        &self,
        caller: &Caller,
        shape: Shape,
        body: Received<'_>,
        parts: &[(Window, Draft)],
    ) -> Result<Option<Fingerprint>, Problem> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        let content = content(shape, body, parts).map_err(|err| Problem::unreadable_body(&err))?;
        Ok(Some(Fingerprint {
            key: digest_of(&[caller.subject(), key]),
            content,
            sender: subject_of(caller),
        }))
    }
}

/// The way that an upload goes which may have a key.
#[derive(Debug)]
pub(super) enum Course {
    /// It is to be adopted, while this lives if it has a key.
    Adopt(Option<Running>),
    /// It was, and these are its files.
    Answered(Vec<Adopted>),
}

impl Course {
    /// Asks the journal. Blocks, if there is a key.
    ///
    /// # Errors
    /// When the key is that of another upload, or of one that is being adopted.
    pub(super) fn of(journal: &Journal, request: Option<Fingerprint>) -> Result<Self, Problem> {
        let Some(request) = request else {
            return Ok(Self::Adopt(None));
        };
        match journal.begin(request)? {
            Claim::First(running) => Ok(Self::Adopt(Some(running))),
            Claim::Answered(answer) => Ok(Self::Answered(answer)),
            Claim::Running => Err(Problem::still_running()),
            Claim::Other => Err(Problem::key_of_another()),
        }
    }
}

fn key(value: &[u8]) -> Option<String> {
    let key = if value.starts_with(b"\"") {
        // Parameters mean nothing here.
        let item: Item = Parser::new(value).parse().ok()?;
        let BareItem::String(text) = item.bare_item else {
            return None;
        };
        text.into()
    } else {
        let is_plain = value.iter().all(u8::is_ascii_graphic);
        String::from_utf8(value.to_owned())
            .ok()
            .filter(|_| is_plain)?
    };
    (1..=LONGEST_KEY).contains(&key.len()).then_some(key)
}

/// The number by which a caller is counted.
pub(super) fn subject_of(caller: &Caller) -> Subject {
    let store::Sha256(digest) = digest_of(&[caller.subject()]);
    let first = digest.first_chunk().copied();
    Subject(u64::from_le_bytes(first.unwrap_or_default()))
}

/// The digest of texts, each with its length before it.
fn digest_of(texts: &[&str]) -> store::Sha256 {
    let mut hasher = Sha256::new();
    for text in texts {
        add(&mut hasher, text.as_bytes());
    }
    store::Sha256(hasher.finalize().into())
}

/// The digest of what an upload says: for each file its bytes, and what the answer tells of it. The
/// boundary of a form, which many clients draw anew each time, is not in it.
fn content(
    shape: Shape,
    body: Received<'_>,
    parts: &[(Window, Draft)],
) -> io::Result<store::Sha256> {
    let mut all = Sha256::new();
    all.update([match shape {
        Shape::File => 1,
        Shape::Form => 2,
    }]);
    for (window, draft) in parts {
        all.update(window.length.to_le_bytes());
        all.update(digest::hash::<Sha256>(body, *window)?);
        let name = draft.filename.as_ref();
        add(&mut all, name.map_or("", |name| name.as_str()).as_bytes());
        add(&mut all, draft.content_type.as_str().as_bytes());
        for (name, text) in draft.metadata.pairs() {
            add(&mut all, name.as_bytes());
            add(&mut all, text.as_bytes());
        }
        // No name of metadata is empty.
        add(&mut all, b"");
    }
    Ok(store::Sha256(all.finalize().into()))
}

fn add(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::file::{FileName, MediaType, Metadata};
    use crate::spool::Spool;

    fn read(values: &[&[u8]]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                HeaderName::from_static(HEADER),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        Ok(Key::read(&headers)?.0)
    }

    #[test]
    fn a_key_is_a_string_or_a_bare_word() {
        assert_eq!(read(&[]).unwrap(), None);
        for (value, key) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("\"a \\\"b\\\\\"", "a \"b\\"),
            ("\"a\";unknown=1", "a"),
        ] {
            assert_eq!(read(&[value.as_bytes()]).unwrap().as_deref(), Some(key));
        }
        let longest = "k".repeat(255);
        assert!(read(&[longest.as_bytes()]).is_ok());
        assert!(read(&[format!("\"{longest}\"").as_bytes()]).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        let quoted = format!("\"{long}\"");
        let unreadable = ["", "\"\"", "a b", "\"a", "\"a\" b", "\"a\tb\""];
        let too_much = ["\"grüße\"", "grüße", &long, &quoted];
        for value in unreadable.into_iter().chain(too_much) {
            assert!(read(&[value.as_bytes()]).is_err(), "{value}");
        }
        assert!(read(&[b"a", b"a"]).is_err());
    }

    #[test]
    fn everything_that_an_answer_shows_is_in_the_digest_and_nothing_runs_together() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("0000000001"), b"abab").unwrap();
        let spool = Spool::open(scratch.path()).unwrap();
        let body = spool.claim(b"0000000001", None).unwrap();
        let draft = |name: Option<&str>, content_type: &str, metadata: &[(&str, &str)]| {
            let mut kept = Metadata::default();
            for (name, text) in metadata {
                kept.add((*name).to_owned(), (*text).to_owned()).unwrap();
            }
            Draft {
                filename: name.and_then(FileName::from_claim),
                content_type: MediaType::parse(content_type).unwrap(),
                metadata: kept,
                request: None,
                subject: Subject::default(),
                stated: None,
            }
        };
        let window = |offset, length| Window { offset, length };
        let plain = || draft(None, "a/b", &[]);
        let (file, form) = (Shape::File, Shape::Form);
        let requests = [
            (file, vec![(window(0, 4), plain())]),
            (form, vec![(window(0, 4), plain())]),
            (file, vec![(window(0, 3), plain())]),
            (file, vec![(window(1, 3), plain())]),
            (file, vec![(window(0, 0), plain())]),
            (file, vec![(window(0, 4), draft(Some("a"), "a/b", &[]))]),
            (file, vec![(window(0, 4), draft(None, "a/bc", &[]))]),
            (
                file,
                vec![(window(0, 4), draft(None, "a/b", &[("a", "bc")]))],
            ),
            (
                file,
                vec![(window(0, 4), draft(None, "a/b", &[("ab", "c")]))],
            ),
            (
                file,
                vec![(window(0, 4), draft(None, "a/b", &[("a", "b"), ("a", "c")]))],
            ),
            (
                file,
                vec![(window(0, 4), draft(None, "a/b", &[("a", "c"), ("a", "b")]))],
            ),
            (form, vec![(window(0, 2), plain()), (window(2, 2), plain())]),
            (form, vec![(window(0, 2), plain()), (window(2, 0), plain())]),
        ];
        let digests: Vec<_> = requests
            .iter()
            .map(|(shape, parts)| content(*shape, (&body).into(), parts).unwrap())
            .collect();
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest), "{at}");
        }
        // The same bytes elsewhere in a body are the same file.
        let moved = [(window(2, 2), plain()), (window(0, 2), plain())];
        assert_eq!(content(form, (&body).into(), &moved).unwrap(), digests[11]);
    }
}
