//! Recognises an upload that is sent again: by the key that its sender chose, and by a digest of
//! everything that the answer shows.

use sha2::{Digest as _, Sha256};

use super::digest::{add, digest_of, of_part};
use super::{IntakeError, Sender};
use crate::file::{FileId, WholeDigests, Window};
use crate::journal::{Becomes, Draft, Fingerprint, MessageDraft};
use crate::message::{ChosenName, PartRequest, Party, Source};
use crate::spool::Received;
use crate::store;

/// The shape of an answer. The same body under the same key with another shape is another request.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// An answer for one file.
    File,
    /// An answer for the files of a form.
    Form,
    /// An answer for a message.
    Message,
    /// An answer for an upload that may still grow.
    Upload(Becomes),
}

/// Makes the fingerprint of an upload with a key; `None` without a key. Hashes the parts without a
/// known digest, and notes their digests. Blocks.
///
/// # Errors
/// When the body cannot be read.
pub(super) fn of(
    key: Option<store::Sha256>,
    sender: &Sender,
    shape: Shape,
    body: Received<'_>,
    parts: &mut [(Window, Draft)],
) -> Result<Option<Fingerprint>, IntakeError> {
    let Some(key) = key else {
        return Ok(None);
    };
    let mut content = Content::of(shape);
    for (window, draft) in parts {
        let sha256 = match draft.sha256 {
            Some(known) => known,
            None => of_part(body, *window)?,
        };
        draft.sha256 = Some(sha256);
        content.add(*window, sha256, draft);
    }
    Ok(Some(Fingerprint {
        key,
        content: content.digest(),
        sender: sender.number(),
    }))
}

/// Makes the fingerprint of a message with a key. The order of its receivers does not matter. Parts
/// that exist already count by their ids, so that an answer is found even after they are gone.
pub(super) fn of_message(
    key: store::Sha256,
    draft: &MessageDraft,
    references: &[(usize, PartRequest)],
) -> Fingerprint {
    let mut content = Content::of(Shape::Message);
    let length = u64::try_from(draft.content.len()).unwrap_or(u64::MAX);
    let window = Window::whole(length);
    let sha256 = store::Sha256(Sha256::digest(&draft.content).into());
    content.add(window, sha256, &draft.package);
    let from = draft.from.as_ref().map_or("", Party::as_str);
    add(&mut content.0, from.as_bytes());
    let mut to: Vec<_> = draft.to.iter().map(Party::as_str).collect();
    to.sort_unstable();
    for receiver in to {
        add(&mut content.0, receiver.as_bytes());
    }
    // No receiver has an empty name.
    add(&mut content.0, b"");
    for part in &draft.parts {
        content.add(part.window, part.sha256, &part.draft);
        let name = part.name.as_ref().map_or("", ChosenName::as_str);
        add(&mut content.0, name.as_bytes());
        // Its fields have one order.
        let stated = serde_json::to_vec(&part.stated).unwrap_or_default();
        add(&mut content.0, &stated);
    }
    for (place, part) in references {
        let source = match part.source {
            Source::Form(number) => format!("form {number}"),
            Source::File(file) => format!("file {file}"),
            Source::Part { message, number } => format!("part {number} of {message}"),
        };
        let name = part.name.as_ref().map_or("", ChosenName::as_str);
        let stated = serde_json::to_vec(&part.stated).unwrap_or_default();
        let source = format!("{place} {source}");
        for text in [source.as_bytes(), name.as_bytes(), &stated] {
            add(&mut content.0, text);
        }
    }
    Fingerprint {
        key,
        content: content.digest(),
        sender: draft.package.subject,
    }
}

/// Makes the fingerprint of an upload that begins, or is made of these parts: its bytes are not known, so
/// its statements count.
pub(super) fn of_upload(
    key: &str,
    sender: &Sender,
    (draft, becomes): (&Draft, Becomes),
    whole: WholeDigests,
    declared: Option<u64>,
    parts: &[FileId],
) -> Fingerprint {
    let mut content = Content::of(Shape::Upload(becomes));
    let window = Window::whole(declared.unwrap_or(u64::MAX));
    content.add(
        window,
        whole.sha256.unwrap_or(store::Sha256([0; 32])),
        draft,
    );
    if let Some(sha512) = whole.sha512 {
        add(&mut content.0, &sha512.0);
    }
    for part in parts {
        add(&mut content.0, part.to_string().as_bytes());
    }
    Fingerprint {
        key: key_of(sender, key),
        content: content.digest(),
        sender: sender.number(),
    }
}

