//! The head of every answer about a file, on every route.

use kit::{Answer, Builder, Client, Cluster, Keys, Mongo, Site, Uploaded, noise, wait_until};
use ureq::http::HeaderName;

const BODY: &[u8] = b"0123456789";

/// The origin in the example.
const NAMED: (&str, &str) = ("Origin", "https://app.example.com");

const EXPOSED: &str = "\
    ETag, Content-Range, Accept-Ranges, Content-Disposition, Content-Location, Repr-Digest, Location, Retry-After, Gridspool-State, \
    Gridspool-Messages, Gridspool-Bytes, Gridspool-More, Preference-Applied, Upload-Offset, Upload-Length, \
    Upload-Complete, Upload-Limit, Upload-Expires, Upload-Metadata, Upload-Defer-Length, Upload-Concat, \
    Upload-Draft-Interop-Version, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm";

/// The route of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    PendingFile,
    PendingLog,
    CommittedCold,
    Cached,
}

impl Route {
    const ALL: [Self; 4] = [
        Self::PendingFile,
        Self::PendingLog,
        Self::CommittedCold,
        Self::Cached,
    ];

    /// Uploads files for this route, one for each name, and calls a function with them. The MongoDB
    /// must outlive the site.
    fn with(self, names: &[&str], act: impl FnOnce(&Client, Vec<Uploaded>)) {
        let mongo = Mongo::start();
        mongo.hide_from_sidecars();
        let builder = if self == Self::PendingLog {
            Builder::default()
        } else {
            Builder::without_log()
        };
        let site = builder.set("settled_grace_seconds", 0).start(&mongo);
        let client = site.client();
        let files = names.iter().map(|name| {
            let path = format!("/files/{name}");
            Uploaded::read(&client.put_with(&path, &[("Content-Type", "image/png")], BODY))
        });
        let files: Vec<_> = files.collect();
        let bodies = site.names("journal/body").len();
        match self {
            Self::PendingFile => assert_eq!(bodies, files.len()),
            Self::PendingLog => assert_eq!(bodies, 0),
            Self::CommittedCold | Self::Cached => {
                mongo.heal();
                site.wait_until_empty();
            }
        }
        if self == Self::Cached {
            for file in &files {
                assert!(client.get(&file.path).body == BODY);
            }
        }
        act(&client, files);
    }
}

/// Asserts the headers of an answer with this status, beside those that all answers have.
fn assert_head(case: &str, answer: &Answer, status: u16, file: &Uploaded) {
    assert_eq!(answer.status, status, "{case}: {answer:?}");
    answer.assert_harmless();
    assert_eq!(
        answer.header("Access-Control-Allow-Origin"),
        NAMED.1,
        "{case}"
    );
    assert_eq!(answer.header("Access-Control-Expose-Headers"), EXPOSED);
    let is_of_file = matches!(status, 200 | 206 | 304);
    let etag = if is_of_file { &*file.etag } else { "" };
    assert_eq!(answer.header("ETag"), etag, "{case}");
    assert_eq!(!answer.header("Last-Modified").is_empty(), is_of_file);
    let is_kept = answer.header("Cache-Control") == "private, max-age=86400, immutable";
    assert_eq!(is_kept, is_of_file, "{case}");
    if is_of_file && status != 304 {
        assert_eq!(answer.header("Content-Type"), "image/png");
        // nginx leaves it out where it would show.
        let is_told = answer.header("Accept-Ranges") == "bytes";
        assert!(is_told || status == 206, "{case}");
        let disposition = answer.header("Content-Disposition");
        assert_eq!(disposition, "inline; filename=\"a\"");
    }
    if matches!(status, 404 | 412 | 416) {
        assert_eq!(answer.header("Content-Type"), "application/problem+json");
    }
    let bounds = match status {
        206 => "bytes 1-3/10",
        416 => "bytes */10",
        _ => "",
    };
    assert_eq!(answer.header("Content-Range"), bounds, "{case}");
}

