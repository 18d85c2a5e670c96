//! The results of reading forms of all kinds of clients.

use serde_json::json;

use super::*;
use crate::form::MOST_PARTS;
use crate::spool::Spool;

/// Reads a form with the boundary `b`, its parts given as head and bytes.
fn read_parts(parts: &[(&[u8], &[u8])]) -> Result<FormContent, Problem> {
    let mut body = Vec::new();
    for (head, data) in parts {
        for piece in [&b"--b\r\n"[..], head, b"\r\n\r\n", data, b"\r\n"] {
            body.extend_from_slice(piece);
        }
    }
    body.extend_from_slice(b"--b--\r\n");
    read_body(&body)
}

fn read_body(body: &[u8]) -> Result<FormContent, Problem> {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("0000000001"), body).unwrap();
    let spool = Spool::open(scratch.path()).unwrap();
    let body = spool.claim(b"0000000001", None).unwrap();
    read(&body, b"b", &Metadata::default(), MOST_PARTS).map(Option::unwrap)
}

fn texts(form: &FormContent) -> serde_json::Value {
    serde_json::to_value(&form.metadata).unwrap()
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
        .map(|file| Some(file.content_type.media_type()?.as_str()));
    assert_eq!(types.collect::<Vec<_>>(), [Some("image/png"), None]);
    let lengths = form.files.iter().map(|file| file.window.length);
    assert_eq!(lengths.collect::<Vec<_>>(), [3, 0]);
    assert_eq!(texts(&form), json!({ "caption": "grüße", "place": "{}" }));
}

