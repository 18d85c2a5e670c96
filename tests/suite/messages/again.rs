//! Messages that are sent again, and messages that meet a kill.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::{Builder, Client, Keys, Mongo, Site, eventually, noise, wait_until};
use mongodb::bson::doc;
use serde_json::Value;

use super::{FORM, JSON, assert_part, sent, taken, text, told};

/// Returns the answer without the values that the commit changes.
fn lasting(mut json: Value) -> Value {
    let state = json.as_object_mut().unwrap().remove("state");
    assert!(state == Some("pending".into()) || state == Some("committed".into()));
    json
}

#[test]
fn a_message_that_is_sent_again_is_the_same_message() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let keys = Keys::make();
    let builder = keys.guard(Builder::default().set("settled_grace_seconds", 0));
    let mut site = builder.start(&mongo);
    let bearer = |options: &[&str]| keys.bearer(&[&["--scope", "message"], options].concat());
    let (alice, bob) = (bearer(&["--sub", "alice"]), bearer(&["--sub", "bob"]));
    let nobody = bearer(&[]);
    let (clip, picture) = (noise(1, 30_000), noise(2, 90_000));
    let small = br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"alice"}"#;
    let form = sent("m 1", &clip, &picture);
    let send = |site: &Site, bearer: &str, kind, body: &[u8]| {
        let headers = [kind, ("Authorization", bearer)];
        site.client().post("/messages", &headers, body)
    };
    let both = |site: &Site| {
        [(FORM, &form[..]), (JSON, &small[..])]
            .map(|(kind, body)| lasting(taken(&send(site, &alice, kind, body))))
    };
    let first = both(&site);
    assert_eq!(first[1]["client_id"], "j 1");
    assert_eq!(both(&site), first);
    // Receivers are a set; any other change makes another message.
    let turned = br#"{"message":{"a":1},"to":["eve","bob"],"id":"j 1","from":"alice"}"#;
    assert_eq!(lasting(taken(&send(&site, &alice, JSON, turned))), first[1]);
    for other in [
        br#"{"message":{"a":2},"to":["bob","eve"],"id":"j 1","from":"alice"}"#.to_vec(),
        br#"{"message":{"a":1},"to":["bob"],"id":"j 1","from":"alice"}"#.to_vec(),
        br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"eve"}"#.to_vec(),
        br#"{"message":"{\"a\":1}","to":["bob","eve"],"id":"j 1","from":"alice"}"#.to_vec(),
    ] {
        let answer = send(&site, &alice, JSON, &other);
        answer.assert_problem(422, "idempotency-key-reused");
    }
    let other = sent("m 1", &clip, &noise(3, 90_000));
    send(&site, &alice, FORM, &other).assert_problem(422, "idempotency-key-reused");
    // An id belongs to the subject, or without a subject to the sender.
    let of_bob = lasting(taken(&send(&site, &bob, JSON, small)));
    assert_ne!(of_bob["id"], first[1]["id"]);
    let of_nobody = lasting(taken(&send(&site, &nobody, JSON, small)));
    let of_eve = br#"{"message":{"a":1},"to":["bob","eve"],"id":"j 1","from":"eve"}"#;
    let of_eve = lasting(taken(&send(&site, &nobody, JSON, of_eve)));
    assert_ne!(of_nobody["id"], of_eve["id"]);
    // The key in the head is another place for the same id.
    let keyed = |key: &str| {
        let headers = [
            JSON,
            ("Authorization", alice.as_str()),
            ("Idempotency-Key", key),
        ];
        site.client().post("/messages", &headers, small)
    };
    assert_eq!(lasting(taken(&keyed("\"j 1\""))), first[1]);
    keyed("j2").assert_problem(400, "bad-idempotency-key");
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(both(&site), first);
    mongo.heal();
    site.wait_until_empty();
    assert_eq!(both(&site), first);
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(both(&site), first);
    site.wait_until_empty();
    // Four packages in JSON, and a form's package and two parts.
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 7);
}

#[test]
fn messages_that_are_sent_again_until_they_are_answered_are_whole_and_there_once() {
    const SENDERS: u64 = 4;
    const OF_EACH: u64 = 24;
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    // Some bodies are whole in the log, others are links of one body.
    let contents = |seed: u64| {
        let length = if seed.is_multiple_of(2) { 500 } else { 200_000 };
        (noise(seed, 700), noise(seed + 1000, length))
    };
    let taken_so_far = AtomicU64::new(0);
    let send_all = |client: &Client, sender: u64| -> Vec<(u64, String)> {
        let send = |number| {
            let seed = sender * OF_EACH + number;
            let (clip, picture) = contents(seed);
            let body = sent(&format!("m {seed}"), &clip, &picture);
            let url = eventually("an answer", || {
                let answer = client.try_post("/messages", &[FORM], &body).ok()?;
                assert!(matches!(answer.status, 201 | 409 | 503), "{answer:?}");
                (answer.status == 201).then(|| text(&answer.json(), "url").to_owned())
            });
            taken_so_far.fetch_add(1, Ordering::Relaxed);
            (seed, url)
        };
        (0..OF_EACH).map(send).collect()
    };
    let messages: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (client, send_all) = (site.client(), &send_all);
                scope.spawn(move || send_all(&client, sender))
            })
            .collect();
        for round in 1..=8 {
            let wanted = round * SENDERS * OF_EACH / 9;
            wait_until("messages are taken", || {
                taken_so_far.load(Ordering::Relaxed) >= wanted
            });
            site.kill_sidecar();
            site.start_sidecar();
        }
        let of_each = senders.into_iter().map(|sender| sender.join().unwrap());
        of_each.flatten().collect()
    });
    site.kill_sidecar();
    site.start_sidecar();
    site.wait_until_empty();
    let client = site.client();
    for (seed, url) in &messages {
        let (clip, picture) = contents(*seed);
        let told = told(&client, url, "committed");
        assert_part(&client, &told["parts"][0], &clip);
        assert_part(&client, &told["parts"][1], &picture);
    }
    let count = u64::try_from(messages.len()).unwrap();
    assert_eq!(count, SENDERS * OF_EACH);
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 3 * count);
}
