//! The rights of callers: tokens on every route, and that no trace of them is left.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{Answer, Builder, Keys, Mongo, Site, Uploaded, finish, noise, wait_until};
use ring::hmac;
use serde_json::{Value, json};

use crate::refusal::announce;

/// A file that was uploaded with a token for uploads.
fn upload(site: &Site, keys: &Keys, body: &[u8]) -> Uploaded {
    let bearer = keys.bearer(&["--scope", "upload"]);
    let headers = [("Authorization", bearer.as_str())];
    Uploaded::read(&site.client().post("/files", &headers, body))
}

#[test]
fn without_a_valid_token_every_file_route_answers_401_before_anything_is_looked_up() {
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .start_with_uri("mongodb://127.0.0.1:1/");
    let client = site.client();
    let file = upload(&site, &keys, b"content");
    let other = Keys::make().bearer(&["--scope", "upload download delete"]);
    let expired = keys.bearer(&["--scope", "download delete upload", "--seconds", "0"]);
    for (method, path) in [
        ("GET", file.path.as_str()),
        ("HEAD", &file.path),
        ("DELETE", &file.path),
        ("POST", &file.path),
        ("PATCH", &file.path),
        ("GET", "/files/0123456789abcdef01234567"),
        ("GET", "/files/0123456789abcdef01234567/a.txt"),
        ("GET", "/files"),
        ("DELETE", "/files/"),
        ("PUT", "/files/a"),
        ("POST", "/files"),
    ] {
        for header in ["", &other, "Bearer x.y.z", "Bearer ", "Basic YTpi"] {
            let headers = [("Authorization", header)];
            let headers = if header.is_empty() { &[][..] } else { &headers };
            let answer = client.ask(method, path, headers);
            assert!(
                answer.header("www-authenticate").starts_with("Bearer "),
                "{answer:?}"
            );
            assert_eq!(answer.status, 401, "{method} {path} {header}");
            if method != "HEAD" {
                answer.assert_problem(401, "unauthorized");
            }
        }
    }
    tell_causes(&site, &keys);
    // It is still valid: clocks may be a minute apart.
    let headers = [("Authorization", expired.as_str())];
    assert_eq!(client.get_with(&file.path, &headers).status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_ne!(client.get(path).status, 401, "{path}");
    }
}

/// The header with a token of the key `old` whose time ended so many seconds ago.
fn expired(keys: &Keys, seconds_ago: u64) -> String {
    let set: Value = serde_json::from_slice(&fs::read(keys.path()).unwrap()).unwrap();
    let secret = set["keys"][0]["k"].as_str().unwrap();
    let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({"exp": now - seconds_ago, "aud": "gridspool", "scope": "upload"});
    let parts = [json!({"alg": "HS256", "kid": "old"}), claims];
    let signed = parts
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("Bearer {signed}.{signature}")
}

