//! The bytes of an upload that may still grow.

use super::samples::{id, upload};
use super::*;

#[test]
fn an_upload_never_shrinks_and_keeps_its_declared_length() {
    let known = upload(7).growth;
    let unknown = Growth {
        declared: None,
        ..known
    };
    for (before, then, is_possible) in [
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
