//! Forms of HTTP libraries: each has words, orders and omissions of its own.

use std::path::Path;
use std::process::Command;

use kit::{Answer, Site, curl, finish, noise};
use serde_json::{Value, json};

/// The expected file of a part of a form.
struct Expected<'a> {
    name: &'a str,
    content_type: &'a str,
    content: &'a [u8],
}

/// Asserts that a form was accepted, with these files and texts.
fn assert_taken(site: &Site, what: &str, answer: &Value, files: &[Expected<'_>], texts: &Value) {
    let told = answer["files"].as_array();
    let told = told.unwrap_or_else(|| panic!("{what}: {answer}"));
    assert_eq!(told.len(), files.len(), "{what}: {answer}");
    for (told, expected) in told.iter().zip(files) {
        let name = match expected.name {
            // A file without a name is named after its id.
            "" => told["id"].as_str().unwrap(),
            name => name,
        };
        assert_eq!(told["filename"], name, "{what}");
        assert_eq!(told["content_type"], expected.content_type, "{what}");
        assert_eq!(&told["metadata"], texts, "{what}");
        let got = site.client().get(told["url"].as_str().unwrap());
        assert_eq!(got.header("content-type"), expected.content_type, "{what}");
        assert!(got.body == expected.content, "{what}: other bytes");
    }
}

#[test]
fn forms_of_pythons_libraries_and_of_curl_arrive_with_their_bytes_names_and_types() {
    let python = std::env::var_os("GRIDSPOOL_HTTP_PYTHON")
        .expect("GRIDSPOOL_HTTP_PYTHON, a Python with HTTP clients; scripts/test brings one");
    let site = Site::without_mongodb();
    let scratch = tempfile::tempdir().unwrap();
    let (picture, long) = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", noise(1, 1_000_000));
    let expected = [
        ("größe 1.png", "image/png", &picture[..]),
        ("noise.bin", "application/octet-stream", &long),
        ("empty.txt", "text/plain", b""),
    ]
    .map(|(name, content_type, content)| {
        std::fs::write(scratch.path().join(name), content).unwrap();
        Expected {
            name,
            content_type,
            content,
        }
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/send_forms.py");
    let url = format!("{}/files", site.url());
    let output = finish(
        Command::new(python)
            .arg(script)
            .arg(&url)
            .arg(scratch.path()),
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let texts = json!({ "caption": "Grüße\nvom Meer", "count": "2" });
    for library in ["requests", "httpx", "aiohttp", "aiohttp, chunked"] {
        assert_taken(&site, library, &answers[library][1], &expected, &texts);
    }
    // A browser does not encode a percent sign: only quotes and line breaks are decoded.
    let quoted = &answers["aiohttp, quoted"][1]["files"];
    assert_eq!(quoted[0]["filename"], "gr%C3%B6%C3%9Fe%201.png");
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let sent = curl(
        ("body", b""),
        &[
            "-F",
            "caption=Grüße\nvom Meer",
            "-F",
            &format!("file=@{};type=image/png", path("größe 1.png")),
            "-F",
            &format!("file=@{}", path("noise.bin")),
            "-F",
            &format!("file=@{};type=text/plain", path("empty.txt")),
            "-F",
            "count=2",
            &url,
        ],
    );
    assert_taken(&site, "curl", &sent.answer.json(), &expected, &texts);
}

/// A body in chunks of a few bytes, like that of a client that does not know its length.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for piece in body.chunks(1000) {
        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

/// Sends a form with these heads of parts, over a bare connection.
fn send(
    site: &Site,
    content_type: &str,
    is_chunked: bool,
    boundary: &str,
    parts: &[(&str, &[u8])],
) -> Answer {
    let mut body = Vec::new();
    for (head, data) in parts {
        let head = head.replace('\n', "\r\n");
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let length = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {}", body.len())
    };
    let body = if is_chunked { chunked(&body) } else { body };
    let head = format!(
        "POST /files HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: {content_type}\r\n{length}\r\n\r\n"
    );
    site.raw(&[head.as_bytes(), &body].concat())
}

#[test]
fn forms_with_the_habits_of_other_libraries_arrive_with_their_bytes_names_and_types() {
    let site = Site::without_mongodb();
    let content = noise(2, 100_000);
    let length = content.len();
    let octets = "application/octet-stream";
    // The client; its Content-Type with the boundary; the head of its file part; the file's name.
    for (library, content_type, boundary, head, name, kept_as) in [
        (
            "OkHttp",
            "multipart/form-data; boundary=9e0a3a3c-2f5c-4a4e",
            "9e0a3a3c-2f5c-4a4e",
            format!("content-disposition: form-data; name=\"f\"; filename=\"größe.jpg\"\ncontent-type: image/jpeg\ncontent-length: {length}"),
            "größe.jpg",
            "image/jpeg",
        ),
        (
            "OkHttp, a part without a name",
            "multipart/form-data; boundary=9e0a3a3c-2f5c-4a4e",
            "9e0a3a3c-2f5c-4a4e",
            format!("content-disposition: form-data; name=\"f\"\ncontent-type: {octets}\ncontent-length: {length}"),
            "",
            octets,
        ),
        (
            "HttpClient of .NET",
            "multipart/form-data; boundary=\"c0d1e2f3-0000\"",
            "c0d1e2f3-0000",
            "Content-Type: audio/ogg\nContent-Disposition: form-data; name=f; filename=\"=?utf-8?B?Z3LDtsOfZS5vZ2c=?=\"; filename*=utf-8''gr%C3%B6%C3%9Fe.ogg".to_owned(),
            "größe.ogg",
            "audio/ogg",
        ),
        (
            "HttpClient of Apache",
            "multipart/form-data; charset=UTF-8; boundary=-xYz_0",
            "-xYz_0",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a b.bin\"\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: binary".to_owned(),
            "a b.bin",
            octets,
        ),
        (
            "Alamofire",
            "multipart/form-data; boundary=alamofire.boundary.0a1b2c3d",
            "alamofire.boundary.0a1b2c3d",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a.m4a\"\nContent-Type: audio/mp4".to_owned(),
            "a.m4a",
            "audio/mp4",
        ),
        (
            "a boundary of every character that there may be",
            "multipart/form-data; boundary=\"a'()+_,-./:=? z\"",
            "a'()+_,-./:=? z",
            "CONTENT-DISPOSITION: FORM-DATA; NAME=\"f\"; FILENAME=\"a.gif\"\nCONTENT-TYPE: image/gif".to_owned(),
            "a.gif",
            "image/gif",
        ),
        (
            "a browser of Windows, long ago",
            "multipart/form-data; boundary=---------------------------7d8",
            "---------------------------7d8",
            "Content-Disposition: form-data; name=\"f\"; filename=\"C:\\new\\a.gif\"\nContent-Type: image/gif".to_owned(),
            "a.gif",
            "image/gif",
        ),
    ] {
        for is_chunked in [false, true] {
            let parts = [
                ("Content-Disposition: form-data; name=\"t\"", &b"a text"[..]),
                (&head, &content),
            ];
            let answer = send(&site, content_type, is_chunked, boundary, &parts);
            let expected = Expected { name, content_type: kept_as, content: &content };
            assert_taken(&site, library, &answer.json(), &[expected], &json!({ "t": "a text" }));
        }
    }
}

#[test]
fn forms_with_the_faults_of_other_libraries_lose_nothing() {
    let site = Site::without_mongodb();
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let octets = "application/octet-stream";
    // The client; the head of its text part; the head of its file part; the file's name.
    for (library, text, head, name, kept_as) in [
        (
            "Retrofit",
            "Content-Disposition: form-data; name=\"t\"\nContent-Transfer-Encoding: binary\nContent-Type: application/json; charset=UTF-8\nContent-Length: 7",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a.png\"\nContent-Type: image/*",
            "a.png",
            "image/png",
        ),
        (
            "HttpClient of Apache, as it is by default",
            "Content-Disposition: form-data; name=\"t\"\nContent-Type: text/plain; charset=ISO-8859-1\nContent-Transfer-Encoding: 8bit",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: binary",
            "a.bin",
            "image/png",
        ),
        (
            "React Native",
            "content-disposition: form-data; name=\"t\"",
            "content-disposition: form-data; name=\"f\"; filename=\"a.jpg\"; filename*=utf-8''a.jpg\ncontent-type: image",
            "a.jpg",
            "image/png",
        ),
        (
            "a mail library",
            "MIME-Version: 1.0\nContent-Type: text/plain;\n charset=\"utf-8\"\nContent-Disposition: form-data;\n name=\"t\"",
            "MIME-Version: 1.0\nContent-Type:\n\timage/png\nContent-Disposition: form-data;\n name=\"f\";\n filename=\"data taken.png\"",
            "data taken.png",
            "image/png",
        ),
        (
            "a browser with a saved page",
            "Content-Disposition: form-data; name=\"t\"",
            "Content-Disposition: form-data; name=\"f\"; filename=\"page.mhtml\"\nContent-Type: multipart/related",
            "page.mhtml",
            "multipart/related",
        ),
        (
            "a browser on a file with a backslash at its end",
            "Content-Disposition: form-data; name=\"t\"",
            "Content-Disposition: form-data; name=\"dir\\\"; filename=\"report\\\"\nContent-Type: application/octet-stream",
            "report_",
            "image/png",
        ),
        (
            "a browser on a file with quotes in its name",
            "Content-Disposition: form-data; name=\"t\"",
            "Content-Disposition: form-data; name=\"f\"; filename=\"100% %22best%22.png\"\nContent-Type: image/png",
            "100% \"best\".png",
            "image/png",
        ),
    ] {
        let is_latin = text.contains("8859");
        let said: &[u8] = if is_latin {
            b"gr\xf6\xdfer"
        } else {
            "größer".as_bytes()
        };
        let parts = [(text, said), (head, &picture[..])];
        let answer = send(
            &site,
            "multipart/form-data; boundary=5f1a",
            false,
            "5f1a",
            &parts,
        );
        let answer = answer.json();
        let told = &answer["files"][0];
        assert_eq!(
            answer["files"].as_array().map(Vec::len),
            Some(1),
            "{library}: {answer}"
        );
        assert_eq!(told["filename"], name, "{library}");
        assert_eq!(told["content_type"], kept_as, "{library}");
        assert_eq!(told["metadata"]["t"], "größer", "{library}: {answer}");
        let claimed = &told["metadata"]["claimed_content_type"];
        let is_meant = [kept_as, octets].iter().any(|kind| head.contains(kind));
        assert!(claimed.is_string() || is_meant, "{library}: {answer}");
        let got = site.client().get(told["url"].as_str().unwrap());
        assert!(got.body == picture, "{library}: other bytes");
    }
    let coded = |line: &str| {
        let head = format!("Content-Disposition: form-data; name=\"f\"; filename=\"a\"\n{line}");
        send(
            &site,
            "multipart/form-data; boundary=5f1a",
            false,
            "5f1a",
            &[(&head, b"eA==")],
        )
    };
    coded("Content-Transfer-Encoding: base64").assert_problem(400, "bad-form");
    let refused = coded("Content-Encoding: gzip");
    assert_eq!(refused.status, 415);
    assert_eq!(refused.header("accept-encoding"), "identity");
}
