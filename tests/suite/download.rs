//! Downloads: the same answers before and after the commit.

use kit::{Answer, Builder, Client, Mongo, Routes, Uploaded, noise};

fn upload(client: &Client, name: &str, content_type: &str, body: &[u8]) -> Uploaded {
    let disposition = format!("attachment; filename*=UTF-8''{name}");
    let headers = [
        ("Content-Type", content_type),
        ("Content-Disposition", &disposition),
    ];
    Uploaded::read(&client.post("/files", &headers, body))
}

/// Asserts that two routes gave the same answer, except for its time.
fn assert_same([pending, committed]: [Vec<Answer>; 2]) {
    assert_eq!(pending.len(), committed.len());
    for (pending, committed) in pending.iter().zip(&committed) {
        assert_eq!(pending.status, committed.status);
        assert_eq!(pending.lasting_headers(), committed.lasting_headers());
        assert!(pending.body == committed.body);
    }
}

#[test]
fn headers_and_bytes_are_the_same_by_get_and_head_before_and_after_the_commit() {
    let routes = Routes::start();
    let body = noise(1, 300_000);
    let file = upload(
        &routes.site.client(),
        "gr%C3%B6%C3%9Fe%201.png",
        "image/png",
        &body,
    );
    let answers = routes.both(|client| {
        let get = client.get(&file.path);
        assert_eq!(get.status, 200);
        assert!(get.body == body);
        assert_eq!(get.header("accept-ranges"), "bytes");
        assert_eq!(get.header("content-length"), "300000");
        assert_eq!(get.header("content-type"), "image/png");
        assert_eq!(get.header("etag"), file.etag);
        assert!(get.header("last-modified").ends_with(" GMT"));
        assert_eq!(
            get.header("content-disposition"),
            "inline; filename=\"gr__e 1.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.png"
        );
        assert_eq!(
            get.header("cache-control"),
            "private, max-age=86400, immutable"
        );
        get.assert_harmless();
        let head = client.head(&file.path);
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        assert_eq!(head.lasting_headers(), get.lasting_headers());
        vec![get, head]
    });
    assert_same(answers);
}

#[test]
fn what_could_hold_a_script_is_an_attachment_on_both_routes() {
    let routes = Routes::start();
    let client = routes.site.client();
    let script = b"<script>alert(1)</script>";
    let active = ["text/html", "image/svg+xml", "application/pdf", "text/xml"]
        .map(|content_type| upload(&client, "a", content_type, script));
    let shown = ["image/png", "video/mp4"].map(|kind| upload(&client, "a", kind, script));
    let answers = routes.both(|client| {
        let get = |file: &Uploaded, disposition: &str| {
            let answer = client.get(&file.path);
            assert_eq!(answer.header("content-disposition"), disposition);
            answer.assert_harmless();
            answer
        };
        let active = active
            .iter()
            .map(|file| get(file, "attachment; filename=\"a\""));
        let shown = shown.iter().map(|file| get(file, "inline; filename=\"a\""));
        active.chain(shown).collect()
    });
    assert_same(answers);
}

