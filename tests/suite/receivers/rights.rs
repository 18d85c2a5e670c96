//! The lists and the messages that a token opens.

use kit::{Builder, Keys, Mongo, noise};
use mongodb::bson::doc;
use serde_json::json;

use super::{ids, messages};

/// The options of tokens that open no list.
const OF_OTHER_RIGHTS: [&[&str]; 5] = [
    &["--scope", "download"],
    &["--scope", "message", "--sub", "bob"],
    &["--scope", "admin upload delete", "--receiver", "bob"],
    &["--scope", "receive"],
    &["--scope", "list", "--file", "0123456789abcdef01234567"],
];

#[test]
fn a_token_to_receive_opens_the_messages_to_its_receiver_and_nothing_else() {
    let (keys, mongo) = (Keys::make(), Mongo::start());
    let site = keys.guard(Builder::without_log()).start(&mongo);
    let client = site.client();
    let get = |path: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        client.get_with(path, &[("Authorization", &bearer)])
    };
    let clip = noise(1, 50_000);
    let mut sent = Vec::new();
    for to in ["bob", "eve"] {
        let head = "--b\r\nContent-Disposition: form-data; name=";
        let body = format!(
            "{head}to\r\n\r\n{to}\r\n{head}to\r\n\r\nzoe\r\n{head}clip; filename=c\r\n\r\n"
        );
        let body = [body.as_bytes(), &clip, b"\r\n--b--\r\n"].concat();
        let bearer = keys.bearer(&["--scope", "message"]);
        let headers = [
            ("Content-Type", "multipart/form-data; boundary=b"),
            ("Authorization", &bearer),
        ];
        let answer = client.post("/messages", &headers, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        sent.push(answer.json());
    }
    // The words of a short message stand in the lists; those of a long one are read from its package.
    let long = "long ".repeat(4000);
    let bearer = keys.bearer(&["--scope", "message"]);
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", bearer.as_str()),
    ];
    let body = json!({ "message": long, "to": "zoe" }).to_string();
    let answer = client.post("/messages", &headers, body.as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    site.wait_until_committed();
    let with_words = mongo.find("fs.inbox", doc! { "w": { "$exists": true } });
    assert_eq!(with_words.len(), 4);
    let bob = &["--scope", "receive", "--receiver", "bob"];
    let platform = &["--scope", "list"];
    let of = |receiver: &str| format!("/receivers/{receiver}/messages?wait=20");
    let own = messages(&get(&of("bob"), bob).json());
    let id = sent[0]["id"].as_str().unwrap();
    assert_eq!(ids(&own), [id]);
    assert_eq!(own[0]["to"], json!(null), "other receivers are not told");
    assert_eq!(own[0]["parts"], sent[0]["parts"]);
    let url = sent[0]["url"].as_str().unwrap();
    assert_eq!(get(url, bob).json(), own[0]);
    let part = get(&format!("{url}/1"), bob);
    assert!(part.status == 200 && part.body == clip);
    let all = messages(&get(&of("zoe"), platform).json());
    assert_eq!(all.len(), 3);
    assert_eq!(all[0]["to"], json!(["bob", "zoe"]));
    assert_eq!(all[2]["message"], json!(long));
    let download = &["--scope", "download"];
    assert_eq!(
        get(url, download).json(),
        all[0],
        "it is told to each as to that one"
    );
    assert_eq!(get(url, bob).json(), own[0]);
    // Another token has it in memory.
    let other = sent[1]["url"].as_str().unwrap();
    let eve = &["--scope", "receive", "--receiver", "eve"];
    assert_eq!(get(other, eve).status, 200);
    for path in [other, &format!("{other}/1"), &of("eve"), &of("nobody")] {
        get(path, bob).assert_problem(404, "not-found");
    }
    // No other token opens a list or a message.
    for options in OF_OTHER_RIGHTS {
        let refused = get(&of("bob"), options);
        refused.assert_problem(403, "insufficient-scope");
    }
    get(url, &["--scope", "receive"]).assert_problem(403, "insufficient-scope");
    get(url, platform).assert_problem(403, "insufficient-scope");
    let file = format!("/files/{id}");
    get(&file, bob).assert_problem(403, "insufficient-scope");
    client.get(&of("bob")).assert_problem(401, "unauthorized");
    let said = |receiver: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        let one = format!("/receivers/{receiver}/messages/{id}/delivered");
        let headers = [("Authorization", bearer.as_str())];
        let many = format!("/receivers/{receiver}/delivered");
        let through = br#"{"through":"0000000000000000"}"#;
        let answers = [
            client.post(&one, &headers, b""),
            client.post(&many, &headers, through),
            client.ask("HEAD", &of(receiver), &headers),
        ];
        answers.map(|answer| answer.status)
    };
    assert_eq!(said("eve", bob), [404, 404, 404]);
    assert_eq!(said("bob", &["--scope", "download"]), [403, 403, 403]);
    assert_eq!(said("bob", &["--scope", "receive"]), [403, 403, 403]);
    assert_eq!(said("zoe", platform), [204, 204, 200]);
    assert_eq!(said("bob", bob), [204, 204, 200]);
    let left = messages(&get(&of("bob").replace("wait=20", "wait=0"), bob).json());
    assert!(left.is_empty(), "{left:?}");
    // The message can still be read.
    assert_eq!(get(url, bob).status, 200);
}
