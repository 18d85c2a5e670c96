//! The description of a file, without the file.

use kit::{Answer, Builder, Client, Keys, Mongo, Routes, Site, Uploaded, object_id};
use mongodb::bson::doc;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const BODY: &[u8] = b"content";

fn upload(client: &Client) -> Uploaded {
    let headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        (
            "Content-Disposition",
            "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
        ),
        ("Upload-Metadata", "caption R3LDvMOfZQ=="),
    ];
    Uploaded::read(&client.post("/files", &headers, BODY))
}

/// Asserts that GET and HEAD find the description, with this content.
fn meta(client: &Client, file: &Uploaded, state: &str) -> Value {
    let path = format!("{}/meta", file.path);
    let answer = client.get(&path);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), "application/json");
    assert_eq!(answer.header("Cache-Control"), "no-store");
    answer.assert_harmless();
    let head = client.head(&path);
    assert!(head.body.is_empty());
    assert_eq!(head.lasting_headers(), answer.lasting_headers());
    let json = answer.json();
    let expected = json!({
        "id": file.id, "filename": "größe.txt", "length": BODY.len(),
        "content_type": "text/plain; charset=utf-8", "metadata": { "caption": "Grüße" },
        "state": state,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&json[name], value, "{name}");
    }
    json
}

#[test]
fn the_document_tells_the_same_before_and_after_the_commit_but_for_the_state() {
    for site in [Builder::default(), Builder::without_log()] {
        let mongo = Mongo::start();
        mongo.hide_from_sidecars();
        let site = site.set("settled_grace_seconds", 0).start(&mongo);
        let client = site.client();
        let file = upload(&client);
        let mut pending = meta(&client, &file, "pending");
        assert_eq!(pending["sha256"], Value::Null);
        mongo.heal();
        site.wait_until_empty();
        let committed = meta(&client, &file, "committed");
        let digest = Sha256::digest(BODY);
        let digits: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(committed["sha256"], digits.concat());
        for name in ["sha256", "state"] {
            pending[name] = committed[name].clone();
        }
        assert_eq!(pending, committed);
        let stored = mongo.find("fs.files", doc! { "_id": object_id(&file.id) });
        let uploaded = stored[0].get_datetime("uploadDate").unwrap();
        let told: jiff::Timestamp = committed["uploaded"].as_str().unwrap().parse().unwrap();
        assert_eq!(told.as_millisecond(), uploaded.timestamp_millis());
        let created: jiff::Timestamp = committed["created"].as_str().unwrap().parse().unwrap();
        assert!(
            (told.as_second() - created.as_second()).abs() <= 5,
            "{committed}"
        );
    }
}

#[test]
fn a_committed_file_says_so_as_long_as_its_body_is_here() {
    let mongo = Mongo::start();
    let site = Builder::without_log().start(&mongo);
    let client = site.client();
    let file = upload(&client);
    site.wait_until_committed();
    assert_eq!(site.entries("settled"), 1);
    meta(&client, &file, "committed");
}

#[test]
fn only_exactly_that_name_is_the_document() {
    let routes = Routes::start();
    let file = upload(&routes.site.client());
    routes.both(|client| {
        for name in [
            "Meta",
            "meta.txt",
            "meta/",
            "x/meta",
            "meta/meta",
            "metas",
            "%20meta",
        ] {
            let answer = client.get(&format!("{}/{name}", file.path));
            assert!(answer.body == BODY, "{name}");
        }
        for name in ["meta", "meta?download", "m%65ta"] {
            let answer = client.get(&format!("{}/{name}", file.path));
            assert_eq!(answer.json()["id"], file.id, "{name}");
        }
    });
    let client = routes.site.client();
    let named = Uploaded::read(&client.put("/files/a/meta", BODY));
    assert!(client.get(&named.path).body == BODY);
    let kept = client.get(&format!("{}/meta", named.path)).json();
    assert_eq!(kept["filename"], "meta");
}

#[test]
fn who_may_not_have_the_file_may_not_have_its_document() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    let send = |method: &str, path: &str, options: &[&str]| -> Answer {
        let token = keys.bearer(options);
        client.ask(method, path, &[("Authorization", &token)])
    };
    let token = keys.bearer(&["--scope", "upload"]);
    let file = Uploaded::read(&client.post("/files", &[("Authorization", &token)], BODY));
    let path = format!("{}/meta", file.path);
    assert_eq!(client.get(&path).status, 401);
    let elsewhere = ["--file", "000000000000000000000000"];
    for (scope, file, status) in [
        ("upload", &[][..], 403),
        ("download", &elsewhere[..], 404),
        ("admin", &elsewhere[..], 404),
    ] {
        let options = [&["--scope", scope], file].concat();
        assert_eq!(send("GET", &path, &options).status, status, "{scope}");
        assert_eq!(send("HEAD", &path, &options).status, status, "{scope}");
    }
    let of_file = ["--scope", "download", "--file", &file.id];
    assert_eq!(send("GET", &path, &of_file).json()["id"], file.id);
}

#[test]
fn there_is_none_of_a_file_that_is_not_there_or_was_deleted() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let unknown = client.get("/files/000000000000000000000000/meta");
    unknown.assert_problem(404, "not-found");
    let file = upload(&client);
    let path = format!("{}/meta", file.path);
    let refused = client.delete(&path);
    refused.assert_problem(405, "method-not-allowed");
    assert_eq!(client.get(&path).status, 200, "the file is there");
    let named = format!("{}/any.name", file.path);
    assert_eq!(client.delete(&named).status, 204);
    client.get(&path).assert_problem(404, "not-found");
    let refused = client.ask("PATCH", &path, &[]);
    refused.assert_problem(405, "method-not-allowed");
}

#[test]
fn a_file_of_another_driver_has_one_too() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let file = doc! {
        "_id": "report 7", "length": 0_i64, "chunkSize": 261_120,
        "uploadDate": mongodb::bson::DateTime::from_millis(1_700_000_000_123), "filename": "r.txt",
    };
    mongo.insert("fs.files", file);
    let json = site.client().get("/files/report%207/meta").json();
    assert_eq!(json["id"], "report 7");
    assert_eq!(
        (&json["created"], &json["sha256"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(json["uploaded"], "2023-11-14T22:13:20.123Z");
    assert_eq!(json["filename"], "r.txt");
}