#[test]
fn a_name_that_says_nothing_makes_a_file_without_a_name() {
    for (parameters, name) in [
        (&br#"filename="a b.txt""#[..], Some("a b.txt")),
        (b"filename*=UTF-8''a%20b.txt", Some("a b.txt")),
        (br#"filename="..""#, None),
        (b"filename*=b.txt", None),
        (b"filename*0=b.txt", Some("b.txt")),
        (b"filename*1=b.txt", None),
        (br#"filename="""#, None),
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
fn of_a_head_only_the_lines_are_judged_that_are_ours() {
    let with = |line: &[u8]| [FILE, b"\r\n", line].concat();
    for line in [
        &b"Content-Length: 99"[..],
        b"Content-Length: many",
        b"X-Anything: \xff\0\x01\n",
        b"no colon",
        b": no name",
        b"Content-Disposition",
        b"MIME-Version: 1.0\r\n folded",
        b"Content-Transfer-Encoding: Binary",
        b"Content-Transfer-Encoding: 8bit",
        b"Content-Encoding: identity",
        b"Content-Type: none\xff",
        b"Content-Type: text/plain\r\nContent-Type: image/png",
    ] {
        let form = read_parts(&[(&with(line), b"one")]).unwrap();
        assert_eq!(form.files[0].filename.as_ref().unwrap().as_str(), "a.png");
    }
    for line in ["base64", "quoted-printable", "gzip"] {
        let line = format!("Content-Transfer-Encoding: {line}");
        let refused = refusal(&[(&with(line.as_bytes()), b"one")]);
        assert!(refused.contains("400 Bad Request bad-form"), "{refused}");
    }
    for line in ["gzip", "br, identity", "Deflate"] {
        let line = format!("content-encoding:{line}");
        let refused = refusal(&[(&with(line.as_bytes()), b"one")]);
        assert!(refused.contains("415"), "{refused}");
    }
}

#[test]
fn folded_lines_of_a_head_are_one() {
    for head in [
        &b"Content-Disposition: form-data; name=\"f\";\r\n filename=\"data taken.txt\""[..],
        b"Content-Disposition: form-data;\r\n\tname=\"f\";\r\n  filename=\"data\r\n taken.txt\"\r\nX: 1",
        b"content-disposition:\r\n form-data; name=f; filename=data taken.txt",
    ] {
        let form = read_parts(&[(head, b"x")]).unwrap();
        assert_eq!(form.files[0].filename.as_ref().unwrap().as_str(), "data taken.txt");
    }
}

#[test]
fn heads_that_do_not_name_their_part_are_refused() {
    for head in [
        &b"Content-Type: text/plain"[..],
        b"Content-Disposition: attachment; name=\"f\"; filename=\"a\"",
        b"Content-Disposition: form-data; filename=\"a\"",
        b"Content-Disposition: form-data; name=\"f\"; filename=\"a",
        b"Content-Disposition: form-data; name=\"f\"; filename=\"a\"\nContent-Type: image/png",
        b"Content-Disposition: form-data; name=\"f\0\"; filename=\"a\"",
        b"Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"",
        b" Content-Disposition: form-data; name=\"f\"; filename=\"a\"",
        b"Content-Disposition: form-data; name=\"f\"\r\nContent-Type: multipart/mixed; boundary=c",
        b"no colon",
        b"A: \0",
    ] {
        let shown = String::from_utf8_lossy(head);
        assert!(refusal(&[(FILE, b"x"), (head, b"x")]).contains("400"), "{shown:?}");
    }
}

#[test]
fn a_saved_page_is_a_file_as_any_other() {
    let head = [FILE, b"\r\nContent-Type: multipart/related; boundary=\"q\""].concat();
    let form = read_parts(&[(&head, b"--q\r\n\r\n--q--\r\n"), (FILE, b"x")]).unwrap();
    assert_eq!(form.files.len(), 2);
    let content_type = form.files[0].content_type.media_type().unwrap();
    assert_eq!(content_type.as_str(), "multipart/related; boundary=q");
}

const TEXT: &str = "Content-Disposition: form-data; name=\"t\"";

/// A form with a file and these texts, each given by the type of its part and its bytes.
fn read_texts(parts: &[(&str, &[u8])]) -> Result<FormContent, Problem> {
    let heads: Vec<_> = parts
        .iter()
        .map(|(content_type, _)| format!("{TEXT}\r\nContent-Type: {content_type}"))
        .collect();
    let mut all = vec![(FILE, &b"x"[..])];
    let texts = heads.iter().zip(parts);
    all.extend(texts.map(|(head, (_, text))| (head.as_bytes(), *text)));
    read_parts(&all)
}

#[test]
fn a_part_without_a_file_name_is_a_text_however_its_type_is_written() {
    for content_type in [
        "application/json",
        "application/json; charset=UTF-8",
        "Application/JSON;charset=utf-8",
        "application/json; charset=\"utf-8\"; q=1",
        "TEXT/plain",
        "text/html;;",
        "",
        "undefined",
        "text/plain; charset",
    ] {
        let form = read_texts(&[(content_type, b"\"at sea\"")]).unwrap();
        assert_eq!(form.files.len(), 1, "{content_type}");
        assert_eq!(texts(&form), json!({ "t": "\"at sea\"" }), "{content_type}");
    }
    for content_type in ["application/octet-stream", "image/svg+xml"] {
        let form = read_texts(&[(content_type, b"x")]).unwrap();
        assert_eq!(form.files.len(), 2, "{content_type}");
    }
}

#[test]
fn texts_of_one_name_are_all_kept_in_their_order() {
    let form = read_texts(&[
        ("", b"z"),
        ("", b"a"),
        ("application/json", b"{}"),
        ("", b"a"),
    ]);
    assert_eq!(texts(&form.unwrap()), json!({ "t": ["z", "a", "{}", "a"] }));
}

#[test]
fn texts_are_decoded_from_the_charset_that_they_are_said_to_be_in() {
    for (content_type, bytes) in [
        ("", &b"gr\xc3\xb6\xc3\x9fe"[..]),
        (
            "text/plain; charset=utf-8",
            b"\xef\xbb\xbfgr\xc3\xb6\xc3\x9fe",
        ),
        ("text/plain; charset=ISO-8859-1", b"gr\xf6\xdfe"),
        ("text/plain; charset=\"windows-1252\"", b"gr\xf6\xdfe"),
        ("application/json; Charset=IBM866; q=1", b""),
        ("text/plain; charset=utf-16le", b"g\0r\0\xf6\0\xdf\0e\0"),
    ] {
        let form = read_texts(&[(content_type, bytes)]).unwrap();
        let text = if bytes.is_empty() { "" } else { "größe" };
        assert_eq!(texts(&form), json!({ "t": text }), "{content_type}");
    }
    for (content_type, bytes) in [
        ("", &b"\xff"[..]),
        ("text/plain; charset=utf-8", b"gr\xf6\xdfe"),
        ("text/plain; charset=Shift_JIS", b"\x81"),
        ("text/plain; charset=klingon", b"a"),
        ("text/plain; charset=iso-2022-kr", b"a"),
        ("text/plain; charset=utf-7", b"a"),
    ] {
        let refused = read_texts(&[(content_type, bytes)]).unwrap_err();
        assert!(
            refused.to_string().contains("400"),
            "{content_type}: {refused}"
        );
    }
}

#[test]
fn a_form_says_in_a_field_of_its_own_which_charset_its_texts_and_names_have() {
    let said: &[u8] = b"Content-Disposition: form-data; name=\"_charset_\"";
    let text: &[u8] = b"Content-Disposition: form-data; name=\"gr\xf6\xdfe\"";
    let own = format!("{TEXT}\r\nContent-Type: text/plain; charset=utf-8");
    let file: &[u8] = b"Content-Disposition: form-data; name=\"f\"; filename=\"gr\xf6\xdfe\"";
    let parts = [
        (said, &b"ISO-8859-1"[..]),
        (text, b"\xf6"),
        (own.as_bytes(), "ö".as_bytes()),
        (file, b"\xf6"),
    ];
    for turn in 0..parts.len() {
        let mut parts = parts;
        parts.rotate_left(turn);
        let form = read_parts(&parts).unwrap();
        assert_eq!(texts(&form), json!({ "größe": "ö", "t": "ö" }), "{turn}");
        assert_eq!(form.files[0].filename.as_ref().unwrap().as_str(), "größe");
    }
    let form = read_parts(&[
        (said, b"utf-8"),
        (TEXT.as_bytes(), "ö".as_bytes()),
        (FILE, b"x"),
    ]);
    assert_eq!(texts(&form.unwrap()), json!({ "t": "ö" }));
    for wrong in [&b"klingon"[..], b"", b"\xff"] {
        assert!(refusal(&[(said, wrong), (FILE, b"x")]).contains("400"));
    }
}

#[test]
fn texts_are_bounded() {
    let long = vec![b'a'; Metadata::MOST_BYTES];
    assert!(refusal(&[(FILE, b"x"), (TEXT.as_bytes(), &long)]).contains("413"));
    let long = vec![b'a'; 1_000_000];
    assert!(refusal(&[(FILE, b"x"), (TEXT.as_bytes(), &long)]).contains("413"));
}