#[test]
fn the_head_of_every_status_is_the_same_on_every_route() {
    for route in Route::ALL {
        // Each file is asked for once, so that cold files stay cold.
        route.with(&["a"; 13], |client, files| {
            let once = "Tue, 14 Nov 2023 22:13:20 GMT";
            // nginx would read these conditions in another way: by RFC 9110 invalid dates, and dates
            // beside If-Match, are ignored.
            let requests = [
                (200, &[][..]),
                (206, &[("Range", "bytes=1-3")]),
                (304, &[("If-None-Match", "TAG")]),
                (404, &[]),
                (412, &[("If-Match", "\"x\"")]),
                (416, &[("Range", "bytes=10-")]),
                (200, &[("If-Unmodified-Since", "yesterday")]),
                (200, &[("If-Match", "TAG"), ("If-Unmodified-Since", once)]),
                (412, &[("If-Unmodified-Since", once)]),
                (200, &[("If-Modified-Since", "DATE, or so")]),
                (304, &[("If-None-Match", "no tag, \"ü,\", W/TAG")]),
                (412, &[("If-Match", "W/TAG, no tag")]),
                (200, &[("If-Match", "no tag, \"ü\", TAG")]),
            ];
            for ((status, conditions), file) in requests.into_iter().zip(&files) {
                if status == 404 {
                    assert_eq!(client.delete(&file.path).status, 204);
                }
                let conditions = conditions.iter().map(|&(name, value)| {
                    let mut value = value.replace("TAG", &file.etag);
                    if value.contains("DATE") {
                        let head = client.head(&file.path);
                        value = value.replace("DATE", head.header("Last-Modified"));
                    }
                    (name, value)
                });
                let conditions: Vec<_> = conditions.collect();
                let conditions = conditions.iter().map(|(name, value)| (*name, &**value));
                let headers: Vec<_> = [NAMED].into_iter().chain(conditions).collect();
                let answer = client.get_with(&file.path, &headers);
                let case = format!("{route:?} {status} {headers:?}");
                assert_head(&case, &answer, status, file);
                assert!(status != 200 || answer.body == BODY, "{case}");
            }
        });
    }
}

#[test]
fn a_query_has_a_file_saved_that_would_be_shown_on_every_route() {
    for route in Route::ALL {
        route.with(&["a", "b"], |client, files| {
            let kind = |answer: &Answer| {
                assert!(answer.body.is_empty() || answer.body == BODY);
                let disposition = answer.header("Content-Disposition");
                disposition.split(';').next().unwrap().to_owned()
            };
            let (saved, shown) = (&files[0].path, &files[1].path);
            for query in ["?download", "?download=1", "?a=b&download"] {
                let answer = client.get(&format!("{saved}{query}"));
                assert_eq!(kind(&answer), "attachment", "{route:?} {query}");
                let head = client.head(&format!("{saved}/any.png{query}"));
                assert_eq!(kind(&head), "attachment", "{route:?} {query}");
            }
            // The second client gets its own answer, even after another question of the first one.
            assert_eq!(kind(&client.get(saved)), "inline", "{route:?}");
            assert_eq!(kind(&client.get(shown)), "inline", "{route:?}");
            let answer = client.get(&format!("{shown}?download"));
            assert_eq!(kind(&answer), "attachment", "{route:?}");
        });
    }
}

#[test]
fn other_origins_than_those_named_are_allowed_nothing() {
    let site = Site::without_mongodb();
    let client = site.client();
    let file = client.upload(BODY);
    for origin in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://example.com",
        "null",
    ] {
        let asks = ("Access-Control-Request-Method", "GET");
        for answer in [
            client.get_with(&file.path, &[("Origin", origin)]),
            client.ask("OPTIONS", &file.path, &[("Origin", origin), asks]),
        ] {
            answer.assert_harmless();
            let names = answer.headers.keys().map(HeaderName::as_str);
            let allowed: Vec<_> = names
                .filter(|name| name.contains("access-control"))
                .collect();
            assert!(allowed.is_empty(), "{origin}: {allowed:?}");
        }
    }
}

