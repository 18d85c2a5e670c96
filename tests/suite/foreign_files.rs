//! Files of other drivers, which may replace them under their keys at any time.

use gridspool::file::FileKey;
use kit::{Answer, Builder, CHUNK, Client, Mongo, eventually, noise};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use serde_json::json;

/// The caching header of a replaceable file.
const REPLACEABLE: &str = "private, max-age=5, must-revalidate";

/// Writes a file like another driver; removes the file with that id first.
fn store(mongo: &Mongo, id: &Bson, bytes: &[u8], more: Document) {
    mongo.block_on(async {
        let files = mongo.files();
        files.delete_many(doc! { "_id": id }).await.unwrap();
        let chunks = mongo.chunks();
        chunks.delete_many(doc! { "files_id": id }).await.unwrap();
        for (n, piece) in (0..).zip(bytes.chunks(CHUNK)) {
            let bytes = piece.to_vec();
            let subtype = BinarySubtype::Generic;
            let data = Binary { subtype, bytes };
            let chunk = doc! { "files_id": id, "n": n, "data": data };
            chunks.insert_one(chunk).await.unwrap();
        }
        let (length, chunk) = (i64::try_from(bytes.len()), i32::try_from(CHUNK));
        let mut file = doc! { "_id": id, "length": length.unwrap(), "chunkSize": chunk.unwrap() };
        file.extend(more);
        files.insert_one(file).await.unwrap();
    });
}

/// Waits until only this content is served.
fn served(client: &Client, path: &str, bytes: &[u8]) -> Answer {
    eventually("the new file is served", || {
        let answer = client.get(path);
        (answer.body == bytes).then_some(answer)
    })
}

/// Asserts the results of conditions on a file that had another tag before. Dates prove nothing
/// about its content.
fn assert_judged_by_tag(
    client: &Client,
    path: &str,
    new: &[u8],
    [tag, new_tag]: [&str; 2],
    modified: &str,
) {
    let modified = if modified.is_empty() {
        "Thu, 01 Jan 1970 00:00:00 GMT"
    } else {
        modified
    };
    let range = ("Range", "bytes=1000-1999");
    for (headers, status) in [
        (&[("If-None-Match", new_tag)][..], 304),
        (&[("If-None-Match", tag)], 200),
        (&[("If-Match", tag)], 412),
        (&[("If-Modified-Since", modified)], 200),
        (&[range, ("If-Range", new_tag)], 206),
        (&[range, ("If-Range", tag)], 200),
        (&[range, ("If-Range", modified)], 200),
        (&[range], 206),
        (&[("Range", "bytes=9000000-")], 416),
        (&[("Range", "bytes=9000000-"), ("If-Range", tag)], 200),
    ] {
        let answer = client.get_with(path, headers);
        assert_eq!(answer.status, status, "{path} {headers:?}");
        match status {
            200 => assert!(answer.body == new, "{path} {headers:?}"),
            206 => assert!(answer.body == new[1000..2000], "{path} {headers:?}"),
            304 => assert_eq!(answer.header("cache-control"), REPLACEABLE),
            _ => assert_eq!(answer.header("content-type"), "application/problem+json"),
        }
    }
}

