//! Other drivers on the same bucket: they read gridspool's files, and gridspool serves theirs.

use std::path::Path;
use std::process::Command;

use futures::AsyncWriteExt as _;
use kit::{Builder, CHUNK, Client, Mongo, Site, eventually, finish, noise};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, doc};
use mongodb::options::GridFsUploadOptions;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::Digest as _;

/// Runs a script of `tests/fixtures` with pymongo; returns its output.
fn python(script: &str, arguments: &[&str]) -> Value {
    let python = std::env::var_os("GRIDSPOOL_PYTHON")
        .expect("GRIDSPOOL_PYTHON, a Python with pymongo; scripts/test brings one");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let output = finish(
        Command::new(python)
            .arg(fixtures.join(script))
            .args(arguments),
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Any text, as one path segment.
pub(crate) fn segment(text: &str) -> String {
    if text.contains(['/', '\\']) {
        let digits: Vec<_> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        return format!("~{}", digits.concat());
    }
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Asserts that a file can be read whole and in parts.
fn assert_served(client: &Client, key: &str, body: &[u8]) {
    let path = format!("/files/{}", segment(key));
    for path in [&path, &format!("{path}/any%20name")] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{key}");
        assert!(answer.body == body, "{key}: other bytes");
        answer.assert_harmless();
    }
    assert_eq!(
        client.head(&path).header("content-length"),
        body.len().to_string()
    );
    let last = body.len() - 1;
    for (first, last) in [(0, 0), (last / 2, last), (1000, 1_044_481), (last, last)] {
        let range = format!("bytes={first}-{last}");
        let answer = client.get_with(&path, &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{key} {range}");
        let last = last.min(body.len() - 1);
        assert!(answer.body == body[first..=last], "{key} {range}");
    }
}

/// Asserts that unknown ids are answered with 404.
fn assert_absent_whatever_is_asked(client: &Client) {
    // As operators these would find any file; MongoDB refuses to search for others.
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let deeper = format!("{}1{}", "{\"a\":".repeat(400), "}".repeat(400));
    for nobody in [
        "{\"$gt\":\"\"}",
        "{\"$ne\":2}",
        "{\"$exists\":true}",
        "{\"$regex\":\".*\"}",
        "{\"$in\":[42]}",
        "[42]",
        "{\"$undefined\":true}",
        "{\"a\":{\"$undefined\":true}}",
        "{\"$regularExpression\":{\"pattern\":\".\",\"options\":\"\"}}",
        "{\"$code\":\"1\",\"$scope\":{}}",
        "{\"$minKey\":1}",
        "{\"$maxKey\":1}",
        "{\"$timestamp\":{\"t\":1,\"i\":1}}",
        "{\"$dbPointer\":{\"$ref\":\"a\",\"$id\":{\"$oid\":\"0123456789abcdef01234567\"}}}",
        "{\"$oid\":\"short\"}",
        "{\"$oid\":7}",
        "{\"a\\u0000b\":1}",
        "{\"a\":{\"$b\":{\"$c\":1}}}",
        "{\"\":\"\"}",
        "{}",
        "null",
        "1e999",
        "\u{fffd}",
        "18446744073709551616",
        "{\"$numberDouble\":\"NaN\"}",
        "{\"$numberDecimal\":\"9E+6000\"}",
        &deep,
        &deeper,
        &"x".repeat(6000),
    ] {
        let path = format!("/files/{}", segment(nobody));
        for path in [&path, &format!("{path}/meta"), &format!("{path}/a.txt")] {
            client.get(path).assert_problem(404, "not-found");
        }
        assert_eq!(client.head(&path).status, 404, "{nobody}");
        client.delete(&path).assert_problem(404, "not-found");
    }
}

/// Asserts that every spelling of one value names the same file.
fn assert_served_by_every_spelling(client: &Client, content_of: &dyn Fn(&str) -> Vec<u8>) {
    for (text, spellings) in [
        (
            "42",
            &[
                "{\"$numberInt\":\"42\"}",
                " { \"$numberLong\" : \"42\" } ",
                "{\"$numberDouble\":\"42.0\"}",
                "{\"$numberDecimal\":\"42.00\"}",
                "42.0",
                "4.2e1",
            ][..],
        ),
        (
            "1.5",
            &[
                "{\"$numberDouble\":\"1.5\"}",
                "{\"$numberDecimal\":\"1.50\"}",
            ],
        ),
        (
            "plain",
            &["\"plain\"", "{\"$symbol\":\"plain\"}", "\"\\u0070lain\""],
        ),
        ("43", &["\"43\""]),
        (
            "{\"tenant\":7,\"file\":\"x\"}",
            &["{ \"tenant\": {\"$numberLong\":\"7\"}, \"file\":\"x\" }"],
        ),
        (
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            &[
                "{\"$uuid\":\"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"}",
                "{\"$binary\":{\"base64\":\"+B1Prn3sEdCnZQCgyR5r9g==\",\"subType\":\"04\"}}",
                "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
            ],
        ),
    ] {
        for spelling in spellings {
            assert_served(client, spelling, &content_of(text));
        }
    }
}

#[test]
fn pymongo_reads_every_file_that_gridspool_committed() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let files = [0, 1, CHUNK, CHUNK + 1, 5 * 1024 * 1024].map(|length| {
        let body = noise(7, length);
        let headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            (
                "Content-Disposition",
                "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
            ),
        ];
        let answer = client.post("/files", &headers, &body);
        (body, kit::Uploaded::read(&answer))
    });
    site.wait_until_committed();
    let scratch = tempfile::tempdir().unwrap();
    let uri = mongo.uri();
    let mut arguments = vec![uri.as_str(), scratch.path().to_str().unwrap()];
    arguments.extend(files.iter().map(|(_, file)| file.id.as_str()));
    let seen = python("read_with_pymongo.py", &arguments);
    for ((body, file), seen) in files.iter().zip(seen.as_array().unwrap()) {
        let length = body.len();
        let read = std::fs::read(scratch.path().join(&file.id)).unwrap();
        assert!(&read == body, "{length}: other bytes");
        assert_eq!(seen["length"], length);
        assert_eq!(seen["filename"], "größe.txt");
        assert_eq!(seen["contentType"], "text/plain; charset=utf-8");
        assert_eq!(seen["chunkSize"], CHUNK);
        assert_eq!(seen["more"], serde_json::json!(["gridspool"]));
        let digest = gridspool::store::Sha256(sha2::Sha256::digest(body).into());
        assert_eq!(seen["sha256"], digest.to_string());
        let millis = seen["uploadMillis"].as_i64().unwrap();
        let age = DateTime::now().timestamp_millis() - millis;
        assert!((0..3_600_000).contains(&age), "uploaded {age} ms ago");
    }
}