/// Asserts that a browser lets a script of the named origin proceed.
fn assert_preflight(site: &Site) {
    for path in ["/files", "/files/", "/files/a.txt", "/files/a/b?token=x"] {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            let asks = ("Access-Control-Request-Method", method);
            let answer = site.client().ask("OPTIONS", path, &[NAMED, asks]);
            assert_eq!(answer.status, 204, "{path} {method}: {answer:?}");
            answer.assert_harmless();
            assert_eq!(answer.header("Access-Control-Allow-Origin"), NAMED.1);
            let methods = answer.header("Access-Control-Allow-Methods");
            assert!(methods.split(", ").any(|one| one == method), "{methods}");
            let headers = answer.header("Access-Control-Allow-Headers");
            for name in [
                "*",
                "Authorization",
                "Content-Type",
                "Cache-Control",
                "Range",
            ] {
                assert!(headers.split(", ").any(|one| one == name), "{name}");
            }
            assert_eq!(answer.header("Access-Control-Max-Age"), "7200");
            assert_eq!(answer.header("Access-Control-Allow-Credentials"), "");
        }
    }
}

#[test]
fn the_question_of_a_browser_is_answered_before_any_check() {
    let keys = Keys::make();
    let guarded = keys.guard(Builder::default()).start_without_mongodb();
    assert_preflight(&guarded);
    // Nothing answers in the place of the site's own check.
    assert_preflight(&Site::with_own_check(1));
}

#[test]
fn a_script_of_a_named_origin_reads_refusals_and_answers_to_uploads_too() {
    let mut site = Site::without_mongodb();
    let client = site.client();
    let assert_readable = |answer: &Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        answer.assert_harmless();
        assert_eq!(answer.header("Access-Control-Allow-Origin"), NAMED.1);
        assert_eq!(answer.header("Access-Control-Expose-Headers"), EXPOSED);
        assert_eq!(answer.header("Access-Control-Allow-Methods"), "");
    };
    assert_readable(&client.post("/files", &[NAMED], BODY), 201);
    // The sidecar refuses one before the body, and nginx refuses the other.
    let no_key = [NAMED, ("Idempotency-Key", "two words")];
    assert_readable(&client.post("/files", &no_key, BODY), 400);
    site.kill_sidecar();
    assert_readable(&client.post("/files", &[NAMED], BODY), 503);
    assert_readable(&client.get_with("/files/a", &[NAMED]), 503);
}

