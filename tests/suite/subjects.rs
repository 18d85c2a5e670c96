//! Files by the subject of the token that they were uploaded with.

use kit::{Answer, Builder, CHUNK, Client, Keys, Mongo, Uploaded, noise, object_id};
use mongodb::bson::doc;
use serde_json::Value;

use crate::indexes::wait_for_indexes;
use crate::refusal::NOWHERE;

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");

/// A form of these files.
fn form(files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        let head = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
        body.extend([head.as_bytes(), file, b"\r\n"].concat());
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

/// Uploads in every way; returns the ids, and all that the answers tell.
fn upload_all(client: &Client, keys: &Keys, options: &[&str]) -> (Vec<String>, String) {
    let bearer = keys.bearer(&[&["--scope", "upload message"], options].concat());
    let token = ("Authorization", bearer.as_str());
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| -> Answer {
        let answer = client.post(path, &[headers, &[token]].concat(), body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    };
    let [small, large] = [noise(1, 100), noise(2, CHUNK + 1)];
    let key = ("Idempotency-Key", "again");
    let to = b"--b\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\nbob\r\n";
    let message = [to, &form(&[&large])[..]].concat();
    let answers = [
        post("/files", &[], b""),
        post("/files", &[], &small),
        post("/files", &[key], &small),
        post("/files", &[key], &small),
        post("/files", &[], &large),
        post("/files", &[FORM], &form(&[&small])),
        post("/files", &[FORM], &form(&[&small, b"b"])),
        post("/files", &[FORM], &form(&[&large, b"b"])),
        post("/messages", &[FORM], &message),
    ];
    let mut ids = Vec::new();
    for answer in &answers {
        let json = answer.json();
        let files = ["files", "parts"].map(|name| json[name].as_array().cloned());
        let files = files.into_iter().flatten().flatten();
        for file in files.chain([json]) {
            let id = file["id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    let told = answers.map(|answer| String::from_utf8(answer.body).unwrap());
    (ids, told.concat())
}

#[test]
fn the_subject_of_an_upload_is_kept_in_its_document_and_clients_see_nothing_of_it() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let keys = Keys::make();
    let mut site = keys.guard(Builder::default()).start(&mongo);
    let client = site.client();
    let (of_alice, told) = upload_all(&client, &keys, &["--sub", "alice größe"]);
    let (of_nobody, _) = upload_all(&client, &keys, &[]);
    assert_eq!((of_alice.len(), of_nobody.len()), (11, 11));
    assert!(!told.contains("alice"), "{told}");
    // The commits use only what the journal has.
    site.kill_sidecar();
    site.start_sidecar();
    mongo.heal();
    site.wait_until_committed();
    let bearer = keys.bearer(&["--scope", "download"]);
    for (ids, sub) in [(of_alice, Some("alice größe")), (of_nobody, None)] {
        for id in ids {
            let found = mongo.find("fs.files", doc! { "_id": object_id(&id) });
            let metadata = found[0].get_document("metadata").unwrap();
            assert_eq!(metadata.get_str("sub").ok(), sub, "{id}");
            let meta = client.get_with(&format!("/files/{id}/meta"), &[("Authorization", &bearer)]);
            assert_eq!(meta.status, 200);
            let meta = String::from_utf8(meta.body).unwrap();
            assert!(!meta.contains("alice"), "{meta}");
        }
    }
}

/// Returns a page of a list, as the bearer of this token sees it.
fn page(client: &Client, bearer: &str, query: &str) -> Answer {
    let path = format!("/files?{query}");
    client.get_with(&path, &[("Authorization", bearer)])
}

fn ids(page: &Value) -> Vec<String> {
    let files = page["files"].as_array().unwrap().iter();
    let ids = files.map(|file| file["id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// Reads all pages from one on, and calls a function between two pages.
fn pages_from(
    client: &Client,
    bearer: &str,
    query: &str,
    mut next: Option<String>,
    mut between: impl FnMut(&[String]),
) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let before = next.map_or_else(String::new, |next| format!("&before={next}"));
        let answer = page(client, bearer, &format!("{query}{before}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("Cache-Control"), "no-store");
        let page = answer.json();
        all.extend(ids(&page));
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            return all;
        }
        between(&all);
    }
}

#[test]
fn the_files_of_a_subject_are_listed_newest_first_for_the_platform_and_admins_alone() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    wait_for_indexes(&site);
    let subject = "alice & größe/1";
    let upload = |sub: &str, body: &[u8]| -> String {
        let bearer = keys.bearer(&["--scope", "upload", "--sub", sub]);
        let headers = [("Authorization", &*bearer), ("Content-Type", "text/plain")];
        Uploaded::read(&client.put_with("/files/a%20b.txt", &headers, body)).id
    };
    let mut uploaded = Vec::new();
    for number in 0..13 {
        uploaded.push(upload(subject, &noise(1, 10 + number)));
        for other in ["alice", "alice & größe/10", "$sub"] {
            upload(other, b"another's");
        }
    }
    site.wait_until_empty();
    uploaded.reverse();
    let query = "subject=alice%20%26%20gr%C3%B6%C3%9Fe%2F1";
    check_rights(&client, &keys, query);

    let bearer = keys.bearer(&["--scope", "list"]);
    let all = page(&client, &bearer, query).json();
    assert_eq!((ids(&all), &all["next"]), (uploaded.clone(), &Value::Null));
    assert_eq!(all["bytes"], (10..23).sum::<u64>());
    assert_eq!(all["pending_bytes"], 0);
    assert_words(&client, &keys, &all);
    // Files come, and the last one of a page and one of the next page go, during the paging.
    let mut gone = Vec::new();
    let eraser = keys.bearer(&["--scope", "delete"]);
    let paged = pages_from(
        &client,
        &bearer,
        &format!("{query}&limit=3"),
        None,
        |so_far| {
            upload(subject, b"comes later");
            site.wait_until_empty();
            let last = so_far.last().unwrap();
            let next = uploaded.iter().skip_while(|id| *id != last).nth(1);
            for id in [Some(last), next].into_iter().flatten() {
                if !gone.contains(id) {
                    let path = format!("/files/{id}");
                    let headers = [("Authorization", &*eraser)];
                    assert_eq!(client.ask("DELETE", &path, &headers).status, 204, "{id}");
                    gone.push(id.clone());
                }
            }
        },
    );
    assert!(gone.len() > 5, "{gone:?}");
    let skipped: Vec<_> = uploaded.iter().filter(|id| !paged.contains(id)).collect();
    assert!(skipped.iter().all(|id| gone.contains(id)), "{skipped:?}");
    let in_order: Vec<_> = uploaded.iter().filter(|id| paged.contains(id)).collect();
    assert_eq!(paged.iter().collect::<Vec<_>>(), in_order);
    // Dying files are not listed, nor files of another writer with an id of any type.
    let dying = uploaded.iter().find(|id| !gone.contains(id)).unwrap();
    let change = doc! { "$set": { "metadata.dying": true } };
    let files = mongo.files();
    let changed = files.update_one(doc! { "_id": object_id(dying) }, change);
    mongo.block_on(async { changed.await }).unwrap();
    mongo.insert(
        "fs.files",
        doc! { "_id": "a", "length": 1, "chunkSize": 1, "metadata": { "sub": subject } },
    );
    let left = pages_from(&client, &bearer, &format!("{query}&limit=1"), None, |_| ());
    let is_gone = |id: &String| gone.contains(id) || id == dying;
    assert!(!left.iter().any(is_gone), "{left:?}");
    let later = left.iter().filter(|id| !uploaded.contains(id)).count();
    let kept = uploaded.iter().filter(|id| !is_gone(id)).count();
    assert_eq!(left.len(), later + kept);
    assert!(later >= 3, "{later}");

    // A pending file counts, and is not listed; without MongoDB there is no answer.
    mongo.fail_sidecars(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 13 },
    );
    upload(subject, &noise(1, 70_000));
    let waits = page(&client, &bearer, query).json();
    assert_eq!(
        (waits["pending_bytes"].clone(), ids(&waits)),
        (70_000.into(), left)
    );
    mongo.hide_from_sidecars();
    let answer = page(&client, &bearer, query);
    answer.assert_problem(503, "unavailable");
    assert!(!answer.header("Retry-After").is_empty());
    mongo.heal();
}

/// Asserts that users may not list, and that a malformed page is refused.
fn check_rights(client: &Client, keys: &Keys, query: &str) {
    client
        .get(&format!("/files?{query}"))
        .assert_problem(401, "unauthorized");
    for options in [
        &["--scope", "upload download delete message"][..],
        &["--scope", "download", "--sub", "alice & größe/1"],
        &["--scope", "list", "--file", "0123456789abcdef01234567"],
    ] {
        let refused = page(client, &keys.bearer(options), query);
        refused.assert_problem(403, "insufficient-scope");
    }
    for scope in ["list", "admin", "download list"] {
        let bearer = keys.bearer(&["--scope", scope]);
        assert_eq!(page(client, &bearer, query).status, 200, "{scope}");
        let head = client.ask(
            "HEAD",
            &format!("/files/?{query}"),
            &[("Authorization", &bearer)],
        );
        assert_eq!(head.status, 200, "{scope}");
        for wrong in ["", "before=0", "subject=a&before=x", "subject=a&limit=x"] {
            page(client, &bearer, wrong).assert_problem(400, "bad-page");
        }
        for (limit, count) in [("0", 1), ("5", 5), ("4000000", 13)] {
            let found = page(client, &bearer, &format!("{query}&limit={limit}"));
            assert_eq!(ids(&found.json()).len(), count, "{limit}");
        }
    }
    let bearer = keys.bearer(&["--scope", "list"]);
    for nobody in [
        "subject=",
        "subject=al",
        "subject=%7B%22%24gt%22%3A%22%22%7D",
    ] {
        let page = page(client, &bearer, nobody).json();
        assert_eq!(
            (ids(&page).len(), &page["next"]),
            (0, &Value::Null),
            "{nobody}"
        );
    }
}

#[test]
fn a_node_without_keys_lists_no_files_and_tells_that_no_token_helps() {
    let site = Builder::default().start_with_uri(NOWHERE);
    let refused = site.client().get("/files?subject=alice");
    refused.assert_problem(403, "forbidden");
    assert!(refused.header("www-authenticate").is_empty());
}

/// Asserts that a list shows the same values as each file's own description.
fn assert_words(client: &Client, keys: &Keys, page: &Value) {
    let reader = keys.bearer(&["--scope", "download"]);
    for file in page["files"].as_array().unwrap() {
        let url = file["url"].as_str().unwrap();
        let meta = client.get_with(&format!("{url}/meta"), &[("Authorization", &reader)]);
        let meta = meta.json();
        for name in ["id", "filename", "content_type", "length", "created"] {
            assert_eq!(file[name], meta[name], "{name}");
        }
        assert_eq!(file.as_object().unwrap().len(), 6);
    }
}
