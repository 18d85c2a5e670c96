//! Uploads that are repeated with their `Idempotency-Key`: there is one file, also if an answer was
//! lost.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

use kit::{Answer, Builder, Client, Keys, Mongo, Site, eventually, noise, wait_until};
use mongodb::bson::doc;
use serde_json::Value;

/// A request that is sent again and again.
struct Request {
    name: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

fn form(boundary: &str, files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for content in files {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// One request for each way into the journal.
fn requests() -> Vec<Request> {
    let request = |name, content_type, body| Request {
        name,
        content_type,
        body,
    };
    vec![
        request("log", "text/plain", b"small".to_vec()),
        request("empty", "text/plain", Vec::new()),
        request("files", "audio/ogg", noise(1, 300_000)),
        request(
            "form",
            "multipart/form-data; boundary=b",
            form("b", &[b"first", &noise(2, 100_000)]),
        ),
        request(
            "form-of-one",
            "multipart/form-data; boundary=b",
            form("b", &[b"only"]),
        ),
    ]
}

fn post(client: &Client, key: &str, content_type: &str, body: &[u8]) -> Answer {
    let headers = [("Idempotency-Key", key), ("Content-Type", content_type)];
    client.post("/files", &headers, body)
}

/// The answer's JSON without the state, which may change.
fn answered(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut json = answer.json();
    let take_state = |file: &mut Value| {
        let state = file.as_object_mut().unwrap().remove("state").unwrap();
        assert!(state == "pending" || state == "committed", "{state}");
    };
    // The answer to a form also has the members of its first file.
    take_state(&mut json);
    let files = json["files"].as_array_mut();
    files.into_iter().flatten().for_each(take_state);
    json
}

#[test]
fn a_key_gives_the_first_answer_again_before_and_after_the_commit_and_every_kill() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let send = |site: &Site| -> Vec<(Value, String)> {
        let client = site.client();
        let sent = requests().into_iter().map(|request| {
            let answer = post(&client, request.name, request.content_type, &request.body);
            let etag = answer.header("ETag").to_owned();
            let location = answer.header("Location");
            let one = answer.json()["files"]
                .as_array()
                .is_none_or(|f| f.len() == 1);
            assert_eq!(one, !location.is_empty(), "{answer:?}");
            (answered(&answer), etag)
        });
        sent.collect()
    };
    let first = send(&site);
    assert_eq!(send(&site), first);
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(send(&site), first);
    mongo.heal();
    site.wait_until_empty();
    for _ in 0..2 {
        assert_eq!(send(&site), first);
        site.kill_sidecar();
        site.start_sidecar();
    }
    site.wait_until_empty();
    // Two of the five are forms, one of them with two files.
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 6);
    assert_eq!(site.status()["journal"]["answers"], 6);
    let json = post(&site.client(), "\"log\"", "text/plain", b"small").json();
    assert_eq!(json["state"], "committed");
}

#[test]
fn a_form_that_is_sent_again_with_another_boundary_is_the_same() {
    let site = Site::without_mongodb();
    let client = site.client();
    let files: [&[u8]; 2] = [b"first", b"second"];
    let sent = ["b", "another"].map(|boundary| {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        answered(&post(&client, "k", &content_type, &form(boundary, &files)))
    });
    assert_eq!(sent[0], sent[1]);
    let fewer = form("b", &files[..1]);
    let other = post(&client, "k", "multipart/form-data; boundary=b", &fewer);
    other.assert_problem(422, "idempotency-key-reused");
}

#[test]
fn a_key_with_other_content_is_refused_and_makes_no_file() {
    for length in [100, 300_000] {
        let site = Site::without_mongodb();
        let client = site.client();
        let body = noise(1, length);
        let first = answered(&post(&client, "k", "text/plain", &body));
        let mut changed = body.clone();
        changed[length / 2] ^= 1;
        for (content_type, body) in [
            ("text/plain", &changed[..]),
            ("text/plain", &body[1..]),
            ("text/html", &body),
        ] {
            let other = post(&client, "k", content_type, body);
            other.assert_problem(422, "idempotency-key-reused");
        }
        let named = client.put_with(
            "/files/name.txt",
            &[("Idempotency-Key", "k"), ("Content-Type", "text/plain")],
            &body,
        );
        named.assert_problem(422, "idempotency-key-reused");
        assert_eq!(site.entries("incoming"), 1);
        assert_eq!(answered(&post(&client, "k", "text/plain", &body)), first);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let site = Site::without_mongodb();
    let client = site.client();
    let (long, quoted) = ("k".repeat(256), format!("\"{}\"", "k".repeat(256)));
    for key in ["two words", "\"open", "\"\"", &long, &quoted] {
        post(&client, key, "text/plain", b"x").assert_problem(400, "bad-idempotency-key");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")];
    let twice = client.post("/files", &twice, b"x");
    twice.assert_problem(400, "bad-idempotency-key");
    assert_eq!(site.entries("incoming"), 0);
}

#[test]
fn many_retries_at_once_make_one_file() {
    for length in [100, 3_000_000] {
        let site = Site::without_mongodb();
        let body = noise(1, length);
        let barrier = Barrier::new(10);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let sending: Vec<_> = (0..10)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        post(&site.client(), "k", "audio/ogg", &body)
                    })
                })
                .collect();
            sending.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (done, waiting): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 201);
        for answer in waiting {
            answer.assert_problem(409, "still-running");
            assert!(!answer.header("Retry-After").is_empty());
        }
        let ids: HashSet<_> = done.iter().map(|one| answered(one).to_string()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(site.entries("incoming"), 1);
    }
}

