//! Forms: every file of a form becomes a file of its own, and none of its bytes is written twice.

use std::os::unix::fs::MetadataExt as _;

use kit::{Answer, Builder, Client, Mongo, Routes, Site, curl, noise, object_id, wait_until};
use mongodb::bson::doc;
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");

/// A form with the boundary `b`; each part is given by the text behind `form-data; ` in its head.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, data) in parts {
        let head = format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        for piece in [head.as_bytes(), data, b"\r\n"] {
            body.extend_from_slice(piece);
        }
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

/// The files in the answer to a form.
fn files(answer: &Answer) -> Vec<Value> {
    assert_eq!(
        answer.status,
        201,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    answer.json()["files"].as_array().unwrap().clone()
}

fn text<'a>(file: &'a Value, name: &str) -> &'a str {
    file[name].as_str().unwrap()
}

fn assert_content(client: &Client, file: &Value, content: &[u8]) {
    let answer = client.get(text(file, "url"));
    assert_eq!(answer.status, 200, "{file}");
    assert!(answer.body == content, "{file}: other bytes came back");
    assert_eq!(answer.header("Content-Type"), text(file, "content_type"));
    let disposition = answer.header("Content-Disposition");
    assert!(
        disposition.contains(text(file, "filename")),
        "{disposition}"
    );
}

#[test]
fn the_files_of_a_form_are_files_before_and_after_the_commit() {
    let routes = Routes::start();
    let url = format!("{}/files", routes.site.url());
    let content = noise(1, 3 * 1024 * 1024 + 1);
    let sent = curl(
        ("body", &content),
        &[
            "-F",
            "caption=grüße",
            "-F",
            "tag=z",
            "-F",
            "tag=a",
            "-F",
            "first=@body;filename=a 1.png;type=image/png",
            "-F",
            "second=@body",
            "-F",
            "empty=@/dev/null;filename=nothing.txt;type=text/plain",
            &url,
        ],
    );
    let told = sent.answer.json();
    let sent = files(&sent.answer);
    assert_eq!(sent.len(), 3, "{sent:?}");
    // The members of the first file are also at the top level.
    for (name, value) in sent[0].as_object().unwrap() {
        assert_eq!(&told[name], value, "{name}");
    }
    assert_eq!(text(&sent[0], "filename"), "a 1.png");
    assert_eq!(sent[0]["metadata"]["caption"], "grüße");
    assert_eq!(sent[0]["metadata"]["tag"], json!(["z", "a"]));
    let tags = routes.both(|client| {
        assert_eq!(client.get(text(&sent[0], "url")).body.len(), content.len());
        assert_content(client, &sent[1], &content);
        assert_content(client, &sent[2], b"");
        let meta = client
            .get(&format!("{}/meta", text(&sent[0], "url")))
            .json();
        assert_eq!(meta["metadata"], sent[0]["metadata"]);
        client.head(text(&sent[1], "url")).header("ETag").to_owned()
    });
    assert_eq!(tags[0], tags[1]);
    for (file, length) in sent.iter().zip([content.len(), content.len(), 0]) {
        let id = object_id(text(file, "id"));
        let stored = routes.mongo.find("fs.files", doc! { "_id": id });
        assert_eq!(routes.mongo.whole(&stored[0]).len(), length);
        let fields = stored[0].get_document("metadata").unwrap();
        let fields = fields.get_document("fields").unwrap();
        assert_eq!(fields, &doc! { "caption": "grüße", "tag": ["z", "a"] });
    }
}

