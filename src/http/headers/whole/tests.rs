//! Heads of uploads from real clients: those that mean a whole file or the beginning of a resumable
//! upload, and all others.

use super::*;
use crate::http::headers::testing::head;

const WHOLE: Meaning = Meaning::Whole {
    is_resumable: false,
};

/// Returns the refusal of a PUT of ten bytes with these headers.
fn told(lines: &[(&str, &str)], target: &str, length: Option<u64>) -> Result<Meaning, HeadError> {
    let asked = Asked {
        method: "PUT",
        target,
        length,
    };
    check(&head(lines), asked)
}

#[test]
fn a_head_that_means_something_else_is_refused_by_its_name() {
    for (name, value) in [
        ("Content-Range", "bytes 3-5/6"),
        ("Content-Range", "bytes 0-9/10"),
        ("Content-Range", "nonsense"),
        ("X-Content-Range", "bytes 0-9/20"),
        ("X-Update-Range", "append"),
        ("OC-Chunked", "1"),
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Concat", "partial"),
        ("Upload-Defer-Length", "1"),
        ("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
        ("Upload-Offset", "0"),
        ("Upload-Complete", "1"),
        ("Upload-Complete", ""),
        ("Upload-Length", "11"),
        ("Upload-Length", "-10"),
        ("Upload-Length", "ten"),
        ("X-HTTP-Method-Override", "PATCH"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "post"),
        ("X-Upload-Content-Length", "10"),
        ("X-Goog-Resumable", "start"),
        ("X-Goog-Upload-Protocol", "resumable"),
        ("X-Amz-Content-SHA256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("X-Amz-Decoded-Content-Length", "10"),
        ("X-Amz-Copy-Source", "/bucket/key"),
        ("Content-Transfer-Encoding", "base64"),
    ] {
        let refused = told(&[(name, value)], "/files", Some(10)).unwrap_err();
        assert!(
            matches!(refused, HeadError::NotWhole { by, .. } if by == name),
            "{refused:?}"
        );
    }
    for lines in [
        &[("Upload-Incomplete", "?1")][..],
        &[("Upload-Draft-Interop-Version", "8")],
        &[
            ("Upload-Draft-Interop-Version", "6"),
            ("Upload-Complete", "?0"),
        ],
        &[("Upload-Complete", "?0"), ("Content-Range", "bytes 0-1/2")],
        &[("Upload-Complete", "?1"), ("Upload-Complete", "?1")],
        &[("Upload-Complete", "?1"), ("Upload-Incomplete", "?1")],
        &[("X-Chunk-Index", "0"), ("X-Total-Chunks", "2")],
        &[("Content-Type", "Multipart/ByteRanges; boundary=a")],
        &[("Content-Type", "application/offset+octet-stream")],
        &[("Content-Type", "application/partial-upload")],
        &[("Accept", "*/*"), ("Content-Range", "bytes 0-1/2")],
    ] {
        let refused = told(lines, "/files", Some(10)).unwrap_err();
        assert!(matches!(refused, HeadError::NotWhole { .. }), "{lines:?}");
    }
}

#[test]
fn a_head_that_means_a_whole_file_passes() {
    for lines in [
        &[][..],
        &[("Content-Type", "application/octet-stream")],
        &[("Upload-Complete", "?1")],
        &[("Upload-Complete", "?1;a=b"), ("Upload-Length", "10")],
        &[
            ("Upload-Complete", "?1"),
            ("Upload-Draft-Interop-Version", "6"),
        ],
        // These are the fields of iOS 17.
        &[
            ("Upload-Incomplete", "?0"),
            ("Upload-Draft-Interop-Version", "3"),
        ],
        &[("Upload-Length", "10")],
        &[("Upload-Metadata", "filename YQ==")],
        &[("X-HTTP-Method-Override", "PUT")],
        &[("X-HTTP-Method-Override", "put")],
        &[("OC-Chunked", "0")],
        &[("Content-Transfer-Encoding", "Binary")],
        &[("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")],
        &[("Range", "bytes=0-")],
        &[("X-Chunk-Index", "0"), ("X-Total-Chunks", "1")],
        &[("Content-Encoding", "identity")],
        &[("Content-Encoding", " Identity , ")],
        &[("Content-Encoding", "")],
    ] {
        let is_resumable = lines.contains(&("Upload-Complete", "?1"))
            || lines.contains(&("Upload-Complete", "?1;a=b"));
        let expected = Meaning::Whole { is_resumable };
        assert_eq!(told(lines, "/files", Some(10)), Ok(expected), "{lines:?}");
    }
    // The length of a chunked body is not known before it has come.
    assert_eq!(told(&[("Upload-Length", "11")], "/files", None), Ok(WHOLE));
}

#[test]
fn an_upload_that_is_not_complete_begins_one_that_can_be_resumed() {
    const BEGINS: (&str, &str) = ("Upload-Complete", "?0");
    for (lines, declared) in [
        (&[BEGINS][..], None),
        (&[BEGINS, ("Upload-Length", "10")], Some(10)),
        (&[BEGINS, ("Upload-Length", "1000")], Some(1000)),
        // Other values are ignored (§4.1.3 of the draft).
        (&[BEGINS, ("Upload-Length", "ten")], None),
        (&[BEGINS, ("Upload-Draft-Interop-Version", "8")], None),
        (&[BEGINS, ("Upload-Draft-Interop-Version", "9")], None),
        (
            &[BEGINS, ("Content-Type", "multipart/form-data; boundary=a")],
            None,
        ),
    ] {
        for target in ["/files", "/files/a.txt", "/messages"] {
            let expected = Meaning::Begins { declared };
            assert_eq!(told(lines, target, Some(10)), Ok(expected), "{lines:?}");
        }
    }
    for lines in [
        &[BEGINS, ("Upload-Length", "9")],
        &[("Upload-Complete", "?1"), ("Upload-Length", "20")],
    ] {
        let refused = told(lines, "/files", Some(10));
        assert_eq!(refused, Err(HeadError::UploadLength), "{lines:?}");
    }
}

#[test]
fn a_coded_body_is_refused_whatever_the_coding() {
    for lines in [
        &[("Content-Encoding", "gzip")][..],
        &[("Content-Encoding", "identity, br")],
        &[
            ("Content-Encoding", "identity"),
            ("Content-Encoding", "ZSTD"),
        ],
        &[("Content-Encoding", "aws-chunked")],
        &[("Content-Encoding", "gzip;q=1")],
        &[("Content-Encoding", "identity gzip")],
    ] {
        let refused = told(lines, "/files", Some(10)).unwrap_err();
        assert_eq!(refused, HeadError::Coded, "{lines:?}");
    }
}

#[test]
fn a_query_that_means_a_piece_or_a_session_is_refused() {
    for query in [
        "partNumber=1&uploadId=a",
        "uploads",
        "uploads=",
        "uploadType=resumable",
        "token=a&comp=block&blockid=MQ==",
        "comp=appendblock",
        "resumableChunkNumber=1&resumableTotalChunks=3",
        "flowTotalChunks=%33",
        "chunk=0&chunks=2",
        "name=a&%63hunk=1&chunks=2",
    ] {
        let refused = told(&[], &format!("/files?{query}"), Some(10)).unwrap_err();
        assert!(matches!(refused, HeadError::NotWhole { .. }), "{query}");
    }
    for query in [
        "",
        "token=abc",
        "chunks=2",
        "resumableChunkNumber=1&resumableTotalChunks=1",
        "partNumber=1",
        "uploadType=media",
        "comp=",
    ] {
        let target = format!("/files?{query}");
        assert_eq!(told(&[], &target, Some(10)), Ok(WHOLE), "{query}");
    }
}