#[test]
fn a_file_that_is_replaced_under_its_id_is_soon_another_for_every_question() {
    let mongo = Mongo::start();
    let site = Builder::default().start(&mongo);
    let client = site.client();
    let date = DateTime::from_millis;
    let second = 1_700_000_000_000;
    let id = ObjectId::new();
    for (length, key, before, after) in [
        // The same second, the same length.
        (
            5_000_000,
            Bson::from("large"),
            doc! { "uploadDate": date(second) },
            doc! { "uploadDate": date(second + 1) },
        ),
        (
            3_000,
            Bson::from("small"),
            doc! { "uploadDate": date(second) },
            doc! { "uploadDate": date(second + 999) },
        ),
        // The same time, or no time at all.
        (
            3_000,
            Bson::from(7),
            doc! { "md5": "a" },
            doc! { "md5": "b" },
        ),
        // The same document.
        (
            5_000_000,
            Bson::from("date-stays"),
            doc! { "uploadDate": date(second) },
            doc! { "uploadDate": date(second) },
        ),
        (2_000, Bson::from("no-date"), doc! {}, doc! {}),
        (
            300_000,
            Bson::from(ObjectId::new()),
            doc! { "uploadDate": date(second) },
            doc! { "uploadDate": date(second) },
        ),
        (
            300_000,
            Bson::from(id),
            doc! { "uploadDate": date(second), "metadata": { "contentType": "image/png", "sha256": "aa".repeat(32) } },
            doc! { "uploadDate": date(second), "metadata": { "contentType": "image/png", "sha256": "bb".repeat(32) } },
        ),
    ] {
        let (old, new) = (noise(1, length), noise(2, length));
        let path = key.to_string();
        let path = path
            .trim_start_matches("ObjectId(\"")
            .trim_end_matches("\")");
        let path = format!("/files/{}", path.trim_matches('"'));
        let has_date = before.contains_key("uploadDate");
        store(&mongo, &key, &old, before);
        let first = client.get(&path);
        assert!(first.body == old, "{key}");
        // nginx has the whole file after the second request.
        let second = client.get(&path);
        assert_eq!(first.lasting_headers(), second.lasting_headers());
        assert_eq!(first.header("cache-control"), REPLACEABLE, "{key}");
        store(&mongo, &key, &new, after);
        let third = served(&client, &path, &new);
        let (tag, new_tag) = (first.header("etag"), third.header("etag"));
        assert_ne!(tag, new_tag, "{key}");
        assert_eq!(third.header("cache-control"), REPLACEABLE, "{key}");
        let modified = third.header("last-modified");
        assert_eq!(modified, first.header("last-modified"));
        assert_eq!(modified.is_empty(), !has_date, "{key}");
        // nginx may have asked for the old content before: it goes on with the new one.
        let slice = |tag: &str| {
            let (key, version) = (
                FileKey::from_text(&path[7..]).to_segment(),
                tag.trim_matches('"'),
            );
            let target = format!("/_gridspool/store/{key}/{version}");
            let rest = "Host: a\r\nConnection: close\r\nRange: bytes=0-9\r\n\r\n";
            site.raw_to_sidecar(format!("GET {target} HTTP/1.1\r\n{rest}").as_bytes())
        };
        let (stale, good) = (slice(tag), slice(new_tag));
        let redirect = stale.header("x-accel-redirect");
        assert!(redirect.ends_with(new_tag.trim_matches('"')), "{stale:?}");
        assert_eq!((good.status, good.header("etag")), (206, new_tag));
        let head = client.head(&path);
        assert_eq!(head.lasting_headers(), third.lasting_headers());
        assert_judged_by_tag(&client, &path, &new, [tag, new_tag], modified);
    }
    // Our content never changes; a file that only looks like ours may change.
    let ours = client.upload(&noise(1, 3000));
    site.wait_until_committed();
    let lasting = "private, max-age=86400, immutable";
    assert_eq!(client.get(&ours.path).header("cache-control"), lasting);
    let copied = mongo.find("fs.files", doc! {}).into_iter().find(|file| {
        file.get_document("metadata")
            .is_ok_and(|metadata| metadata.contains_key("gridspool"))
    });
    let mut copied = copied.unwrap();
    let other = ObjectId::new();
    copied.insert("_id", other);
    store(&mongo, &other.into(), &noise(3, 3000), copied);
    let answer = client.get(&format!("/files/{other}"));
    assert_eq!(answer.header("cache-control"), REPLACEABLE);
}