#[test]
fn a_token_that_expires_while_a_body_comes_is_as_good_as_at_the_beginning() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    // Clocks may be a minute apart, so it is good for ten seconds more.
    let token = expired(&keys, 50);
    let fields = [("Authorization", token.as_str())];
    let begun = client.post("/files", &[fields[0], ("Upload-Complete", "?0")], b"");
    assert_eq!(begun.status, 201, "{begun:?}");
    let append =
        "Upload-Offset: 0\r\nUpload-Complete: ?1\r\nContent-Type: application/partial-upload";
    // They come with their head, through a spool file, and as a piece.
    let bodies = [
        ("PUT /files/a", "A: a", 20_000),
        ("PUT /files/b", "A: a", 40_000),
    ];
    let piece = format!("PATCH {}", begun.header("location"));
    let uploads = bodies.into_iter().chain([(&*piece, append, 40_000)]);
    let started: Vec<_> = uploads
        .map(|(line, fields, length)| {
            let mut stream = site.connect();
            let head = format!(
                "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {token}\r\n\
                 {fields}\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&noise(1, length / 2)).unwrap();
            (stream, length / 2)
        })
        .collect();
    wait_until("the token expires", || {
        client.post("/files", &fields, b"").status == 401
    });
    for (mut stream, rest) in started {
        stream.write_all(&noise(2, rest)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
}

/// The challenge states the cause, before a body and after it, and so do the metrics.
fn tell_causes(site: &Site, keys: &Keys) {
    let client = site.client();
    let counted = || site.status()["tokens_refused"].clone();
    let other_audience = {
        let path = keys.path();
        let path = path.to_str().unwrap();
        let options = ["--scope", "upload", "--token-audience", "other"];
        let mut command = site.command();
        command.args(["token", "--token-keys", path]).args(options);
        let minted = finish(&mut command);
        String::from_utf8(minted.stdout).unwrap().trim().to_owned()
    };
    let good = keys.token(&["--scope", "upload"]);
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, foreign) = Keys::make()
        .token(&["--scope", "upload"])
        .rsplit_once('.')
        .map(|(message, signature)| (message.to_owned(), signature.to_owned()))
        .unwrap();
    for (token, cause, said) in [
        (
            other_audience,
            "wrong_audience",
            "the token is meant for another audience",
        ),
        (
            format!("{message}.{foreign}"),
            "bad_signature",
            "the signature of the token",
        ),
        ("x.y.z".to_owned(), "malformed", "the token cannot be read"),
    ] {
        let before = counted()[cause].as_u64().unwrap();
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let asked = format!("Authorization: {bearer}");
        for answer in [
            announce(site, "/files", &["Content-Length: 50000", &asked]),
            client.post("/files", &headers, b"small"),
            client.get_with("/files/a", &headers),
        ] {
            answer.assert_problem(401, "unauthorized");
            let challenge = answer.header("www-authenticate");
            let description = format!("error=\"invalid_token\", error_description=\"{said}");
            assert!(challenge.contains(&description), "{challenge}");
        }
        assert_eq!(counted()[cause], before + 3, "{cause}");
    }
    assert!(site.log().contains("bad_signature"), "{}", site.log());
    let refused = &site.status()["uploads"]["refused"];
    assert!(refused["auth"].as_u64() > Some(6), "{refused}");
}

#[test]
fn a_token_for_one_file_opens_only_that_and_all_others_look_absent() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start(&mongo);
    let client = site.client();
    let [own, foreign] = [b"own", b"not"].map(|body| upload(&site, &keys, body));
    let absent = "/files/0123456789abcdef01234567";
    let ask = |method: &str, path: &str, options: &[&str]| {
        let bearer = keys.bearer(options);
        client.ask(method, path, &[("Authorization", bearer.as_str())])
    };
    let alike = |one: &Answer, other: &Answer| {
        assert_eq!((one.status, &one.body), (other.status, &other.body));
        assert_eq!(one.lasting_headers(), other.lasting_headers());
    };
    site.wait_until_committed();
    let of_own = ["--scope", "download delete", "--file", &own.id];
    let everywhere = ["--scope", "download delete"];
    let truly_absent = ask("GET", absent, &everywhere);
    truly_absent.assert_problem(404, "not-found");
    for method in ["GET", "DELETE"] {
        alike(&ask(method, &foreign.path, &of_own), &truly_absent);
        alike(&ask(method, absent, &of_own), &truly_absent);
        // With another scope the answer does not depend on whether the file exists.
        let refused = ask(method, &foreign.path, &["--scope", "upload"]);
        refused.assert_problem(403, "insufficient-scope");
        alike(&ask(method, absent, &["--scope", "upload"]), &refused);
    }
    assert_eq!(ask("HEAD", &foreign.path, &of_own).status, 404);
    assert!(ask("GET", &own.path, &of_own).body == b"own");
    assert!(ask("GET", &format!("{}/a.txt", own.path), &of_own).body == b"own");
    ask("DELETE", &own.path, &["--scope", "download"]).assert_problem(403, "insufficient-scope");
    // A token for deleting is not one for reading.
    let refused = ask("GET", &own.path, &["--scope", "delete", "--file", &own.id]);
    refused.assert_problem(403, "insufficient-scope");
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(challenge.ends_with("scope=\"download\""), "{challenge}");
    assert_eq!(ask("DELETE", &own.path, &of_own).status, 204);
    assert!(ask("GET", &foreign.path, &everywhere).body == b"not");
}

#[test]
fn what_is_in_nginxs_cache_is_for_bearers_only() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let body = noise(1, 300_000);
    let file = upload(&site, &keys, &body);
    site.wait_until_empty();
    let bearer = keys.bearer(&["--scope", "download", "--file", &file.id]);
    for _ in 0..2 {
        let answer = client.get_with(&file.path, &[("Authorization", &bearer)]);
        assert!(answer.body == body);
    }
    assert!(!site.names("cache").is_empty());
    assert_eq!(client.get(&file.path).status, 401);
    let elsewhere = keys.bearer(&["--scope", "download", "--file", "other"]);
    let answer = client.get_with(&file.path, &[("Authorization", &elsewhere)]);
    assert_eq!(answer.status, 404);
}