#[test]
fn what_comes_from_another_node_is_as_harmless_as_what_is_here() {
    let cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let file = cluster.nodes[0].client().upload(BODY);
    let other = cluster.nodes[1].client();
    let gone = cluster.nodes[0].client().upload(BODY);
    assert_eq!(cluster.nodes[0].client().delete(&gone.path).status, 204);
    for (status, path, header) in [
        (200, &file.path, NAMED),
        (206, &file.path, ("Range", "bytes=1-3")),
        (304, &file.path, ("If-None-Match", &*file.etag)),
        (404, &gone.path, NAMED),
        (412, &file.path, ("If-Match", "\"x\"")),
        (416, &file.path, ("Range", "bytes=10-")),
    ] {
        let answer = other.get_with(path, &[header]);
        assert_eq!(answer.status, status, "{answer:?}");
        answer.assert_harmless();
    }
    // Changes are checked against the file in its place.
    let tag = ("If-Match", &*file.etag);
    for (header, status) in [(tag, 409), (("If-None-Match", "*"), 412)] {
        let answer = other.put_with(&file.path, &[header], b"new");
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(other.put(&gone.path, b"new").status, 201);
    // A tag need not be ASCII.
    for tag in ["\"x\"", "\"ü\""] {
        let refused = other.ask("DELETE", &file.path, &[("If-Match", tag)]);
        refused.assert_problem(412, "precondition-failed");
    }
    assert!(other.get(&file.path).body == BODY);
    assert_eq!(other.ask("DELETE", &file.path, &[tag]).status, 204);
}

/// Each address, with its methods.
const METHODS: [(&str, &str); 8] = [
    ("/files", "GET, HEAD, POST, PUT, OPTIONS"),
    ("/files/", "GET, HEAD, POST, PUT, OPTIONS"),
    ("/files/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ("/files/a/b.txt", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ("/files/a/meta", "GET, HEAD, PUT, OPTIONS"),
    ("/files/a/meta/b", "GET, HEAD, PUT, OPTIONS"),
    ("/healthz", "GET, HEAD, OPTIONS"),
    ("/readyz", "GET, HEAD, OPTIONS"),
];

#[test]
fn every_address_tells_its_methods_by_options_and_with_every_405() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let client = site.client();
    let bearer = keys.bearer(&["--scope", "upload download delete"]);
    let with_token = [("Authorization", bearer.as_str())];
    wait_until("the sidecar knows that MongoDB is away", || {
        client.get("/readyz").status == 503
    });
    for (path, allow) in METHODS {
        // This needs no token.
        let answer = client.ask("OPTIONS", path, &[]);
        let is_ready = path != "/readyz";
        assert_eq!(answer.status, if is_ready { 204 } else { 503 }, "{path}");
        assert_eq!(answer.header("allow"), allow, "{path}");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            if !allow.split(", ").any(|one| one == method) {
                let answer = client.ask(method, path, &with_token);
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                assert_eq!(answer.json()["status"], 405, "{method} {path}");
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
            }
        }
        let trace = format!("TRACE {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = site.raw(trace.as_bytes());
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allow, "TRACE {path}");
    }
    for path in ["/healthz", "/readyz"] {
        for answer in [client.get(path), client.head(path)] {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
    }
    assert_eq!(client.head("/healthz").status, 200);
    assert_eq!(client.ask("HEAD", "/files", &with_token).status, 403);
    // A file's description is not a file.
    let file = Uploaded::read(&client.post("/files", &with_token, BODY));
    for meta in ["meta", "m%65ta", "meta/", "meta/a"] {
        let path = format!("{}/{meta}", file.path);
        let answer = client.ask("DELETE", &path, &with_token);
        answer.assert_problem(405, "method-not-allowed");
    }
    // An invalid date is ignored.
    let headers = [with_token[0], ("If-Unmodified-Since", "yesterday")];
    let answer = client.get_with(&file.path, &headers);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn every_other_answer_below_files_is_harmless_too() {
    let mut site = Site::without_mongodb();
    let client = site.client();
    let [file, gone, named] = ["a", "b", "c"].map(|name| {
        let kind = [("Content-Type", "text/html")];
        Uploaded::read(&client.put_with(&format!("/files/{name}"), &kind, BODY))
    });
    let empty = client.upload(b"").path;
    let meta = format!("{}/meta", file.path);
    let name = format!("{}/x.html", named.path);
    for (status, method, path) in [
        (204, "DELETE", &*gone.path),
        (404, "GET", &gone.path),
        (200, "HEAD", &file.path),
        (200, "GET", &name),
        (200, "GET", &empty),
        (200, "GET", &meta),
        (200, "HEAD", &meta),
        (405, "PATCH", &file.path),
        (403, "GET", "/files"),
        (503, "GET", "/files/000000000000000000000000"),
    ] {
        let answer = client.ask(method, path, &[]);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        answer.assert_harmless();
    }
    let form = [("Content-Type", "multipart/form-data; boundary=b")];
    let two_keys = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let long = noise(1, 50_000);
    for (status, headers, body) in [
        (201, &[][..], BODY),
        (201, &[][..], &long[..]),
        (400, &form[..], &b"no form"[..]),
        (400, &two_keys[..], BODY),
        (400, &two_keys[..], &long[..]),
    ] {
        let answer = client.post("/files", headers, body);
        assert_eq!(answer.status, status, "{answer:?}");
        answer.assert_harmless();
    }
    site.kill_sidecar();
    for answer in [client.get(&file.path), client.post("/files", &[], &long)] {
        assert_eq!(answer.status, 503);
        answer.assert_harmless();
    }
}