#[test]
fn files_that_pymongo_wrote_are_served_under_ids_of_every_type() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let scratch = tempfile::tempdir().unwrap();
    let content = |place: usize| noise(u64::try_from(place).unwrap(), 1_500_000 + place);
    for place in 0..30 {
        std::fs::write(scratch.path().join(place.to_string()), content(place)).unwrap();
    }
    let arguments = [&mongo.uri(), scratch.path().to_str().unwrap()];
    let written = python("write_with_pymongo.py", &arguments);
    let written = written.as_array().unwrap();
    assert!(written.len() > 10);
    for (place, file) in written.iter().enumerate() {
        let key = file["text"].as_str().unwrap();
        assert_served(&client, key, &content(place));
        let head = client.head(&format!("/files/{}", segment(key)));
        assert_eq!(
            head.header("content-type"),
            file["contentType"].as_str().unwrap(),
            "{key}"
        );
        assert!(!head.headers.contains_key("x-injected"));
        if let Some(name) = file["filename"].as_str() {
            let extended = format!("filename*=UTF-8''{}", segment(name).replace("%2E", "."));
            let plain = format!("filename=\"{name}\"");
            let told = head.header("content-disposition");
            assert!(
                told.ends_with(&extended) || told.ends_with(&plain),
                "{key}: {told}"
            );
        }
    }
    for text in ["a%2Fb%20c%2Fgr%C3%B6%C3%9Fe%3F%23%25.txt", "a%5Cb"] {
        let answer = client.get(&format!("/files/{text}"));
        answer.assert_problem(400, "ambiguous-path");
    }
    assert_absent_whatever_is_asked(&client);
    assert_eq!(site.status()["mongodb"]["state"], "up");
    let cached = site.cached_files();
    assert_served_by_every_spelling(&client, &|text| {
        let place = written.iter().position(|file| file["text"] == text);
        content(place.unwrap())
    });
    // Each file has one place in nginx's cache.
    assert_eq!(site.cached_files(), cached);
    assert_eq!(
        mongo.count(&mongo.files(), doc! {}),
        u64::try_from(written.len()).unwrap()
    );
}

