//! Each request for an upload that exists.

use std::time::Duration;

use super::*;

/// An append that counts.
const APPEND: Case = Case {
    rule: "",
    method: "PATCH",
    fields: &[PARTIAL, AT_1, MORE],
    body: 1,
    status: 204,
    code: "",
    told: &[("upload-complete", "?0"), ("upload-offset", "@2")],
    after: Some(("@2", "?0")),
};

/// An append that is refused, and changes nothing.
const REFUSED: Case = Case {
    status: 400,
    code: FIELD,
    told: &[("upload-complete", "?0"), ("location", "")],
    after: Some(("@1", "?0")),
    ..APPEND
};

/// A question.
const ASKED: Case = Case {
    method: "HEAD",
    fields: &[],
    body: 0,
    told: &[
        ("upload-offset", "@1"),
        ("upload-complete", "?0"),
        ("upload-length", "@4"),
        ("cache-control", "no-store"),
        ("location", ""),
    ],
    after: Some(("@1", "?0")),
    ..APPEND
};

const CASES: &[Case] = &[
    Case {
        rule: "4.3: HEAD tells offset, completeness, length and limits, and is not cached",
        ..ASKED
    },
    Case {
        rule: "4.3: GET tells the same",
        method: "GET",
        ..ASKED
    },
    Case {
        rule: "4.3: a question with an interop version is answered",
        fields: &[("Upload-Draft-Interop-Version", "9")],
        ..ASKED
    },
    Case {
        rule: "4.3: a question with an offset is a mistake",
        fields: &[AT_1],
        status: 400,
        code: FIELD,
        told: &[("upload-complete", "?0"), ("cache-control", "no-store")],
        ..ASKED
    },
    Case {
        rule: "4.3: a question with a completeness is a mistake",
        fields: &[MORE],
        status: 400,
        code: FIELD,
        told: &[("upload-complete", "?0"), ("cache-control", "no-store")],
        ..ASKED
    },
    Case {
        rule: "4.4: a piece is appended, and its end is told",
        ..APPEND
    },
    Case {
        rule: "4.4, 6: a piece may be empty",
        body: 0,
        told: &[("upload-complete", "?0"), ("upload-offset", "@1")],
        after: Some(("@1", "?0")),
        ..APPEND
    },
    Case {
        rule: "4.4: the last piece completes it, with the answer of the first target",
        fields: &[PARTIAL, AT_1, LAST],
        body: 3,
        status: 201,
        told: &[("upload-complete", "?1"), ("upload-offset", "@4")],
        after: Some(("@4", "?1")),
        ..APPEND
    },
    Case {
        rule: "4.1.3: length and offset do not make it complete",
        body: 3,
        told: &[("upload-complete", "?0"), ("upload-offset", "@4")],
        after: Some(("@4", "?0")),
        ..APPEND
    },
    Case {
        rule: "10: the type may have parameters, and any case",
        fields: &[
            ("Content-Type", "Application/Partial-Upload; a=b"),
            AT_1,
            MORE,
        ],
        ..APPEND
    },
    Case {
        rule: "4.1.1: the offset is an item, which may have parameters",
        fields: &[PARTIAL, ("Upload-Offset", "@1;a=b"), MORE],
        ..APPEND
    },
    Case {
        rule: "4.1.2: so may the completeness",
        fields: &[PARTIAL, AT_1, ("Upload-Complete", "?0;a")],
        ..APPEND
    },
    Case {
        rule: "4.1.3: the same length may be told again",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Length", "@4")],
        ..APPEND
    },
    Case {
        rule: "4.1.3: a length that is no integer is ignored",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Length", "\"long\"")],
        ..APPEND
    },
    Case {
        rule: "4.1.3: a negative length is ignored",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Length", "-1")],
        ..APPEND
    },
    Case {
        rule: "interop version 8 is spoken",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Draft-Interop-Version", "8")],
        ..APPEND
    },
    Case {
        rule: "interop version 9 is spoken",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Draft-Interop-Version", "9")],
        ..APPEND
    },
    Case {
        rule: "10.2: an algorithm that nobody knows is no digest",
        fields: &[PARTIAL, AT_1, MORE, ("Content-Digest", "new=:YQ==:")],
        ..APPEND
    },
    Case {
        rule: "4.4, 7.1: a piece below the offset conflicts, and the right offset is told",
        fields: &[PARTIAL, ("Upload-Offset", "0"), MORE],
        status: 409,
        code: MISMATCH,
        told: &[
            ("upload-offset", "@1"),
            ("upload-complete", "?0"),
            ("cache-control", "no-store"),
        ],
        ..REFUSED
    },
    Case {
        rule: "4.4, 7.1: so does a piece above it",
        fields: &[PARTIAL, ("Upload-Offset", "@2"), MORE],
        status: 409,
        code: MISMATCH,
        told: &[("upload-offset", "@1"), ("upload-complete", "?0")],
        ..REFUSED
    },
    Case {
        rule: "4.4, 7.1: so does a last piece",
        fields: &[PARTIAL, ("Upload-Offset", "@3"), LAST],
        status: 409,
        code: MISMATCH,
        told: &[("upload-offset", "@1"), ("upload-complete", "?0")],
        ..REFUSED
    },
    Case {
        rule: "4.4: an append has an offset",
        fields: &[PARTIAL, MORE],
        ..REFUSED
    },
    Case {
        rule: "4.1.1: an offset that is a word is ignored",
        fields: &[PARTIAL, ("Upload-Offset", "abc"), MORE],
        ..REFUSED
    },
    Case {
        rule: "4.1.1: a negative offset is ignored",
        fields: &[PARTIAL, ("Upload-Offset", "-1"), MORE],
        ..REFUSED
    },
    Case {
        rule: "4.1.1: a decimal is no offset",
        fields: &[PARTIAL, ("Upload-Offset", "@1.0"), MORE],
        ..REFUSED
    },
    Case {
        rule: "4.1.1: a list is no offset",
        fields: &[PARTIAL, ("Upload-Offset", "@1, @1"), MORE],
        ..REFUSED
    },
    Case {
        rule: "4.4: an append says whether it is the last",
        fields: &[PARTIAL, AT_1],
        ..REFUSED
    },
    Case {
        rule: "4.1.2: a completeness that is a number is ignored",
        fields: &[PARTIAL, AT_1, ("Upload-Complete", "1")],
        ..REFUSED
    },
    Case {
        rule: "4.1.2: a completeness that is a word is ignored",
        fields: &[PARTIAL, AT_1, ("Upload-Complete", "true")],
        ..REFUSED
    },
    Case {
        rule: "4.4: an append has its own type",
        fields: &[("Content-Type", "application/octet-stream"), AT_1, MORE],
        status: 415,
        code: "not-an-append",
        ..REFUSED
    },
    Case {
        rule: "4.4: an append without a type is none",
        fields: &[AT_1, MORE],
        status: 415,
        code: "not-an-append",
        ..REFUSED
    },
    Case {
        rule: "4.4: more than the length ends the upload",
        body: 4,
        code: LENGTHS,
        after: None,
        ..REFUSED
    },
    Case {
        rule: "4.4: so it does with the last piece",
        fields: &[PARTIAL, AT_1, LAST],
        body: 4,
        code: LENGTHS,
        after: None,
        ..REFUSED
    },
    Case {
        rule: "4.1.3: another length is inconsistent",
        fields: &[PARTIAL, AT_1, MORE, ("Upload-Length", "@5")],
        code: LENGTHS,
        ..REFUSED
    },
    Case {
        rule: "4.1.3: a last piece that does not reach the length is inconsistent",
        fields: &[PARTIAL, AT_1, LAST],
        code: LENGTHS,
        ..REFUSED
    },
    Case {
        rule: "4.1.3: two lengths in one request are inconsistent",
        fields: &[PARTIAL, AT_1, LAST, ("Upload-Length", "@4")],
        code: LENGTHS,
        ..REFUSED
    },
    Case {
        rule: "10.2: a piece with another digest does not count",
        fields: &[
            PARTIAL,
            AT_1,
            MORE,
            (
                "Content-Digest",
                "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
            ),
        ],
        code: "digest-mismatch",
        ..REFUSED
    },
    Case {
        rule: "10.2: a digest that cannot be read is refused",
        fields: &[PARTIAL, AT_1, MORE, ("Content-Digest", "sha-256=abc")],
        code: "bad-digest",
        ..REFUSED
    },
    Case {
        rule: "4.5: DELETE ends it",
        method: "DELETE",
        fields: &[],
        body: 0,
        told: &[("location", "")],
        after: None,
        ..APPEND
    },
    Case {
        rule: "4.1.4: OPTIONS tells the limits",
        method: "OPTIONS",
        fields: &[],
        body: 0,
        told: &[],
        after: Some(("@1", "?0")),
        ..APPEND
    },
    Case {
        rule: "an upload takes no other method",
        method: "PUT",
        status: 405,
        code: "method-not-allowed",
        told: &[],
        ..REFUSED
    },
];