#[test]
fn keys_are_rotated_by_their_names_and_a_token_may_stand_in_the_query() {
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .start_with_uri("mongodb://127.0.0.1:1/");
    let client = site.client();
    for kid in ["old", "new"] {
        let token = keys.token(&["--kid", kid, "--scope", "upload download delete"]);
        let path = format!("/files?a=b&token={token}");
        let file = Uploaded::read(&client.post(&path, &[], b"content"));
        let path = format!("{}?token={token}&c", file.path);
        assert!(client.get(&path).body == b"content");
        assert_eq!(client.head(&path).status, 200);
        let header = [("Authorization", format!("Bearer {token}"))];
        let header = header
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        client
            .get_with(&path, &header)
            .assert_problem(400, "many-tokens");
        let twice = format!("{path}&token={token}");
        client.get(&twice).assert_problem(400, "many-tokens");
        client
            .post(&format!("/files?token={token}&token=x"), &[], b"x")
            .assert_problem(400, "many-tokens");
        assert_eq!(client.delete(&path).status, 204);
    }
}

/// Asserts that no file below a directory contains any of these texts.
fn assert_nowhere(directory: &Path, texts: &[String]) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, texts);
        } else if let Ok(bytes) = fs::read(&path) {
            let held = String::from_utf8_lossy(&bytes);
            for text in texts {
                assert!(!held.contains(text.as_str()), "{}", path.display());
            }
        }
    }
}

#[test]
fn no_token_gets_into_a_log_a_record_or_the_cache() {
    let mongo = Mongo::start();
    let keys = Keys::make();
    let mut site = keys
        .guard(Builder::default())
        .set("settled_grace_seconds", 0)
        .set("max_body_bytes", 1_000_000)
        .set("log", "trace")
        .start(&mongo);
    let client = site.client();
    let mut tokens = Vec::new();
    let mut token = |options: &[&str]| {
        let token = keys.token(options);
        tokens.push(token.rsplit('.').next().unwrap().to_owned());
        token
    };
    let all = token(&["--scope", "upload download delete"]);
    let none = token(&["--scope", "admin"]);
    let body = noise(1, 300_000);
    let file = Uploaded::read(&client.post(&format!("/files?token={all}"), &[], &body));
    assert!(client.get(&format!("{}?token={all}", file.path)).body == body);
    site.wait_until_empty();
    for token in [&all, &none] {
        let bearer = format!("Bearer {token}");
        client.get_with(&file.path, &[("Authorization", bearer.as_str())]);
        client.get(&format!("{}?token={token}", file.path));
        client.get(&format!("{}?token={token}x", file.path));
        client.post(&format!("/files?token={token}"), &[], &noise(2, 1_000_001));
        client.post(&format!("/files?token={token}&token={token}"), &[], b"x");
        client.delete(&format!("/files/absent?token={token}"));
    }
    site.stop_sidecar();
    site.stop_nginx();
    assert!(
        fs::read_to_string(site.run_dir().join("gridspool.log"))
            .unwrap()
            .contains("/files")
    );
    assert_nowhere(&site.run_dir(), &tokens);
    assert_nowhere(&site.data_dir(), &tokens);
}

#[test]
fn without_keys_the_sidecar_does_not_start_unless_it_is_told_to() {
    let keys = Keys::make();
    let site = keys
        .guard(Builder::default())
        .start_with_uri("mongodb://127.0.0.1:1/");
    let run = |name: &str, value: &str| {
        let mut command = site.command();
        command
            .env_remove("GRIDSPOOL_TOKEN_KEYS")
            .env("GRIDSPOOL_INSECURE_NO_AUTH", "false");
        finish(command.env(name, value))
    };
    let refused = run("GRIDSPOOL_DATABASE", "other");
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("insecure_no_auth"));
    let missing = run("GRIDSPOOL_TOKEN_KEYS", "/nowhere/keys.json");
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/keys.json"));
}

#[test]
fn no_spelling_of_an_address_leads_past_the_token() {
    let keys = Keys::make();
    let mongo = Mongo::start();
    let site = keys
        .guard(Builder::default())
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let file = upload(&site, &keys, b"content");
    site.wait_until_empty();
    for path in [
        "/_gridspool/journal/body/ID",
        "/_gridspool/journal/..%2F..%2Ffiles%2F/ID",
        "/_gridspool/journal/body/..%2F..%2F..%2Ffiles%2FID",
        "/files/..%2F_gridspool%2Fjournal%2Fbody%2FID",
        "/_gridspool/peer/..%2F..%2Ffiles%2Fx%2F..%2F../files/ID",
        "/_gridspool/peer/..%2F..%2Ffiles%2Fx%2F..%2F../files/ID/meta",
        "/_gridspool/store/ID/..%2F..%2F..%2Ffiles%2FID",
        "/_gridspool/store/small/ID/..%2F..%2F..%2F..%2Ffiles%2FID",
        "/files/ID/..%2F..%2Fhealthz",
    ] {
        let path = path.replace("ID", &file.id);
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&site.wire(request.as_bytes())).into_owned();
        assert!(!answer.contains("filename"), "{path}: {answer}");
        assert!(!answer.ends_with("content"), "{path}: {answer}");
    }
}
