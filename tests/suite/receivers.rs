//! Lists of receivers: commits fill them, clients read them in pages and wait for messages, and
//! deliveries empty them.

mod damaged;
mod entering;
mod rights;
mod struck;

use std::io::Write as _;

use kit::{Answer, Builder, Client, Cluster, Mongo, Site, eventually, noise, wait_until};
use mongodb::bson::doc;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Sends a message without parts; returns its id.
fn send(client: &Client, to: &[&str], words: &str) -> String {
    let message = json!({ "from": "alice", "to": to, "message": words });
    let answer = client.post("/messages", &[JSON], message.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    let found = json[name].as_str();
    found.unwrap_or_else(|| panic!("{name} of {json}"))
}

fn list(client: &Client, receiver: &str, query: &str) -> Value {
    let answer = client.get(&format!("/receivers/{receiver}/messages?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.assert_harmless();
    assert_eq!(answer.header("Cache-Control"), "no-store");
    assert_eq!(answer.header("Content-Type"), "application/json");
    answer.json()
}

fn messages(list: &Value) -> Vec<Value> {
    list["messages"].as_array().unwrap().clone()
}

fn ids(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .map(|found| text(found, "id").to_owned())
        .collect()
}

/// Reads pages of two until `count` messages have come.
fn read(client: &Client, receiver: &str, count: usize) -> (Vec<Value>, String) {
    let (mut all, mut next) = (Vec::new(), "0".repeat(16));
    while all.len() < count {
        let page = list(client, receiver, &format!("after={next}&limit=2&wait=20"));
        let found = messages(&page);
        assert!((1..=2).contains(&found.len()), "{page}");
        text(&page, "next").clone_into(&mut next);
        all.extend(found);
    }
    assert_eq!(all.len(), count);
    (all, next)
}

/// Returns the number and the bytes of waiting messages, from the headers.
fn waiting(client: &Client, receiver: &str) -> [String; 2] {
    let answer = client.head(&format!("/receivers/{receiver}/messages"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.headers.contains_key("gridspool-more"));
    ["gridspool-messages", "gridspool-bytes"].map(|name| answer.header(name).to_owned())
}

#[test]
fn a_message_gets_into_the_lists_of_its_receivers_although_files_before_it_wait() {
    let mongo = Mongo::start();
    let site = Builder::without_log()
        .set("commit_entries", 1)
        .set("commit_pace", "fixed")
        .start(&mongo);
    let client = site.client();
    // Large files wait for each other, and the first one for MongoDB. Its command may take no
    // longer.
    let slow = doc! {
        "failCommands": ["insert"], "namespace": "gridspool.fs.chunks",
        "blockConnection": true, "blockTimeMS": 7000,
    };
    mongo.fail_sidecars(doc! { "times": 1 }, slow);
    let first = client.upload(&noise(1, 1_000_000));
    eventually("the first is at MongoDB", || {
        (mongo.running("insert", &["fs.chunks"]) > 0).then_some(())
    });
    let later = [2, 3].map(|seed| client.upload(&noise(seed, 1_000_000)));
    let id = send(&client, &["bob", "eve"], "words");
    let entries = eventually("the message is in both lists", || {
        let entries = mongo.find("fs.inbox", doc! {});
        (entries.len() == 2).then_some(entries)
    });
    for file in [&first, &later[0], &later[1]] {
        let meta = client.get(&format!("{}/meta", file.path)).json();
        assert_eq!(meta["state"], "pending", "the message went ahead of it");
    }
    for entry in entries {
        assert_eq!(entry.get_object_id("m").unwrap().to_hex(), id);
        assert_eq!(entry.get_i64("b").unwrap(), 5);
    }
    site.wait_until_committed();
}

#[test]
fn what_waits_for_a_receiver_is_listed_on_every_node_until_it_is_delivered() {
    let mongo = Mongo::start();
    let mut cluster = Cluster::start(
        2,
        &Builder::without_log().set("max_waiting_lists", 2),
        &mongo,
    );
    let clients = cluster.clients();
    let [here, there] = [&clients[0], &clients[1]];
    let sent: Vec<_> = (0..5)
        .map(|number| send(here, &["bob", "+49 170"], &format!("{number}")))
        .collect();
    cluster.nodes[0].wait_until_committed();
    let (found, next) = read(there, "bob", 5);
    assert_eq!(ids(&found), sent, "in the order of their commits");
    for message in &found {
        let alone = there.get(&format!("/messages/{}", text(message, "id")));
        assert_eq!(*message, alone.json(), "as at its own address");
    }
    let nothing = list(there, "bob", &format!("after={next}"));
    assert_eq!(nothing["messages"], json!([]));
    assert_eq!(nothing["has_more"], json!(false));
    assert!(text(&nothing, "next") >= next.as_str());
    for client in [here, there] {
        assert_eq!(
            ids(&messages(&list(client, "%2B49%20170", "limit=9"))),
            sent
        );
        assert_eq!(waiting(client, "bob"), ["5", "5"]);
        assert_eq!(waiting(client, "nobody"), ["0", "0"]);
    }
    assert_lines(there, &sent);
    assert_delivered(here, there, &sent);
    for query in [
        "after=x", "limit=x", "limit=-1", "wait=x", "after=", "wait=1.5",
    ] {
        let answer = here.get(&format!("/receivers/bob/messages?{query}"));
        answer.assert_problem(400, "bad-page");
    }
    for path in ["%20/messages", "a;b/messages", "bob", "bob/messages/"] {
        let answer = here.get(&format!("/receivers/{path}"));
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    here.get("/receivers").assert_problem(404, "not-found");
    let entry = format!("/receivers/bob/messages/{}", sent[0]);
    here.get(&entry).assert_problem(405, "method-not-allowed");
    let options = here.ask("OPTIONS", &entry, &[]);
    assert_eq!(options.header("Allow"), "DELETE, OPTIONS");
    here.ask("DELETE", "/receivers/bob/messages", &[])
        .assert_problem(405, "method-not-allowed");
    let options = here.ask("OPTIONS", "/receivers/bob/messages", &[]);
    assert_eq!(options.header("Allow"), "GET, HEAD, OPTIONS");
    wait_for_messages(&mut cluster, &next);
    // Only MongoDB has the lists.
    mongo.hide_from_sidecars();
    wait_until("MongoDB is away", || {
        cluster.nodes[1].status()["mongodb"]["state"] == "down"
    });
    let answer = there.get("/receivers/bob/messages?wait=20");
    answer.assert_problem(503, "unavailable");
    assert!(!answer.header("Retry-After").is_empty());
}

/// Asserts that each line is a message with the place behind it, and that the last line tells where
/// to go on.
fn assert_lines(client: &Client, sent: &[String]) {
    let lines = |query: &str| -> Vec<Value> {
        let accept = [("Accept", "application/x-ndjson")];
        let answer = client.get_with(&format!("/receivers/bob/messages?{query}"), &accept);
        assert_eq!(answer.header("Content-Type"), "application/x-ndjson");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.ends_with('\n'));
        let lines = body.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let mut first = lines("limit=3");
    let end = first.pop().unwrap();
    assert_eq!(ids(&first), sent[..3]);
    assert_eq!(end["has_more"], json!(true));
    assert_eq!(end["next"], first[2]["cursor"]);
    let mut rest = lines(&format!("after={}", text(&first[1], "cursor")));
    rest.pop();
    assert_eq!(ids(&rest), sent[2..]);
}

fn assert_delivered(here: &Client, there: &Client, sent: &[String]) {
    let post = |path: &str, body: &str| -> Answer {
        here.post(&format!("/receivers/bob/{path}"), &[JSON], body.as_bytes())
    };
    let one = format!("messages/{}/delivered", sent[1]);
    for _ in 0..2 {
        assert_eq!(post(&one, "").status, 204);
    }
    let left = messages(&list(there, "bob", ""));
    assert_eq!(ids(&left), [&sent[..1], &sent[2..]].concat());
    let ids_of = json!({ "ids": [sent[3], "0123456789abcdef01234567"] });
    assert_eq!(post("delivered", &ids_of.to_string()).status, 204);
    let page = list(there, "bob", "limit=2");
    assert_eq!(ids(&messages(&page)), [sent[0].as_str(), &sent[2]]);
    let through = json!({ "through": page["next"] });
    assert_eq!(post("delivered", &through.to_string()).status, 204);
    assert_eq!(ids(&messages(&list(there, "bob", ""))), sent[4..]);
    assert_eq!(waiting(there, "bob"), ["1", "1"]);
    // Others have lists of their own.
    assert_eq!(waiting(there, "%2B49%20170"), ["5", "5"]);
    for body in [
        "",
        "{}",
        "[]",
        r#"{"ids":["x"]}"#,
        r#"{"ids":[],"through":"0000000000000000"}"#,
        r#"{"through":"x"}"#,
    ] {
        post("delivered", body).assert_problem(400, "bad-message");
    }
    post("messages/x/delivered", "").assert_problem(404, "not-found");
    let long = format!("{{\"ids\":[{}]}}", "1".repeat(70_000));
    post("delivered", &long).assert_problem(413, "too-large");
}

#[test]
fn a_receiver_with_a_full_list_gets_no_more_until_it_is_emptied() {
    let mongo = Mongo::start();
    let site = Builder::without_log()
        .set("receiver_max_waiting", 3)
        .start(&mongo);
    let client = site.client();
    let last = br#"{"from":"alice","id":"m 1","to":["eve","bob"],"message":3}"#;
    send(&client, &["bob"], "1");
    send(&client, &["bob"], "2");
    let taken = client.post("/messages", &[JSON], last);
    assert_eq!(taken.status, 201);
    site.wait_until_committed();
    let refused = eventually("the list is full", || {
        let answer = client.post("/messages", &[JSON], br#"{"to":["zoe","bob"],"message":4}"#);
        (answer.status != 201).then_some(answer)
    });
    refused.assert_problem(409, "receiver-full");
    assert!(text(&refused.json(), "detail").contains("bob"));
    let again = client.post("/messages", &[JSON], last);
    assert_eq!(
        again.json()["id"],
        taken.json()["id"],
        "it was taken before"
    );
    send(&client, &["eve"], "others have room");
    // Some may have come before the list was known to be full.
    site.wait_until_committed();
    let all = json!({ "through": "f".repeat(16) }).to_string();
    let emptied = client.post("/receivers/bob/delivered", &[JSON], all.as_bytes());
    assert_eq!(emptied.status, 204);
    eventually("there is room again", || {
        let answer = client.post("/messages", &[JSON], br#"{"to":"bob","message":5}"#);
        (answer.status == 201).then_some(())
    });
}

fn waits(site: &Site) -> u64 {
    site.status()["lists"]["waiting"].as_u64().unwrap()
}

/// Receivers that wait get news at once, leave at once, and are no more than the limit.
fn wait_for_messages(cluster: &mut Cluster, after: &str) {
    let clients = cluster.clients();
    let (here, there) = (&clients[0], &clients[1]);
    let query = format!("after={after}&wait=50");
    let site = &cluster.nodes[1];
    std::thread::scope(|scope| {
        let bob = scope.spawn(|| list(there, "bob", &query));
        let other = scope.spawn(|| list(there, "zoe", "wait=50"));
        wait_until("two wait", || waits(site) == 2);
        let refused = there.get("/receivers/eve/messages?wait=50");
        refused.assert_problem(503, "too-many-waiting");
        assert!(!refused.header("Retry-After").is_empty());
        assert_eq!(
            list(there, "eve", "")["messages"],
            json!([]),
            "without waiting"
        );
        let id = send(here, &["bob"], "news");
        assert_eq!(ids(&messages(&bob.join().unwrap())), [id]);
        assert_eq!(waits(site), 1, "no other is woken");
        let mut leaving = site.connect();
        let request = "GET /receivers/eve/messages?wait=50 HTTP/1.1\r\nHost: a\r\n\r\n";
        leaving.write_all(request.as_bytes()).unwrap();
        wait_until("two wait again", || waits(site) == 2);
        drop(leaving);
        wait_until("one has left", || waits(site) == 1);
        let id = send(here, &["zoe"], "news");
        assert_eq!(ids(&messages(&other.join().unwrap())), [id]);
    });
    // Nobody waits longer than asked, nor for a node that stops.
    let nothing = list(there, "eve", "wait=1");
    assert_eq!(nothing["messages"], json!([]));
    let waiting = {
        let there = there.clone();
        std::thread::spawn(move || list(&there, "eve", "wait=50"))
    };
    let site = &mut cluster.nodes[1];
    wait_until("one waits", || waits(site) == 1);
    assert!(site.stop_sidecar().success());
    assert_eq!(waiting.join().unwrap()["messages"], json!([]));
    site.start_sidecar();
}