#[test]
fn ranges_of_a_file_in_a_form_are_those_of_the_file() {
    let routes = Routes::start();
    let content = noise(2, 2 * 1024 * 1024);
    let body = form(&[
        ("name=\"a\"; filename=\"a\"", b"before"),
        ("name=\"b\"; filename=\"b\"", &content),
        ("name=\"c\"; filename=\"c\"", b"behind"),
    ]);
    let sent = files(&routes.site.client().post("/files", &[FORM], &body));
    let last = content.len() - 1;
    routes.both(|client| {
        for (first, last) in [(0, 0), (0, last), (1_048_575, 1_048_577), (last, last)] {
            let range = format!("bytes={first}-{last}");
            let answer = client.get_with(text(&sent[1], "url"), &[("Range", &range)]);
            assert_eq!(answer.status, 206, "{range}");
            assert!(answer.body == content[first..=last], "{range}");
            let bounds = format!("bytes {first}-{last}/{}", content.len());
            assert_eq!(answer.header("Content-Range"), bounds);
        }
        let outside = format!("bytes={}-", content.len());
        let answer = client.get_with(text(&sent[1], "url"), &[("Range", &outside)]);
        assert_eq!(answer.status, 416);
    });
}

#[test]
fn no_byte_of_a_form_is_written_again() {
    let site = Site::without_mongodb();
    let content = noise(3, 1024 * 1024);
    let body = form(&[
        ("name=\"a\"; filename=\"a\"", &content),
        ("name=\"b\"; filename=\"b\"", &content),
    ]);
    let sent = files(&site.client().post("/files", &[FORM], &body));
    let inodes: Vec<_> = sent
        .iter()
        .map(|file| site.data_dir().join("journal/body").join(text(file, "id")))
        .map(|path| path.metadata().unwrap())
        .map(|found| (found.ino(), found.len()))
        .collect();
    assert_eq!(inodes[0], inodes[1]);
    assert_eq!(inodes[0].1, u64::try_from(body.len()).unwrap());
}

#[test]
fn forms_of_many_files_and_much_text_are_taken_in_bounded_memory() {
    let site = Builder::default()
        .set("durability", "os")
        .start_without_mongodb();
    let client = site.client();
    let before = site.sidecar_peak_kib();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let forms: Vec<_> = (0..12)
            .map(|number| {
                let (files, text_bytes) = if number % 2 == 0 {
                    (1000, 1900)
                } else {
                    (60, 1000)
                };
                let client = client.clone();
                scope.spawn(move || (files, client.post_form(None, files, text_bytes)))
            })
            .collect();
        forms.into_iter().map(|form| form.join().unwrap()).collect()
    });
    for (count, answer) in &answers {
        assert_eq!(files(answer).len(), *count);
    }
    let more = site.sidecar_growth_kib(before);
    assert!(more < 32 * 1024, "{more} KiB");
    // A large form is answered at once, so that it does not stay in memory.
    let wait = [FORM, ("Prefer", "wait=60")];
    let part = ("name=\"f\"; filename=\"f\"", &b"x"[..]);
    let answer = client.post("/files", &wait, &form(&[part; 65]));
    assert_eq!(files(&answer).len(), 65);
    assert_eq!(answer.header("preference-applied"), "");
}

#[test]
fn nginx_and_sidecar_write_a_form_once_together() {
    let site = Site::without_mongodb();
    let content = noise(4, 32 * 1024 * 1024);
    let body = form(&[
        ("name=\"a\"; filename=\"a\"", &content),
        ("name=\"b\"; filename=\"b\"", &content),
    ]);
    // The log makes its files in advance: one to write to, and two in reserve.
    site.client().upload(b"first");
    wait_until("the log has its files, whole", || {
        let log = site.data_dir().join("journal/wal");
        let files = site.names("journal/wal").into_iter();
        let lengths: Vec<_> = files
            .map(|name| std::fs::metadata(log.join(name)).unwrap().len())
            .collect();
        lengths.len() == 3 && lengths.iter().min() == lengths.iter().max()
    });
    let before = site.written();
    let sent = files(&site.client().post("/files", &[FORM], &body));
    assert_eq!(sent.len(), 2);
    let after = site.written();
    let length = u64::try_from(body.len()).unwrap();
    // Records, groups and heads; and the blocks of the file system.
    let most = length + length / 50 + 256 * 1024;
    let told = after.told - before.told;
    assert!((length..=most).contains(&told), "{told} of {length}");
    let reached_disk = after.reached_disk - before.reached_disk;
    // For a page within a large page, the system counts the whole large page (2 MiB), though only a
    // block reaches the disk. The frame of the form is written into the middle of the log's file, with
    // a head behind it.
    let most = most + 2 * 2 * 1024 * 1024;
    assert!(reached_disk <= most, "{reached_disk} of {length}");
}