#[test]
fn clients_that_retry_until_they_are_answered_make_no_file_twice_whatever_is_killed() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let (count, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..4_u64 {
            let (client, answers, count, is_over) = (site.client(), &answers, &count, &is_over);
            scope.spawn(move || {
                for seed in number * 1_000_000.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let length = usize::from(noise(seed, 1)[0]) * 1000;
                    let key = format!("key-{seed}");
                    let headers = [("Idempotency-Key", &*key), ("Content-Type", "a/b")];
                    let body = noise(seed, length);
                    let id = eventually("an answer", || {
                        let answer = client.try_post("/files", &headers, &body).ok()?;
                        assert!([201, 409, 503].contains(&answer.status), "{answer:?}");
                        (answer.status == 201).then(|| answer.json()["id"].clone())
                    });
                    answers.lock().unwrap().push((seed, length, id));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..15 {
                let wanted = count.load(Ordering::Relaxed) + 1 + round % 5;
                wait_until("uploads are answered", || {
                    count.load(Ordering::Relaxed) >= wanted
                });
                site.kill_sidecar();
                site.start_sidecar();
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        killing.unwrap();
    });
    site.wait_until_empty();
    let answers = answers.into_inner().unwrap();
    let stored = mongo.count(&mongo.files(), doc! {});
    assert_eq!(stored, u64::try_from(answers.len()).unwrap());
    let client = site.client();
    for (seed, length, id) in answers {
        let answer = client.get(&format!("/files/{}", id.as_str().unwrap()));
        assert!(answer.body == noise(seed, length), "{id}");
    }
}

#[test]
fn each_subject_has_keys_of_its_own() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    let send = |subject: &str, kid: &str| {
        let token = keys.bearer(&["--scope", "upload", "--sub", subject, "--kid", kid]);
        let headers = [("Idempotency-Key", "k"), ("Authorization", &token)];
        answered(&client.post("/files", &headers, b"hello"))
    };
    let first = send("anna", "old");
    assert_eq!(
        send("anna", "new"),
        first,
        "another token of the same subject"
    );
    assert_ne!(send("berta", "old"), first);
}

#[test]
fn the_key_of_a_deleted_file_brings_it_not_back() {
    for length in [100, 300_000] {
        let mongo = Mongo::start();
        mongo.hide_from_sidecars();
        let mut site = Builder::default()
            .set("settled_grace_seconds", 0)
            .start(&mongo);
        let body = noise(1, length);
        let send = |site: &Site| post(&site.client(), "k", "text/plain", &body).json();
        let first = send(&site);
        let path = first["url"].as_str().unwrap();
        assert_eq!(site.client().delete(path).status, 204);
        let assert_deleted = |site: &Site| {
            let again = send(site);
            assert_eq!(
                (&again["id"], &again["state"]),
                (&first["id"], &"deleted".into())
            );
            assert_eq!(site.client().get(path).status, 404);
        };
        assert_deleted(&site);
        mongo.heal();
        site.wait_until_empty();
        assert_deleted(&site);
        site.kill_sidecar();
        site.start_sidecar();
        assert_deleted(&site);
        assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
    }
}

#[test]
fn without_a_time_to_keep_answers_every_upload_is_a_new_one() {
    let site = Builder::default()
        .set("idempotency_seconds", 0)
        .start_without_mongodb();
    let sent = [(); 2].map(|()| answered(&post(&site.client(), "k", "text/plain", b"x")));
    assert_ne!(sent[0], sent[1]);
}

#[test]
fn one_subject_drives_out_its_own_keys_and_nobody_elses() {
    let keys = Keys::make();
    let builder = keys.guard(Builder::default()).set("idempotency_files", 10);
    let mut site = builder.start_without_mongodb();
    let subjects = ["alice", "bob"];
    let bearers = subjects.map(|name| keys.bearer(&["--scope", "upload", "--sub", name]));
    let send = |site: &Site, sender: usize, key: &str| {
        let headers = [
            ("Authorization", &*bearers[sender]),
            ("Idempotency-Key", key),
        ];
        let answer = site.client().post("/files", &headers, b"content");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let first = ["a", "b", "c"].map(|key| send(&site, 0, key));
    let flood: Vec<_> = (0..30).map(|n| send(&site, 1, &n.to_string())).collect();
    assert_eq!(site.status()["journal"]["answers"], 10);
    for _ in 0..2 {
        assert_eq!(["a", "b", "c"].map(|key| send(&site, 0, key)), first);
        assert_eq!(send(&site, 1, "29"), flood[29]);
        site.stop_sidecar();
        site.start_sidecar();
    }
    assert_ne!(
        send(&site, 1, "0"),
        flood[0],
        "it is one of the oldest of many"
    );
}
