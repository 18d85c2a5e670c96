//! Messages that receivers take off their own lists, before and after they are listed.

use kit::{Builder, Client, Keys, Mongo, eventually, noise, wait_until};
use mongodb::bson::doc;

use super::{ids, messages};

/// Sends a message with a part to bob and zoe; its id.
fn send(client: &Client, bearer: &str, words: &str) -> String {
    let head = "--b\r\nContent-Disposition: form-data; name=";
    let body = format!(
        "{head}to\r\n\r\n[\"bob\",\"zoe\"]\r\n{head}message\r\n\r\n{words}\r\n{head}f; filename=f\r\n\r\n"
    );
    let body = [body.as_bytes(), &noise(1, 50_000), b"\r\n--b--\r\n"].concat();
    let headers = [
        ("Content-Type", "multipart/form-data; boundary=b"),
        ("Authorization", bearer),
    ];
    let answer = client.post("/messages", &headers, &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_receiver_takes_a_message_off_its_own_list_and_off_no_other() {
    let (keys, mongo) = (Keys::make(), Mongo::start());
    let site = keys.guard(Builder::without_log()).start(&mongo);
    let client = site.client();
    let ask = |method: &str, path: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        client.ask(method, path, &[("Authorization", &bearer)])
    };
    let sender = &["--scope", "message", "--sub", "s 1"][..];
    let send = |words: &str| send(&client, &keys.bearer(sender), words);
    let bob = &["--scope", "receive", "--receiver", "bob"][..];
    let zoe = &["--scope", "receive download", "--receiver", "zoe"][..];
    let platform = &["--scope", "list"][..];
    let list = |receiver: &str, count: usize| {
        let path = format!("/receivers/{receiver}/messages");
        eventually("so many are listed", || {
            let found = messages(&ask("GET", &path, platform).json());
            (found.len() == count).then(|| ids(&found))
        })
    };
    // It is struck while its commit is on its way.
    let slow = doc! {
        "failCommands": ["insert"], "namespace": "gridspool.fs.files",
        "blockConnection": true, "blockTimeMS": 3000,
    };
    // Package and part.
    mongo.fail_sidecars(doc! { "times": 2 }, slow);
    let early = send("early");
    let url = |id: &str| format!("/messages/{id}");
    assert_eq!(ask("DELETE", &url(&early), bob).status, 204);
    assert_eq!(mongo.find("fs.inbox", doc! {}).len(), 1, "it is a note");
    site.wait_until_committed();
    let late = send("late");
    assert_eq!(list("zoe", 2), [early.as_str(), &late]);
    assert_eq!(list("bob", 1), [late.as_str()]);
    // And when it is listed, any number of times; the message stays.
    for _ in 0..2 {
        assert_eq!(ask("DELETE", &url(&late), bob).status, 204);
        assert!(list("bob", 0).is_empty());
    }
    for id in [&early, &late] {
        assert_eq!(ask("GET", &url(id), bob).status, 200);
        let part = ask("GET", &format!("{}/1", url(id)), bob);
        assert!(part.body == noise(1, 50_000));
        let delivered = format!("/receivers/bob/messages/{id}/delivered");
        assert_eq!(ask("POST", &delivered, bob).status, 204);
    }
    assert_eq!(list("zoe", 2), [early.as_str(), &late]);
    let head = ask("HEAD", "/receivers/bob/messages", bob);
    assert_eq!(head.header("gridspool-messages"), "0");
    // By the list, too: at the word of the platform, and at its own.
    let entry = |receiver: &str, id: &str| format!("/receivers/{receiver}/messages/{id}");
    let none = "0123456789abcdef01234567";
    for (path, options, status) in [
        (entry("zoe", &early), bob, 404),
        (entry("bob", none), bob, 404),
        (entry("bob", "x"), platform, 404),
        (entry("eve", &early), platform, 404),
        (entry("bob", &early), &["--scope", "download delete"], 403),
        (entry("bob", &early), sender, 403),
        (
            url(&early),
            &["--scope", "receive", "--receiver", "eve"],
            404,
        ),
        (url(none), bob, 404),
    ] {
        assert_eq!(
            ask("DELETE", &path, options).status,
            status,
            "{path} {options:?}"
        );
    }
    assert_eq!(list("zoe", 2).len(), 2);
    assert_eq!(ask("DELETE", &entry("zoe", &early), platform).status, 204);
    assert_eq!(list("zoe", 1), [late.as_str()]);
    assert_eq!(ask("DELETE", &url(&late), zoe).status, 204);
    assert!(list("zoe", 0).is_empty());
    // The sender's delete is for all, and takes all notes along.
    assert_eq!(mongo.find("fs.inbox", doc! {}).len(), 4);
    for id in [&early, &late] {
        assert_eq!(ask("DELETE", &url(id), sender).status, 204);
        assert_eq!(ask("DELETE", &entry("bob", id), bob).status, 404);
    }
    wait_until("no note is left", || {
        mongo.find("fs.inbox", doc! {}).is_empty()
    });
    // No node knows any list while MongoDB is away.
    mongo.hide_from_sidecars();
    let unlisted = send("unlisted");
    wait_until("MongoDB is away", || {
        site.status()["mongodb"]["state"] == "down"
    });
    ask("DELETE", &url(&unlisted), bob).assert_problem(503, "unavailable");
}
