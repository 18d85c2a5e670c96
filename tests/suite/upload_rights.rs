//! Uploads in pieces with tokens, in both dialects, and the words of the program about open uploads.

use kit::{Builder, Client, Cluster, Keys, Mongo, Site, noise};

use crate::upload_routing::{TUS, append, begin, file_of, offset};

const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");
const PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const MORE: (&str, &str) = ("Upload-Complete", "?0");
const LAST: (&str, &str) = ("Upload-Complete", "?1");

#[test]
fn an_upload_in_pieces_belongs_to_the_subject_that_began_it() {
    let keys = Keys::make();
    // The store is asked for an upload that a stranger may not see.
    let mongo = Mongo::start();
    let site = keys.guard(Builder::default()).start(&mongo);
    let client = site.client();
    let bearer = |options: &[&str]| keys.bearer(options);
    let (own, again) = (
        bearer(&["--scope", "upload download", "--sub", "alice"]),
        bearer(&["--scope", "upload", "--sub", "alice"]),
    );
    let strangers = [
        (bearer(&["--scope", "upload", "--sub", "bob"]), 404),
        (bearer(&["--scope", "upload"]), 404),
        (bearer(&["--scope", "download", "--sub", "alice"]), 403),
        ("Bearer no-token".to_owned(), 401),
    ];
    let tus: &[(&str, &str)] = &[TUS];
    for (target, begins, asks, appends) in [
        (
            "/uploads",
            &[TUS, ("Upload-Length", "60000")][..],
            tus,
            &[TUS, PIECE][..],
        ),
        (
            "/files",
            &[MORE, ("Upload-Length", "60000")],
            &[],
            &[PARTIAL, LAST],
        ),
    ] {
        let with = |fields: &[(&'static str, &'static str)], token: &str| {
            let owned = fields
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()));
            let token = ("Authorization", token.to_owned());
            owned.chain([token]).collect::<Vec<_>>()
        };
        let ask = |method: &str, path: &str, fields: &[(&'static str, String)], body: &[u8]| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            match method {
                "PATCH" => client.patch(path, &fields, body),
                "POST" => client.post(path, &fields, body),
                method => client.ask(method, path, &fields),
            }
        };
        for (token, status) in &strangers[2..] {
            for body in [&b""[..], &noise(1, 50_000)] {
                let refused = ask("POST", target, &with(begins, token), body);
                assert_eq!(refused.status, *status, "{target}: {refused:?}");
            }
        }
        let begun = ask("POST", target, &with(begins, &own), b"");
        assert_eq!(begun.status, 201, "{begun:?}");
        let path = begun.header("location").to_owned();
        let mut at_start = with(appends, &own);
        at_start.push(("Upload-Offset", "0".to_owned()));
        for (token, status) in &strangers {
            for (method, fields, body) in [
                ("HEAD", asks, &b""[..]),
                ("GET", asks, b""),
                ("DELETE", asks, b""),
                ("PATCH", appends, b"hello"),
                ("PATCH", appends, &noise(1, 50_000)),
            ] {
                let mut fields = with(fields, token);
                fields.push(("Upload-Offset", "0".to_owned()));
                fields.retain(|(name, _)| method == "PATCH" || *name != "Upload-Offset");
                let refused = ask(method, &path, &fields, body);
                assert_eq!(refused.status, *status, "{target} {method}: {refused:?}");
                assert_eq!(refused.header("upload-offset"), "", "{refused:?}");
                assert_eq!(refused.header("location"), "", "{refused:?}");
            }
        }
        // Another token of the same subject goes on.
        for method in ["HEAD", "GET"] {
            let state = ask(method, &path, &with(asks, &again), b"");
            assert_eq!((state.status, state.header("upload-offset")), (204, "0"));
            assert_eq!(state.header("cache-control"), "no-store");
            assert!(state.body.is_empty());
        }
        let content = noise(3, 60_000);
        let mut at_start = with(appends, &again);
        at_start.push(("Upload-Offset", "0".to_owned()));
        let whole = ask("PATCH", &path, &at_start, &content);
        assert!(matches!(whole.status, 201 | 204), "{whole:?}");
        let file = ask("GET", &file_of(&path), &with(&[], &own), b"");
        assert!(file.body == content);
    }
}

#[test]
fn a_token_bounds_the_whole_of_an_upload_in_pieces() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    let bearer = keys.bearer(&["--scope", "upload", "--max-bytes", "60000"]);
    let token = ("Authorization", &*bearer);
    let path = |answer: &kit::Answer| answer.header("location").to_owned();
    for body in [&b""[..], &noise(1, 50_000)] {
        let long = ("Upload-Length", "60001");
        let refused = client.post("/uploads", &[TUS, token, PIECE, long], body);
        refused.assert_problem(413, "larger-than-allowed");
        assert_eq!(refused.header("tus-max-size"), "60000");
        assert_eq!(refused.header("tus-resumable"), "1.0.0");
        let refused = client.post("/files", &[MORE, token, long], body);
        refused.assert_problem(413, "larger-than-allowed");
        assert_eq!(refused.header("upload-complete"), "?0");
    }
    let deferred = ("Upload-Defer-Length", "1");
    let by_tus = path(&client.post("/uploads", &[TUS, token, deferred], b""));
    let by_draft = path(&client.post("/files", &[MORE, token], b""));
    for (path, fields) in [(by_tus, [TUS, PIECE]), (by_draft, [MORE, PARTIAL])] {
        let append = |offset: &str, body: &[u8]| {
            let fields = [&fields[..], &[token, ("Upload-Offset", offset)]].concat();
            client.patch(&path, &fields, body)
        };
        assert_eq!(append("0", &noise(1, 40_000)).status, 204);
        for length in [20_001, 40_000] {
            append("40000", &noise(1, length)).assert_problem(413, "larger-than-allowed");
        }
        assert_eq!(append("40000", &noise(1, 20_000)).status, 204);
    }
}