#[test]
fn conditions_are_judged_alike_on_both_routes() {
    let routes = Routes::start();
    let file = upload(&routes.site.client(), "a", "text/plain", b"0123456789");
    let tag = file.etag.as_str();
    let weak = format!("W/{tag}");
    let several = format!("\"x\", {tag}");
    let modified = routes.site.client().head(&file.path);
    let modified = modified.header("last-modified");
    let (past, future) = (
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "Tue, 14 Nov 2073 22:13:20 GMT",
    );
    let table: &[(&[(&str, &str)], u16)] = &[
        (&[("If-None-Match", tag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", &several)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"x\"")], 200),
        (&[("If-None-Match", tag), ("Range", "bytes=0-1")], 304),
        (
            &[("If-None-Match", "\"x\""), ("If-Modified-Since", future)],
            200,
        ),
        (&[("If-Modified-Since", modified)], 304),
        (&[("If-Modified-Since", future)], 304),
        (&[("If-Modified-Since", past)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Match", tag)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", &several)], 200),
        (&[("If-Match", "\"x\"")], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", "\"x\""), ("Range", "bytes=0-1")], 412),
        (&[("If-Unmodified-Since", modified)], 200),
        (&[("If-Unmodified-Since", future)], 200),
        (&[("If-Unmodified-Since", past)], 412),
    ];
    let answers = routes.both(|client| {
        let cases = table
            .iter()
            .flat_map(|case| [("GET", case), ("HEAD", case)]);
        let judged = cases.map(|(method, (headers, status))| {
            let answer = client.ask(method, &file.path, headers);
            assert_eq!(answer.status, *status, "{method} {headers:?}");
            match status {
                304 => {
                    assert_eq!(answer.header("etag"), tag);
                    assert_eq!(answer.header("last-modified"), modified);
                    assert!(answer.header("cache-control").contains("immutable"));
                    assert!(answer.body.is_empty());
                }
                412 if method == "GET" => answer.assert_problem(412, "precondition-failed"),
                200 if method == "GET" => assert!(answer.body == b"0123456789"),
                _ => assert!(answer.body.is_empty()),
            }
            answer.assert_harmless();
            answer
        });
        judged.collect()
    });
    assert_same(answers);
}

#[test]
fn an_empty_file_comes_whole_whatever_range_is_asked_for() {
    let routes = Routes::start();
    let file = upload(&routes.site.client(), "empty", "text/plain", b"");
    let answers = routes.both(|client| {
        let ranges = ["", "bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-9"];
        let got = ranges.map(|range| {
            let headers = [("Range", range)];
            let answer = client.get_with(&file.path, &headers[..usize::from(!range.is_empty())]);
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{range}");
            assert_eq!(answer.header("content-length"), "0");
            assert_eq!(answer.header("etag"), file.etag);
            assert_eq!(
                answer.header("content-disposition"),
                "attachment; filename=\"empty\""
            );
            answer.assert_harmless();
            answer
        });
        let head = client.head(&file.path);
        assert_eq!((head.status, head.header("content-length")), (200, "0"));
        let cached = client.get_with(&file.path, &[("If-None-Match", &file.etag)]);
        assert_eq!(cached.status, 304);
        got.into_iter().chain([head, cached]).collect()
    });
    assert_same(answers);
}

#[test]
fn any_name_behind_the_id_gives_the_file_and_an_unknown_id_is_not_found() {
    let routes = Routes::start();
    let file = upload(&routes.site.client(), "a", "text/plain", b"content");
    routes.both(|client| {
        for name in ["", "any%20name", "b.html", "a/b/c.txt", "%C3%B6", "..%252F"] {
            let path = format!("{}/{name}", file.path);
            let answer = client.get(&path);
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.body == b"content", "{path}");
            assert_eq!(
                answer.header("content-disposition"),
                "attachment; filename=\"a\""
            );
            let upper = file.path.to_uppercase().replace("/FILES/", "/files/");
            assert!(client.get(&upper).body == b"content", "{upper}");
        }
    });
    let client = routes.site.client();
    for path in [
        "/files/000000000000000000000000",
        "/files/000000000000000000000000/a.txt",
        "/files/x",
    ] {
        for headers in [&[][..], &[("Range", "bytes=0-1")]] {
            let answer = client.get_with(path, headers);
            answer.assert_problem(404, "not-found");
        }
        assert_eq!(client.head(path).status, 404);
    }
}

#[test]
fn without_mongodb_pending_files_are_served_and_unknown_ones_are_told_to_come_again() {
    let mut mongo = Mongo::start();
    let site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let committed = client.upload(b"committed");
    site.wait_until_empty();
    mongo.stop();
    let pending = client.upload(b"pending");
    assert!(client.get(&pending.path).body == b"pending");
    for path in [&committed.path, "/files/000000000000000000000000"] {
        let answer = client.get(path);
        answer.assert_problem(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    mongo.restart();
    mongo.wait_for_primary();
    kit::wait_until("committed files are back", || {
        client.get(&committed.path).body == b"committed"
    });
}
