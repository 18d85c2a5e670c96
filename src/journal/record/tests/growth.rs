//! The bytes of an upload that may still grow.

use super::samples::{answer, id, upload};
use super::*;
use crate::file::{Sha512, WholeDigests};

/// Uploads that may still grow.
pub(super) fn uploads() -> [Entry; 5] {
    let part = Upload {
        filename: None,
        sub: None,
        answer: Some(answer()),
        stated: WholeDigests::default(),
        becomes: Becomes::Part,
        ..upload(0)
    };
    let with_sha512 = Upload {
        stated: WholeDigests {
            sha256: None,
            sha512: Some(Sha512([5; 64])),
        },
        ..part.clone()
    };
    let form = Upload {
        becomes: Becomes::Form,
        ..with_sha512.clone()
    };
    let message = Upload {
        becomes: Becomes::Message,
        growth: Growth {
            made: Some(Sha256([6; 32])),
            ..upload(7).growth
        },
        ..upload(7)
    };
    [upload(7), part, with_sha512, form, message].map(Entry::Upload)
}

#[test]
fn an_upload_never_shrinks_and_keeps_its_declared_length() {
    let known = upload(7).growth;
    let unknown = Growth {
        declared: None,
        ..known
    };
    let made = Growth {
        made: Some(Sha256([6; 32])),
        ..known
    };
    for (before, then, is_possible) in [
        (known, made, true),
        (made, known, false),
        (made, made, false),
        (known, known, true),
        (known, Growth { length: 9, ..known }, true),
        (known, Growth { length: 6, ..known }, false),
        (known, unknown, false),
        (unknown, known, true),
        (
            known,
            Growth {
                declared: Some(41),
                ..known
            },
            false,
        ),
    ] {
        let entry = |growth| {
            Entry::Upload(Upload {
                growth,
                ..upload(0)
            })
        };
        let folded = entry(before).fold(&Change::Grown(then));
        let expected = is_possible.then(|| Some(entry(then)));
        assert_eq!(folded.ok(), expected, "{before:?}, {then:?}");
    }
    let longer = Growth {
        length: 41,
        ..known
    };
    let frame = Frame::change(id(7), &Change::Grown(longer)).unwrap();
    assert!(frame.read().is_err());
}
