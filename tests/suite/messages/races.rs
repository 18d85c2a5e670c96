//! The last unlink of a part against a new link, and a receiver against both, at the doors of two nodes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kit::{Builder, Client, Cluster, Mongo, eventually, noise, wait_until};
use mongodb::bson::doc;
use serde_json::json;

use super::{FORM, JSON, form, post, taken, text};

/// Races side by side.
const AT_ONCE: usize = 6;

/// How races ended.
#[derive(Default)]
struct Ends {
    kept: AtomicUsize,
    gone: AtomicUsize,
}

/// Deletes a message. A slow machine may answer 503, and the message may be gone then.
fn delete(client: &Client, url: &str) {
    let mut may_be_gone = false;
    eventually("it is deleted", || {
        let answer = client.delete(url);
        let is_done = answer.status == 204 || may_be_gone && answer.status == 404;
        may_be_gone |= answer.status == 503;
        assert!(is_done || answer.status == 503, "{answer:?}");
        is_done.then_some(())
    });
}

/// A message is deleted while its part is sent on and its receiver takes it off its list; which node does what,
/// and whether it was committed before, goes by the number of the race.
fn race(clients: &[Client], number: usize, ends: &Ends) {
    let node = |digit: usize| &clients[number >> digit & 1];
    let content = noise(
        u64::try_from(number).unwrap(),
        if number >> 4 & 1 == 0 { 90 } else { 40_000 },
    );
    let body = form(&[
        ("name=\"to\"", b"bob"),
        ("name=\"message\"", b"first"),
        ("name=\"f\"; filename=\"f\"", &content),
    ]);
    let first = taken(&post(node(0), FORM, &body));
    let url = text(&first, "url");
    if number >> 3 & 1 == 0 {
        eventually("it is committed", || {
            let message = node(0).get(url).json();
            (message["state"] == "committed").then_some(())
        });
    }
    let parts = json!([{ "message": first["id"], "part": 1 }]);
    let forward = json!({ "message": "second", "to": "eve", "parts": parts }).to_string();
    let entry = format!("/receivers/bob{url}");
    let forwarded = thread::scope(|scope| {
        let deleting = scope.spawn(|| delete(node(1), url));
        let striking = scope.spawn(|| node(2).delete(&entry));
        let forwarded = post(node(2), JSON, forward.as_bytes());
        deleting.join().unwrap();
        let struck = striking.join().unwrap();
        assert!(matches!(struck.status, 204 | 404), "{struck:?}");
        forwarded
    });
    if forwarded.status != 201 {
        assert!(matches!(forwarded.status, 404 | 409), "{forwarded:?}");
        ends.gone.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let second = forwarded.json();
    let part = text(&second["parts"][0], "url");
    let assert_kept = |state: &str| {
        for client in clients {
            let answer = client.get(part);
            assert!(answer.body == content, "race {number}, {state}: {answer:?}");
        }
    };
    assert_kept("at once");
    eventually("it is committed", || {
        let answer = node(0).get(text(&second, "url")).json();
        (answer["state"] == "committed").then_some(())
    });
    assert_kept("committed");
    delete(node(1), text(&second, "url"));
    ends.kept.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_part_of_a_message_that_is_deleted_while_it_is_sent_on_is_kept_or_gone_and_nothing_between() {
    let races = std::env::var("GRIDSPOOL_TEST_RACES");
    let races: usize = races.map_or(300, |races| races.parse().unwrap());
    let mongo = Mongo::start();
    let builder = Builder::without_log()
        .set("settled_grace_seconds", 0)
        .set("delete_watch_seconds", 0);
    let cluster = Cluster::start(2, &builder, &mongo);
    let clients = cluster.clients();
    let (next, ends) = (AtomicUsize::new(0), Ends::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= races {
                        break;
                    }
                    race(&clients, number, &ends);
                }
            });
        }
    });
    let ended = [&ends.kept, &ends.gone].map(|end| end.load(Ordering::Relaxed));
    let said = format!("{races} races: {ended:?} were kept and gone");
    assert!(
        ended.iter().all(|count| *count > 0),
        "{said}: no race at all"
    );
    for node in &cluster.nodes {
        node.wait_until_empty();
    }
    wait_until(&format!("{said}; and then all went"), || {
        let parts = ["fs.files", "fs.chunks", "fs.inbox"];
        let count = |part: &str, filter| mongo.find(part, filter).len();
        parts.iter().all(|part| count(part, doc! {}) == 0)
            && count("fs.gone", doc! { "cleared": false }) == 0
    });
}
