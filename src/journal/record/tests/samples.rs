//! Records for tests.

use std::sync::Arc;

use super::super::*;
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis, WholeDigests};
use crate::message::{Belonging, Message, Part as Descriptor, Party, Receivers, Stated};
use crate::store::Sha256;

pub(in crate::journal) fn id(number: u8) -> FileId {
    FileId::from_bytes([number; FileId::BYTES])
}

pub(in crate::journal) fn metadata() -> Metadata {
    let mut metadata = Metadata::default();
    for (name, text) in [("caption \"1\"", "Grüße\n"), ("tag", "b"), ("tag", "a")] {
        metadata.add(name.to_owned(), text.to_owned()).unwrap();
    }
    metadata
}

pub(in crate::journal) fn meta(length: u64) -> FileMeta {
    FileMeta {
        filename: FileName::from_claim("größe \"1\".txt").unwrap(),
        content_type: MediaType::parse("text/plain; charset=utf-8").unwrap(),
        length,
        uploaded: UnixMillis(1_700_000_000_123),
        metadata: metadata(),
        revision: None,
    }
}

pub(in crate::journal) fn request() -> KeyedRequest {
    KeyedRequest {
        key: Sha256([1; 32]),
        content: Sha256([2; 32]),
        sender: Subject(0x123),
        at: LogTime(45),
    }
}

pub(in crate::journal) fn answer() -> Answer {
    Answer {
        request: request(),
        part: PartOf {
            first: id(6),
            position: 1,
            files: 3,
        },
    }
}

/// The ways in which a file may belong to a sender or to messages.
pub(super) fn belongings() -> [Belonging; 4] {
    [
        Belonging {
            sub: Some("alice's".into()),
            ..Belonging::default()
        },
        Belonging {
            message: Some(id(7)),
            package: Some(message(&[id(8)])),
            ..Belonging::default()
        },
        Belonging {
            message: Some(id(6)),
            links: vec![id(6), id(9)],
            ..Belonging::default()
        },
        Belonging {
            links: vec![id(9)],
            was_linked: true,
            ..Belonging::default()
        },
    ]
}

pub(super) fn why() -> Why {
    Why {
        attempts: 3,
        reason: "because".to_owned(),
    }
}

pub(super) fn settled() -> Settled {
    Settled {
        at: LogTime(77),
        sha256: Sha256([9; 32]),
    }
}

/// A file with this many bytes in the frame.
pub(in crate::journal) fn file(length: u64) -> File {
    File {
        meta: meta(length),
        body: Body::Inline,
        stated: Some(Sha256([7; 32])),
        subject: Subject(5),
        answer: Some(answer()),
        state: State::Waiting,
        belonging: Belonging::default(),
    }
}

/// A form of linked files.
pub(in crate::journal) fn form(ids: &[FileId]) -> Form {
    let parts = ids.iter().zip(0_u64..).map(|(&id, number)| Part {
        id,
        filename: FileName::of_id(id),
        content_type: MediaType::octet_stream(),
        length: number,
        body: Body::Linked { offset: number * 3 },
        stated: None,
        metadata: (number == 1).then(Metadata::default),
    });
    Form {
        metadata: metadata(),
        uploaded: UnixMillis(5),
        subject: Subject(9),
        request: Some(request()),
        sub: None,
        message: None,
        parts: parts.collect(),
    }
}

/// A message with these parts.
pub(in crate::journal) fn message(parts: &[FileId]) -> Arc<Message> {
    let parts = parts.iter().map(|&file| Descriptor {
        file,
        name: None,
        filename: FileName::of_id(file),
        content_type: MediaType::octet_stream(),
        length: 5,
        sha256: Sha256([3; 32]),
        stated: Stated {
            duration_ms: Some(7),
            ..Stated::default()
        },
    });
    Arc::new(Message {
        from: Party::try_from("alice".to_owned()).ok(),
        to: Receivers::read(["bob", "größe"]).unwrap(),
        client_id: None,
        parts: parts.collect(),
    })
}

/// The same form as a message: its first file is the package.
pub(in crate::journal) fn message_form(ids: &[FileId]) -> Form {
    let plain = form(ids);
    let parts = plain.parts.into_iter().map(|part| match part.id {
        package if package == ids[0] => Part {
            body: Body::Inline,
            length: 3,
            ..part
        },
        _ => part,
    });
    Form {
        sub: Some("alice's".into()),
        message: Some(message(&ids[1..])),
        parts: parts.collect(),
        ..form(&[])
    }
}

/// An upload with this many bytes.
pub(in crate::journal) fn upload(length: u64) -> Upload {
    Upload {
        filename: FileName::from_claim("a"),
        content_type: MediaType::octet_stream(),
        metadata: metadata(),
        begun: UnixMillis(4),
        growth: Growth {
            length,
            declared: Some(40),
            lapses: LogTime(99),
            made: None,
        },
        subject: Subject(5),
        sub: Some("alice's".into()),
        answer: None,
        stated: WholeDigests {
            sha256: Some(Sha256([7; 32])),
            sha512: None,
        },
        becomes: Becomes::File,
    }
}