#[test]
fn files_that_the_rust_driver_wrote_and_bare_documents_are_served() {
    let mongo = Mongo::start();
    let site = Builder::default().set("workers", 1).start(&mongo);
    let client = site.client();
    let body = noise(1, 1_500_000);
    let id = ObjectId::new();
    mongo.block_on(async {
        let bucket = mongo.database().gridfs_bucket(None);
        let options = GridFsUploadOptions::builder()
            .chunk_size_bytes(100_001)
            .metadata(doc! { "contentType": "video/mp4" })
            .build();
        let opened = bucket.open_upload_stream("film.mp4");
        let opened = opened.id(Bson::ObjectId(id)).with_options(options);
        let mut stream = opened.await.unwrap();
        stream.write_all(&body).await.unwrap();
        stream.close().await.unwrap();
    });
    assert_served(&client, &id.to_string(), &body);
    let head = client.head(&format!("/files/{id}"));
    assert_eq!(head.header("content-type"), "video/mp4");
    assert_eq!(
        head.header("content-disposition"),
        "inline; filename=\"film.mp4\""
    );

    // The fewest fields that a reader needs, and numbers of other types than in the specification.
    let bare = ObjectId::new();
    mongo.insert_chunk(&bare.to_string(), 0, &body[..CHUNK]);
    mongo.insert_chunk(&bare.to_string(), 1, &body[CHUNK..CHUNK + 5]);
    let (length, chunk) = (
        u32::try_from(CHUNK + 5).unwrap(),
        i64::try_from(CHUNK).unwrap(),
    );
    let document = doc! { "_id": bare, "length": f64::from(length), "chunkSize": chunk };
    mongo.insert("fs.files", document);
    let answer = client.get(&format!("/files/{bare}"));
    assert_eq!(answer.status, 200);
    assert!(answer.body == body[..CHUNK + 5]);
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(
        answer.header("content-disposition"),
        format!("attachment; filename=\"{bare}\"")
    );
}

#[test]
fn another_file_put_under_the_same_id_is_never_mixed_with_what_the_cache_has_of_the_old_one() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let write = |body: &[u8]| {
        mongo.block_on(async {
            let bucket = mongo.database().gridfs_bucket(None);
            let opened = bucket.open_upload_stream("a").id(Bson::from("theirs"));
            let mut stream = opened.await.unwrap();
            stream.write_all(body).await.unwrap();
            stream.close().await.unwrap();
        });
    };
    write(&noise(1, 2_500_000));
    let old = client.get("/files/theirs");
    assert!(old.body == noise(1, 2_500_000));
    let deleted = mongo.block_on(async {
        let bucket = mongo.database().gridfs_bucket(None);
        bucket.delete(Bson::from("theirs")).await
    });
    deleted.unwrap();
    write(&noise(2, 2_500_001));
    let new = eventually("the new file is served", || {
        let answer = client.get("/files/theirs");
        let is_new = answer.header("etag") != old.header("etag");
        assert!(is_new || answer.body == old.body);
        is_new.then_some(answer)
    });
    assert!(new.body == noise(2, 2_500_001));
    assert_ne!(new.header("etag"), old.header("etag"));
    let resumed = [
        ("Range", "bytes=1000000-"),
        ("If-Range", old.header("etag")),
    ];
    let answer = client.get_with("/files/theirs", &resumed);
    assert_eq!(answer.status, 200);
    assert!(answer.body == new.body);
}