/// Makes the fingerprint of a file that is made of these parts under no key: all of its statements are its key.
pub(super) fn of_gathered(sender: &Sender, draft: &Draft, parts: &[FileId]) -> Fingerprint {
    let described = (draft, Becomes::File);
    let request = of_upload("", sender, described, WholeDigests::default(), None, parts);
    let texts = [
        "made of parts",
        &sender.subject,
        &request.content.to_string(),
    ];
    Fingerprint {
        key: digest_of(&texts),
        ..request
    }
}

/// Makes the fingerprint of the copy of a part of another node.
pub(super) fn of_copy(sender: &Sender, part: FileId) -> Fingerprint {
    let key = digest_of(&["copy of a part", &sender.subject, &part.to_string()]);
    Fingerprint {
        key,
        content: key,
        sender: sender.number(),
    }
}

/// The digest under which a sender's key is remembered.
pub(super) fn key_of(sender: &Sender, key: &str) -> store::Sha256 {
    digest_of(&[&sender.subject, key])
}

/// The digest under which the answer is remembered that an upload got when it was whole. No sender
/// can choose it.
pub(super) fn key_of_made(id: FileId) -> store::Sha256 {
    digest_of(&["made of an upload", &id.to_string()])
}

/// The digest of an upload: for each file its bytes, and the values that the answer shows. The
/// boundary of a form is left out, because many clients choose a new one each time.
struct Content(Sha256);

impl Content {
    fn of(shape: Shape) -> Self {
        let shape = match shape {
            Shape::File => 1,
            Shape::Form => 2,
            Shape::Message => 3,
            Shape::Upload(Becomes::File) => 4,
            Shape::Upload(Becomes::Form) => 5,
            Shape::Upload(Becomes::Message) => 6,
            Shape::Upload(Becomes::Part) => 7,
        };
        Self(Sha256::new().chain_update([shape]))
    }

    /// Adds a file with this digest.
    fn add(&mut self, window: Window, store::Sha256(bytes): store::Sha256, draft: &Draft) {
        let all = &mut self.0;
        all.update(window.length.to_le_bytes());
        all.update(bytes);
        let name = draft.filename.as_ref();
        add(all, name.map_or("", |name| name.as_str()).as_bytes());
        add(all, draft.content_type.as_str().as_bytes());
        for (name, text) in draft.metadata.pairs() {
            add(all, name.as_bytes());
            add(all, text.as_bytes());
        }
        // No name of metadata is empty.
        add(all, b"");
    }

    fn digest(self) -> store::Sha256 {
        store::Sha256(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{FileName, MediaType, Metadata};
    use crate::spool::Spool;
    use crate::token::Grant;

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
                ..Draft::sample()
            }
        };
        let window = |offset, length| Window { offset, length };
        let plain = || draft(None, "a/b", &[]);
        let (file, form) = (Shape::File, Shape::Form);
        let mut requests = [
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
        let sender = Sender {
            grant: Grant::everything(),
            subject: "a".to_owned(),
        };
        let content = |shape, parts: &mut [_]| {
            let fingerprint = of(
                Some(key_of(&sender, "key")),
                &sender,
                shape,
                (&body).into(),
                parts,
            );
            fingerprint.unwrap().unwrap().content
        };
        let digests: Vec<_> = requests
            .iter_mut()
            .map(|(shape, parts)| content(*shape, parts))
            .collect();
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest), "{at}");
        }
        // The same bytes at another place in a body are the same file.
        let mut moved = [(window(2, 2), plain()), (window(0, 2), plain())];
        assert_eq!(content(form, &mut moved), digests[11]);
        // Bytes with a known digest are not read, and all others are hashed once.
        let known = moved[0].1.sha256;
        assert_eq!(known, Some(of_part((&body).into(), window(2, 2)).unwrap()));
        let mut unread = [window(9, 2), window(9, 2)].map(|window| {
            let sha256 = known;
            (window, Draft { sha256, ..plain() })
        });
        assert_eq!(content(form, &mut unread), digests[11]);
    }
}
