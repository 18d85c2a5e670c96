//! Each request that begins an upload, or is one.

use std::time::Duration;

use super::*;

/// The largest upload here.
const MOST: u64 = 1_000_000;

/// The digest of other bytes.
const OTHER: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

/// An upload begins with one piece.
const BEGUN: Case = Case {
    rule: "",
    method: "",
    fields: &[MORE],
    body: 1,
    status: 201,
    code: "",
    told: &[("upload-complete", "?0"), ("cache-control", "no-store")],
    after: Some(("@1", "?0")),
};

/// The file is complete at once.
const WHOLE: Case = Case {
    fields: &[LAST],
    told: &[("upload-complete", "?1")],
    after: None,
    ..BEGUN
};

/// Nothing begins.
const REFUSED: Case = Case {
    status: 400,
    told: &[("upload-complete", "?0"), ("location", "")],
    after: None,
    ..BEGUN
};

const CASES: &[Case] = &[
    Case {
        rule: "4.2: it may begin without content",
        body: 0,
        after: Some(("0", "?0")),
        ..BEGUN
    },
    Case {
        rule: "4.2: it may begin with content",
        ..BEGUN
    },
    Case {
        rule: "4.2: it may begin with its length",
        fields: &[MORE, ("Upload-Length", "@2")],
        ..BEGUN
    },
    Case {
        rule: "4.1.3: length and offset do not make it complete",
        fields: &[MORE, ("Upload-Length", "@1")],
        ..BEGUN
    },
    Case {
        rule: "4.1.3: a length that is no integer is ignored",
        fields: &[MORE, ("Upload-Length", "?1")],
        ..BEGUN
    },
    Case {
        rule: "interop version 8 is spoken",
        fields: &[MORE, ("Upload-Draft-Interop-Version", "8")],
        ..BEGUN
    },
    Case {
        rule: "interop version 9 is spoken",
        fields: &[MORE, ("Upload-Draft-Interop-Version", "9")],
        ..BEGUN
    },
    Case {
        rule: "4.2: it may have a name",
        fields: &[MORE, ("Content-Disposition", "inline; filename=a.txt")],
        ..BEGUN
    },
    Case {
        rule: "4.2: it may be complete at once",
        ..WHOLE
    },
    Case {
        rule: "4.2: and tell its length",
        fields: &[LAST, ("Upload-Length", "@1")],
        ..WHOLE
    },
    Case {
        rule: "4.2: and be empty",
        fields: &[LAST, ("Upload-Length", "0")],
        body: 0,
        ..WHOLE
    },
    Case {
        rule: "11.1.1: an ordinary upload may offer to be one",
        fields: &[LAST, ("Upload-Draft-Interop-Version", "8")],
        ..WHOLE
    },
    Case {
        rule: "10.2: content with another digest begins nothing",
        fields: &[MORE, ("Content-Digest", OTHER)],
        code: "digest-mismatch",
        ..REFUSED
    },
    Case {
        rule: "4.1.3: a complete one of another length is inconsistent",
        fields: &[LAST, ("Upload-Length", "@2")],
        code: LENGTHS,
        ..REFUSED
    },
    Case {
        rule: "4.1.3: more content than the length is inconsistent",
        fields: &[MORE, ("Upload-Length", "@1")],
        body: 2,
        code: LENGTHS,
        ..REFUSED
    },
    Case {
        rule: "4.1.4: a length above max-size is too large",
        fields: &[MORE, ("Upload-Length", "1000001")],
        status: 413,
        code: "too-large",
        ..REFUSED
    },
    Case {
        rule: "4.1.4: also without content",
        fields: &[MORE, ("Upload-Length", "1000001")],
        body: 0,
        status: 413,
        code: "too-large",
        ..REFUSED
    },
    Case {
        rule: "8: content codings are not taken here",
        fields: &[MORE, ("Content-Encoding", "gzip")],
        status: 415,
        code: "content-coding-not-taken",
        ..REFUSED
    },
    // To take the field for absent, as 4.1.2 has it, would make a file of what may be a piece.
    Case {
        rule: "an unclear completeness begins nothing",
        fields: &[("Upload-Complete", "true")],
        code: "not-a-whole-file",
        ..REFUSED
    },
    Case {
        rule: "an unknown interop version begins nothing",
        fields: &[MORE, ("Upload-Draft-Interop-Version", "3")],
        code: "not-a-whole-file",
        ..REFUSED
    },
];

#[test]
fn each_creation_has_the_answer_that_the_draft_wants() {
    let site = kit::Builder::default().set("max_body_bytes", MOST);
    let site = site.start_without_mongodb();
    let client = Client::anew_each_time(site.http_port, Duration::from_mins(1));
    for piece in [5, 40_000] {
        for target in [("POST", "/files"), ("PUT", "/files/b.txt")] {
            for case in CASES {
                let what = format!("{target:?}: {} ({piece} bytes)", case.rule);
                let before = site.status()["journal"]["open_uploads"].clone();
                let answer = ask(&client, target, case.fields, case.body, piece);
                assert_eq!(answer.status, case.status, "{what}: {answer:?}");
                assert_told(&answer, case.told, piece, &what);
                let location = answer.header("location");
                if case.after.is_some() {
                    assert!(location.starts_with("/uploads/"), "{what}: {location}");
                    assert_eq!(max_size(&answer), MOST, "{what}");
                    assert_at(&client, location, case.after, piece, &what);
                    continue;
                }
                if case.code.is_empty() {
                    let content = noise(2, case.body * piece);
                    assert!(client.get(location).body == content, "{what}");
                } else {
                    answer.assert_problem(case.status, case.code);
                }
                if case.status == 413 || case.code == LENGTHS {
                    assert_eq!(max_size(&answer), MOST, "{what}");
                }
                assert_eq!(site.status()["journal"]["open_uploads"], before, "{what}");
            }
        }
    }
}