#[test]
fn each_request_for_an_upload_has_the_answer_that_the_draft_wants() {
    let site = Site::without_mongodb();
    // nginx closes the connection of a refused body.
    let client = Client::anew_each_time(site.http_port, Duration::from_mins(1));
    for piece in [5, 40_000] {
        for case in CASES {
            let what = format!("{} ({piece} bytes)", case.rule);
            let path = begin(&client, piece);
            let target = (case.method, &*path);
            let answer = ask(&client, target, case.fields, case.body, piece);
            assert_eq!(answer.status, case.status, "{what}: {answer:?}");
            assert_told(&answer, case.told, piece, &what);
            if case.code.is_empty() {
                // OPTIONS has them all; the answer to DELETE is about no upload any more.
                let has_limits = case.method != "DELETE";
                assert!(!has_limits || max_size(&answer) > 0, "{what}");
            } else if case.method != "HEAD" {
                answer.assert_problem(case.status, case.code);
            }
            if case.code == MISMATCH {
                let told = answer.json();
                let provided = in_bytes(case.fields[1].1, piece);
                assert_eq!(told["expected-offset"], piece, "{what}");
                assert_eq!(told["provided-offset"].to_string(), provided, "{what}");
            }
            assert_at(&client, &path, case.after, piece, &what);
        }
    }
    assert!(site.names("spool").is_empty());
}