#[test]
fn one_file_of_a_form_can_be_deleted_without_the_others() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let body = form(&[
        ("name=\"a\"; filename=\"a\"", b"first"),
        ("name=\"b\"; filename=\"b\"", b"second"),
    ]);
    let sent = files(&client.post("/files", &[FORM], &body));
    assert_eq!(client.delete(text(&sent[0], "url")).status, 204);
    assert_eq!(client.get(text(&sent[0], "url")).status, 404);
    assert_content(&client, &sent[1], b"second");
    mongo.heal();
    site.wait_until_empty();
    assert_eq!(client.get(text(&sent[0], "url")).status, 404);
    assert_content(&client, &sent[1], b"second");
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
}

#[test]
fn a_form_of_a_thousand_files_is_taken_whole_and_outlives_a_kill() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let contents: Vec<_> = (0..1000_u64).map(|seed| noise(seed, 100)).collect();
    let parts: Vec<_> = contents
        .iter()
        .map(|content| ("name=\"f\"; filename=\"f.bin\"", &content[..]))
        .collect();
    let sent = files(&site.client().post("/files", &[FORM], &form(&parts)));
    site.kill_sidecar();
    site.start_sidecar();
    let client = site.client();
    let assert_all = || {
        for (file, content) in sent.iter().zip(&contents) {
            assert!(client.get(text(file, "url")).body == *content, "{file}");
        }
    };
    assert_eq!(sent.len(), contents.len());
    assert_all();
    site.wait_until_empty();
    assert_all();
}

#[test]
fn what_is_no_whole_form_is_refused_and_leaves_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let whole = form(&[
        ("name=\"a\"; filename=\"a\"", b"first"),
        ("name=\"b\"; filename=\"b\"", b"second"),
    ]);
    let cut = &whole[..whole.len() - 10];
    let with_stray = |stray: &[u8]| [stray, &whole].concat();
    let bare_line_end = form(&[
        ("name=\"a\"; filename=\"a\"", b"first\n--b\r\n\r\nsecond"),
        ("name=\"b\"; filename=\"b\"", b"third"),
    ]);
    let twice = [&whole[..], &whole].concat();
    let many: Vec<_> = (0..1025)
        .map(|_| ("name=\"f\"; filename=\"f\"", &b"x"[..]))
        .collect();
    let no_boundary = ("Content-Type", "multipart/form-data");
    let no_file = form(&[("name=\"a\"", b"text")]);
    let long = form(&[
        ("name=\"a\"; filename=\"a\"", b"x"),
        ("name=\"t\"", &[b't'; 9000]),
    ]);
    // 1,023 empty files that would keep 8 KiB of text each.
    client
        .post_form(None, 1023, 8000)
        .assert_problem(413, "too-much-metadata");
    for (header, body, status) in [
        (FORM, cut, 400),
        (FORM, &with_stray(b"x"), 400),
        (FORM, &with_stray(b"\n"), 400),
        (FORM, &with_stray(b"\xef\xbb\xbf"), 400),
        (FORM, &bare_line_end, 400),
        (FORM, &twice, 400),
        (no_boundary, &whole, 400),
        (
            ("Content-Type", "multipart/form-data; boundary=c"),
            &whole,
            400,
        ),
        (FORM, b"", 400),
        (FORM, &no_file, 400),
        (FORM, &form(&many), 413),
        (FORM, &long, 413),
    ] {
        let answer = client.post("/files", &[header], body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("Content-Type"), "application/problem+json");
    }
    let put = client.put_with("/files/a", &[FORM], &whole);
    assert_eq!(put.status, 415);
    site.assert_nothing_is_kept("refused");
}