#[test]
fn the_method_in_the_head_counts_at_another_node_too() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let clients = cluster.clients();
    let content = noise(1, 100_000);
    let path = begin(&clients[0], content.len());
    let send = |client: &Client, method, offset: &str, body: &[u8]| {
        let meant = ("X-HTTP-Method-Override", method);
        client.post(&path, &[TUS, PIECE, meant, ("Upload-Offset", offset)], body)
    };
    assert_eq!(send(&clients[1], "PATCH", "0", &content[..10]).status, 204);
    let refused = send(&clients[1], "PATCH", "5", &content[10..]);
    refused.assert_problem(409, "mismatching-upload-offset");
    let grown = send(&clients[1], "PATCH", "10", &content[10..70_000]);
    assert_eq!(grown.header("upload-offset"), "70000", "{grown:?}");
    assert_eq!(
        append(&clients[0], &path, 70_000, &content[70_000..]).status,
        204
    );
    assert!(clients[1].get(&file_of(&path)).body == content);
    let second = begin(&clients[0], 10);
    let meant = ("X-HTTP-Method-Override", "DELETE");
    assert_eq!(clients[1].post(&second, &[TUS, meant], b"").status, 204);
    assert_eq!(clients[0].ask("HEAD", &second, &[TUS]).status, 410);
}

#[test]
fn a_script_of_another_origin_reads_all_that_each_dialect_tells() {
    let site = Builder::default().nginx("--origin", "https://app.example.org");
    let site = site.start_without_mongodb();
    let client = site.client();
    let origin = ("Origin", "https://app.example.org");
    let path = begin(&client, 60_000);
    assert_eq!(append(&client, &path, 0, b"hello").status, 204);
    let at = |offset: &'static str| ("Upload-Offset", offset);
    let long = noise(1, 50_000);
    for (method, path, fields, body, status) in [
        ("OPTIONS", "/uploads", &[][..], &b""[..], 204),
        ("HEAD", &*path, &[TUS], b"", 204),
        ("GET", &path, &[], b"", 204),
        ("PATCH", &path, &[TUS, PIECE, at("0")], b"x", 409),
        ("PATCH", &path, &[TUS, PIECE, at("0")], &long, 409),
        ("PATCH", &path, &[MORE, PARTIAL, at("0")], &long, 409),
        ("PATCH", &path, &[TUS, at("5")], &long, 415),
        ("PATCH", &path, &[PIECE, at("5")], &long, 412),
        (
            "PATCH",
            &path,
            &[TUS, PIECE, at("5"), ("Upload-Checksum", "sha1 YQ==")],
            &long,
            460,
        ),
        ("PATCH", "/uploads/a", &[TUS, PIECE, at("5")], &long, 404),
        (
            "POST",
            "/uploads",
            &[TUS, ("Upload-Length", "99999999999999")],
            b"",
            413,
        ),
        (
            "POST",
            "/files",
            &[MORE, ("Upload-Length", "99999999999999")],
            &long,
            413,
        ),
    ] {
        let fields = [&[origin], fields].concat();
        let answer = match method {
            "PATCH" => client.patch(path, &fields, body),
            "POST" => client.post(path, &fields, body),
            method => client.ask(method, path, &fields),
        };
        let what = format!("{method} {path} {fields:?}");
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            origin.1,
            "{what}"
        );
        let exposed = answer
            .header("access-control-expose-headers")
            .to_lowercase();
        let exposed: Vec<_> = exposed.split(", ").collect();
        for name in answer.headers.keys() {
            let name = name.as_str();
            let is_of_uploads = name.starts_with("upload-") || name.starts_with("tus-");
            let is_told = is_of_uploads || matches!(name, "location" | "content-location");
            assert!(!is_told || exposed.contains(&name), "{what}: {name}");
        }
        let is_tus = fields.iter().any(|(name, _)| *name == TUS.0);
        if is_tus {
            assert_eq!(answer.header("tus-resumable"), "1.0.0", "{what}");
        }
        if status >= 400 || method == "HEAD" {
            assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        }
    }
}

#[test]
fn a_drained_node_says_how_many_uploads_are_open() {
    let site = Site::without_mongodb();
    let client = site.client();
    let drain = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/drain");
        let mut command = std::process::Command::new(script);
        let output = kit::finish(command.arg("--socket").arg(site.admin_socket()));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!drain().contains("resumable"), "none is open");
    assert_eq!(site.ask_admin("DELETE", "/drain").0, 200);
    let paths = [(); 2].map(|()| begin(&client, 10));
    let said = drain();
    assert!(said.contains("2 resumable uploads"), "{said}");
    assert_eq!(offset(&client, &paths[0]), 0);
}
