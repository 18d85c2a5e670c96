//! What becomes of the parts of forms, as clients of all kinds send them.

use crate::spool::Spool;

use super::*;

/// Reads a form with the boundary `b`, its parts given as head and bytes.
fn read_parts(parts: &[(&[u8], &[u8])]) -> Result<Form, Problem> {
    let mut body = Vec::new();
    for (head, data) in parts {
        for piece in [&b"--b\r\n"[..], head, b"\r\n\r\n", data, b"\r\n"] {
            body.extend_from_slice(piece);
        }
    }
    body.extend_from_slice(b"--b--\r\n");
    read_body(&body, "multipart/form-data; boundary=b")
}

fn read_body(body: &[u8], content_type: &str) -> Result<Form, Problem> {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("0000000001"), body).unwrap();
    let spool = Spool::open(scratch.path()).unwrap();
    let body = spool.claim(b"0000000001", None).unwrap();
    read(
        &body,
        &FormType::parse(&HeaderValue::from_str(content_type).unwrap())?,
        Metadata::default(),
    )
}

/// The name that a file part with this `Content-Disposition` gets.
fn name_of(parameters: &[u8]) -> Option<String> {
    let head = [b"Content-Disposition: form-data; name=\"f\"; ", parameters].concat();
    let form = read_parts(&[(&head, b"x")]).unwrap();
    form.files[0].filename.as_ref().map(ToString::to_string)
}

fn refusal(parts: &[(&[u8], &[u8])]) -> String {
    read_parts(parts).unwrap_err().to_string()
}

const FILE: &[u8] = b"Content-Disposition: form-data; name=\"f\"; filename=\"a.png\"";

#[test]
fn files_keep_their_order_and_texts_become_metadata() {
    let form = read_parts(&[
        (
            b"Content-Disposition: form-data; name=\"caption\"",
            "grüße".as_bytes(),
        ),
        (
            b"content-disposition: form-data; name=f; filename=a.png\r\nContent-Type: image/png",
            b"one",
        ),
        (
            b"Content-Disposition: form-data; name=\"place\"\r\nContent-Type: application/json",
            b"{}",
        ),
        (FILE, b""),
    ])
    .unwrap();
    let types = form
        .files
        .iter()
        .map(|file| file.content_type.as_ref().map(MediaType::as_str));
    assert_eq!(types.collect::<Vec<_>>(), [Some("image/png"), None]);
    let lengths = form.files.iter().map(|file| file.window.length);
    assert_eq!(lengths.collect::<Vec<_>>(), [3, 0]);
    let texts: Vec<_> = form.metadata.iter().collect();
    assert_eq!(texts, [("caption", "grüße"), ("place", "{}")]);
}

#[test]
fn names_are_read_in_every_form_that_clients_write() {
    for (parameters, name) in [
        (&b"filename=\"a b.txt\""[..], Some("a b.txt")),
        ("filename=\"größe.txt\"".as_bytes(), Some("größe.txt")),
        (
            b"filename=\"gr\xf6\xdfe.txt\"",
            Some("gr\u{fffd}\u{fffd}e.txt"),
        ),
        (
            b"filename=\"_.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
            Some("größe.txt"),
        ),
        (b"filename*=UTF-8''a%20b.txt", Some("a b.txt")),
        (
            b"filename=\"C:\\Users\\me\\new photo.jpg\"",
            Some("new photo.jpg"),
        ),
        (
            b"filename=\"\\\\host\\share\\photo.jpg\"",
            Some("photo.jpg"),
        ),
        (b"filename=\"a\\\"b.txt\"", Some("a\"b.txt")),
        (b"filename=\"../../etc/passwd\"", Some("passwd")),
        (b"filename=\"\"", None),
        (b"filename=\"..\"", None),
    ] {
        let shown = String::from_utf8_lossy(parameters);
        assert_eq!(name_of(parameters).as_deref(), name, "{shown}");
    }
}

#[test]
fn a_file_may_come_without_a_name() {
    let head = b"Content-Disposition: form-data; name=\"f\"\r\nContent-Type: image/png";
    let form = read_parts(&[(head, b"x")]).unwrap();
    assert_eq!(form.files[0].filename, None);
}

#[test]
fn a_choice_that_was_left_open_is_no_file() {
    let open = b"Content-Disposition: form-data; name=\"g\"; filename=\"\"\r\nContent-Type: application/octet-stream";
    let form = read_parts(&[(FILE, b"x"), (open, b"")]).unwrap();
    assert_eq!(form.files.len(), 1);
    assert!(refusal(&[(open, b"")]).contains("bad-form"));
}

#[test]
fn what_a_part_says_of_its_bytes_must_be_true() {
    let with = |line: &str| [FILE, b"\r\n", line.as_bytes()].concat();
    for line in ["Content-Length: 3", "Content-Transfer-Encoding: binary"] {
        assert!(read_parts(&[(&with(line), b"one")]).is_ok(), "{line}");
    }
    for line in [
        "Content-Length: 2",
        "Content-Length: -1",
        "Content-Transfer-Encoding: base64",
    ] {
        assert!(
            refusal(&[(&with(line), b"one")]).contains("400 Bad Request bad-form"),
            "{line}"
        );
    }
}

#[test]
fn heads_that_are_no_form_data_are_refused() {
    for head in [
        &b"Content-Type: text/plain"[..],
        b"Content-Disposition: attachment; name=\"f\"; filename=\"a\"",
        b"Content-Disposition: form-data; filename=\"a\"",
        b"Content-Disposition: form-data; name=\"f\"; filename=\"a",
        b"Content-Disposition: form-data; name=\"f\"; filename=\"a\"\r\nContent-Type: multipart/mixed; boundary=c",
        b"no colon",
        b"A: \0",
    ] {
        let shown = String::from_utf8_lossy(head);
        assert!(refusal(&[(head, b"x")]).contains("400"), "{shown:?}");
    }
}

#[test]
fn texts_are_utf8_and_bounded() {
    let head = b"Content-Disposition: form-data; name=\"caption\"";
    assert!(refusal(&[(FILE, b"x"), (head, b"\xff")]).contains("400"));
    let long = vec![b'a'; Metadata::MOST_BYTES + 1];
    assert!(refusal(&[(FILE, b"x"), (head, &long)]).contains("413"));
}

#[test]
fn a_form_without_a_valid_boundary_is_refused() {
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        &long,
    ] {
        let refused = read_body(b"--b--", content_type).unwrap_err();
        assert!(refused.to_string().contains("400"), "{content_type}");
    }
    assert!(read_body(b"--b--", "multipart/form-data; boundary=\"b\"").is_err());
}
