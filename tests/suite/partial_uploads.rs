//! Uploads that are not a whole file: pieces, encoded bodies, and other protocols.

use kit::{Site, curl, noise, wait_until};

#[test]
fn a_piece_and_a_coded_body_are_refused_on_every_way_and_leave_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let form = |field: &str, value: &str, head: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name={field}\r\n\r\n{value}\r\n--b\r\n\
             Content-Disposition: form-data; name=file; filename=a\r\n{head}\r\n\r\nbytes\r\n--b--\r\n"
        )
    };
    let kind = ("Content-Type", "multipart/form-data; boundary=b");
    let (plain, long) = (form("a", "b", "X: y"), noise(1, 50_000));
    for (header, status, code) in [
        (
            ("Content-Encoding", "gzip"),
            415,
            "content-coding-not-taken",
        ),
        (("Content-Range", "bytes 3-5/6"), 400, "not-a-whole-file"),
        (("Tus-Resumable", "1.0.0"), 400, "not-a-whole-file"),
        (("Upload-Length", "1000"), 400, "not-a-whole-file"),
        (
            ("X-HTTP-Method-Override", "DELETE"),
            400,
            "not-a-whole-file",
        ),
    ] {
        let answers = [
            client.post("/files", &[header], b"bar"),
            client.post("/files", &[header], b""),
            client.post("/files", &[header], &long),
            client.put_with("/files/a.txt", &[header], b"bar"),
            client.put_with("/files/a.txt", &[header], &long),
            client.post("/files", &[header, kind], plain.as_bytes()),
        ];
        for answer in answers {
            answer.assert_problem(status, code);
            let is_of_coding = answer.header("accept-encoding") == "identity";
            assert_eq!(is_of_coding, status == 415);
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains(header.0), "{detail}");
        }
    }
    for (field, value) in [("dztotalchunkcount", "2"), ("resumableTotalChunks", "3")] {
        let piece = form(field, value, "X: y");
        let answer = client.post("/files", &[kind], piece.as_bytes());
        answer.assert_problem(400, "not-a-whole-file");
    }
    for (line, status, code) in [
        ("Content-Encoding: gzip", 415, "content-coding-not-taken"),
        ("content-range: bytes 0-1/9", 400, "not-a-whole-file"),
    ] {
        let answer = client.post("/files", &[kind], form("a", "b", line).as_bytes());
        answer.assert_problem(status, code);
    }
    let url = format!("{}/files/a.txt", site.url());
    let rest = curl(("body", b"foobar"), &["-C", "3", "-T", "body", &url]);
    rest.answer.assert_problem(400, "not-a-whole-file");
    let query = "/files?resumableChunkNumber=1&resumableTotalChunks=3";
    client
        .post(query, &[], b"bar")
        .assert_problem(400, "not-a-whole-file");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), 0);
    for (header, body) in [
        (("Content-Encoding", "identity"), b"bar".as_slice()),
        (("Upload-Complete", "?1"), b"bar"),
        (("Upload-Complete", "?1"), &long),
        (("Upload-Length", "50000"), &long),
        (("X-HTTP-Method-Override", "POST"), b"bar"),
    ] {
        assert_eq!(client.post("/files", &[header], body).status, 201);
    }
    let whole = form("dztotalchunkcount", "1", "Content-Encoding: identity");
    let answer = client.post("/files", &[kind], whole.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
}
