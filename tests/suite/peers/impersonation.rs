//! An impostor at the address of another node, or in the sidecar's place: what nginx believes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use kit::{Client, Site, Uploaded, noise};

use super::{Heard, overhear};

/// nginx sends any body that the sidecar names, but nothing of its log.
pub(super) fn assert_records_of_the_journal_cannot_be_sent(site: &mut Site) {
    let file = site.client().upload(&noise(5, 100_000));
    site.kill_sidecar();
    std::fs::remove_file(site.socket()).unwrap();
    let sidecar = UnixListener::bind(site.socket()).unwrap();
    let client = site.client();
    let redirect = |path: &str| {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| client.get("/files/a"));
            let (mut stream, _) = sidecar.accept().unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).unwrap() > 0);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\
                 X-Accel-Redirect: /_gridspool/journal/{path}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            drop(stream);
            asking.join().unwrap()
        })
    };
    assert!(redirect(&format!("body/{}", file.id)).body == noise(5, 100_000));
    let record = format!("wal/{}", site.names("journal/wal")[0]);
    for place in [&record, &format!("body/../{record}")] {
        assert_eq!(redirect(place).status, 404, "{place}");
    }
}

/// An impostor at another node's address can give wrong bytes, and nothing else.
pub(super) fn assert_is_not_believed(heard: &Heard, site: &Site, file: &Uploaded) {
    let client = site.client();
    let secret = client.upload(b"secret");
    let ask_as = |client: &Client, path: &str, answer: &str| {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| client.try_get(path));
            let (mut stream, _) = overhear(heard, &file.id);
            // nginx hangs up when it has read enough.
            stream.write_all(answer.as_bytes()).unwrap_or_default();
            drop(stream);
            asking.join().unwrap()
        })
    };
    let ask = |path: &str, answer: &str| ask_as(&client, path, answer);
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/html\r\nETag: \"x\"\r\n";
    let words = "X-Gridspool-Peer: 127.0.0.1:1\r\nX-Accel-Limit-Rate: 1\r\nX-Accel-Charset: utf-7\r\nX-Accel-Expires: 9\r\n\
        Set-Cookie: a=b\r\nContent-Security-Policy: script-src *\r\nX-Content-Type-Options: x\r\n\
        Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
        Cache-Control: public\r\nExpires: Thu, 31 Dec 2037 23:55:55 GMT\r\nVary: *\r\n\
        Clear-Site-Data: \"*\"\r\nRefresh: 0; url=http://evil.example\r\nLink: <x>; rel=preload\r\n\
        Strict-Transport-Security: max-age=0\r\nAlt-Svc: h2=\"evil.example:443\"\r\n\
        Service-Worker-Allowed: /\r\nWWW-Authenticate: Basic\r\nContent-Encoding: gzip\r\n\
        Location: http://evil.example\r\nCross-Origin-Resource-Policy: cross-origin\r\n";
    for (path, caching) in [
        (file.path.clone(), "private, max-age=86400, immutable"),
        (format!("{}/meta", file.path), "no-store"),
    ] {
        let answer = ask(&path, &format!("{ok}{words}\r\nwrong")).unwrap();
        assert!(answer.status == 200 && answer.body == b"wrong");
        answer.assert_harmless();
        let caching: Vec<_> = [caching].into();
        let cached = answer.headers.get_all("cache-control");
        assert_eq!(cached.iter().collect::<Vec<_>>(), caching);
        let mut names: Vec<_> = answer
            .headers
            .keys()
            .map(ureq::http::HeaderName::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "cache-control",
                "connection",
                "content-length",
                "content-security-policy",
                "content-type",
                "cross-origin-resource-policy",
                "date",
                "etag",
                "referrer-policy",
                "server",
                "vary",
                "x-content-type-options",
            ]
        );
    }
    for place in [
        format!("/_gridspool/journal/body/{}", secret.id),
        format!("/_gridspool/store/{}/x", secret.id),
        format!("/_gridspool/peer/1/files/{}", secret.id),
        format!("/files/{}", secret.id),
        "/_gridspool/error/505".to_owned(),
        "@gridspool_fetch".to_owned(),
    ] {
        let answer = format!("{ok}X-Accel-Redirect: {place}\r\n\r\nwrong");
        assert!(
            ask(&file.path, &answer).unwrap().body == b"wrong",
            "{place}"
        );
    }
    let long = "a".repeat(100_000);
    for head in [
        "HTTP/1.1 302 Found\r\nLocation: http://evil.example\r\nContent-Length: 5\r\n",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n",
        &format!("{ok}A: {long}\r\n"),
    ] {
        let answer = ask(&file.path, &format!("{head}\r\nwrong")).unwrap();
        answer.assert_problem(503, "unavailable");
        assert!(answer.header("location").is_empty(), "{head}");
    }
    // A body that is too short breaks off; one that is too long is cut.
    assert!(ask(&file.path, &format!("{ok}\r\nwro")).is_none());
    let longer = ask(&file.path, &format!("{ok}\r\nwrong and more"));
    assert!(longer.unwrap().body == b"wrong");
    // nginx passes these on unchanged, but so slowly that no client waits for them.
    for head in ["HTTP/1.1 100 Continue", "HTTP/1.1 103 Early Hints", "\r\n"] {
        let answer = format!("{head}\r\n\r\n{ok}{words}\r\nwrong");
        let answer = ask_as(&client.hurried(PATIENCE), &file.path, &answer);
        assert!(answer.is_none(), "{head}: {answer:?}");
    }
}

/// How long a client waits for an answer that may never come.
const PATIENCE: Duration = Duration::from_secs(3);