#[test]
fn no_answer_mixes_two_contents_of_a_file_that_is_replaced_while_its_description_is_kept() {
    let mongo = Mongo::start();
    let site = Builder::default().start(&mongo);
    let client = site.client();
    let second = 1_700_000_000_000;
    let date = |millis| doc! { "uploadDate": DateTime::from_millis(millis) };
    let (old, new) = (noise(1, 5_000_000), noise(2, 5_000_000));
    for round in 0..3 {
        let key = format!("round-{round}");
        let path = format!("/files/{key}");
        store(&mongo, &key.clone().into(), &old, date(second));
        // nginx now has the first slice of the old content.
        let first = client.get_with(&path, &[("Range", "bytes=0-9")]);
        assert!(first.body == old[..10]);
        store(&mongo, &key.into(), &new, date(second + 1));
        let content_of = |answer: &Answer| {
            let is_old = answer.header("etag") == first.header("etag");
            if is_old { &old } else { &new }
        };
        eventually("the new one is served", || {
            for (from, to) in [(2_100_000, 2_200_000), (4_900_000, 4_999_999), (0, 9)] {
                let range = format!("bytes={from}-{to}");
                let part = client.get_with(&path, &[("Range", &range)]);
                assert_eq!(part.status, 206, "{part:?}");
                assert!(part.body == content_of(&part)[from..=to], "{range}");
            }
            // A download that began with the old content breaks off where the new content begins.
            let whole = client.try_ask("GET", &path, &[]).ok()?;
            assert_eq!(whole.status, 200);
            assert!(whole.body == *content_of(&whole));
            (whole.body == new).then_some(())
        });
    }
}

#[test]
fn what_other_drivers_say_of_their_files_is_told_as_far_as_it_can_be() {
    let mongo = Mongo::start();
    let site = Builder::default().start(&mongo);
    let client = site.client();
    let mut spring = doc! { "_contentType": "image/png", "_class": "com.example.Photo" };
    spring.insert("taken", DateTime::from_millis(0));
    let fields = doc! { "metadata": spring, "contentType": "nonsense", "filename": "a.png" };
    store(&mongo, &"spring".into(), b"bytes", fields);
    let head = client.head("/files/spring");
    assert_eq!(head.header("content-type"), "image/png");
    assert_eq!(
        head.header("content-disposition"),
        "inline; filename=\"a.png\""
    );
    let meta = client.get("/files/spring/meta").json();
    let told = json!({
        "_contentType": "image/png",
        "_class": "com.example.Photo",
        "taken": { "$date": "1970-01-01T00:00:00Z" },
    });
    assert_eq!(meta["metadata"], told);
    assert_eq!(meta["uploaded"], json!(null));
    // Some drivers leave a file without chunks and without their size.
    let mut empty = doc! { "_id": "empty", "length": 0, "filename": "nothing" };
    mongo.insert("fs.files", empty.clone());
    empty.insert("_id", "none");
    empty.insert("chunkSize", 0);
    mongo.insert("fs.files", empty);
    for path in ["/files/empty", "/files/none"] {
        let answer = client.get(path);
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]), "{path}");
        assert_eq!(answer.header("content-length"), "0");
    }
    let many = doc! { "metadata": { "long": "x".repeat(100_000), "caption": "at the sea" } };
    store(&mongo, &"many".into(), b"bytes", many);
    let meta = client.get("/files/many/meta").json();
    assert_eq!(meta["metadata"], json!({ "caption": "at the sea" }));
}

#[test]
fn an_error_never_goes_by_the_name_of_the_file() {
    let mongo = Mongo::start();
    let site = Builder::without_log().start(&mongo);
    let client = site.client();
    let named = doc! { "filename": "report.pdf", "uploadDate": DateTime::now() };
    store(&mongo, &"report".into(), &noise(1, 100_000), named);
    mongo
        .block_on(async { mongo.chunks().delete_many(doc! {}).await })
        .unwrap();
    client.get("/files/report").assert_problem(500, "damaged");
    client
        .get("/files/report/a.pdf")
        .assert_problem(500, "damaged");
    // A body in the journal that nginx may not read, or that is gone.
    mongo.hide_from_sidecars();
    let kept = client.put("/files/report.pdf", &noise(1, 100_000)).json();
    let body = site
        .data_dir()
        .join("journal/body")
        .join(kept["id"].as_str().unwrap());
    let path = kept["url"].as_str().unwrap();
    let tab = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=0-1\t\r\n\r\n"
    );
    site.raw(tab.as_bytes())
        .assert_problem(416, "range-not-satisfiable");
    let elsewhere = site.run_dir().join("away");
    std::fs::rename(&body, &elsewhere).unwrap();
    client.get(path).assert_problem(503, "unavailable");
    // A file that it may not open.
    std::os::unix::fs::symlink(&body, &body).unwrap();
    client.get(path).assert_problem(503, "unavailable");
}
