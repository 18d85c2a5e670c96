//! Hostile requests: forged headers and paths, and invalid names and ids.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use kit::{Answer, Builder, Mongo, Site, Uploaded, wait_until};
use mongodb::bson::doc;

/// Asserts that nothing of a refused upload is left anywhere.
fn assert_nothing_taken(site: &Site) {
    site.assert_nothing_is_kept("refused");
}

#[test]
fn what_clients_send_under_our_own_header_names_is_ignored() {
    let site = Site::without_mongodb();
    let client = site.client();
    let secret = site.data_dir().join("0000000000");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::hard_link(&secret, site.data_dir().join("spool/9999999999")).unwrap();
    let secret = secret.to_str().unwrap();
    let redirect = format!("/_gridspool/journal/body/../../{secret}");
    let forged = [
        ("X-Gridspool-Body-File", secret),
        ("X-Gridspool-Body-File", "9999999999"),
        ("X-Gridspool-Body-Length", "6"),
        ("X_Gridspool_Body_File", "9999999999"),
        ("X_Gridspool_Body_Length", "6"),
        ("X-Accel-Redirect", &redirect),
        ("X_Accel_Redirect", &redirect),
    ];
    let own = Uploaded::read(&client.post("/files", &forged, b"own content"));
    assert!(client.get(&own.path).body == b"own content");
    let empty = Uploaded::read(&client.post("/files", &forged, b""));
    assert!(client.get(&empty.path).body.is_empty());
    let query = format!("/files?file.path={secret}&X-Gridspool-Body-File={secret}");
    let asked = Uploaded::read(&client.post(&query, &[], b"own content"));
    assert!(client.get(&asked.path).body == b"own content");
    assert!(client.get_with(&own.path, &forged).body == b"own content");
    for (method, path, status) in [
        ("GET", "/files/000000000000000000000000", 503),
        ("GET", "/files", 403),
        ("DELETE", &own.path, 204),
    ] {
        let answer = client.ask(method, path, &forged);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(!answer.body.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[test]
fn internal_addresses_do_not_exist_for_clients() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let file = site.client().upload(b"content");
    site.wait_until_committed();
    let (id, tag) = (&file.id, file.etag.trim_matches('"'));
    for path in [
        format!("/_gridspool/journal/body/{id}"),
        "/_gridspool/journal/wal/00000000.wal".to_owned(),
        "/_gridspool/journal/body/../wal/00000000.wal".to_owned(),
        format!("/_gridspool/store/{id}/{tag}"),
        format!("/_gridspool/store/small/{id}/{tag}"),
        format!("//_gridspool/store/{id}/{tag}"),
        format!("/_gridspool/%2e/store/{id}/{tag}"),
        format!("/files/../_gridspool/store/{id}/{tag}"),
        format!("/files/%2e%2e/_gridspool/journal/body/{id}"),
        "/_gridspool/admission".to_owned(),
        "/files/../_gridspool/admission".to_owned(),
        "/_gridspool/error/400".to_owned(),
        "/_gridspool/".to_owned(),
        "/status".to_owned(),
        "/hold/retry".to_owned(),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
            let answer = site.raw(request.as_bytes());
            assert!(
                matches!(answer.status, 404 | 405),
                "{method} {path}: {answer:?}"
            );
            assert_eq!(
                answer.header("Content-Type"),
                "application/problem+json",
                "{method} {path}: {answer:?}"
            );
            assert!(!answer.body.windows(7).any(|bytes| bytes == b"content"));
        }
    }
}

/// An upload as nginx would send it to the sidecar, with any body file.
fn forged_upload(site: &Site, file: &[u8], length: &str) -> Answer {
    let mut request = b"POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".to_vec();
    request.extend_from_slice(b"X-Gridspool-Body-File: ");
    request.extend_from_slice(file);
    request.extend_from_slice(format!("\r\nX-Gridspool-Body-Length: {length}\r\n\r\n").as_bytes());
    site.raw_to_sidecar(&request)
}

fn assert_refused(answer: &Answer, what: &str) {
    assert!(
        matches!(answer.status, 400..=599),
        "{what}: {}",
        answer.status
    );
    let kind = answer.header("content-type");
    assert_eq!(kind, "application/problem+json", "{what}");
    assert_eq!(answer.json()["status"], answer.status, "{what}");
}

#[test]
fn a_body_file_that_is_no_fresh_spool_file_is_refused_even_on_the_sidecars_own_socket() {
    let site = Builder::without_log().start_without_mongodb();
    let spool = site.data_dir().join("spool");
    let secret = site.data_dir().join("0000000001");
    std::fs::write(&secret, "secret").unwrap();
    // With one name, so that only the link itself shows that it is no body.
    std::fs::write(site.data_dir().join("secret"), "secret").unwrap();
    symlink(site.data_dir().join("secret"), spool.join("0000000002")).unwrap();
    std::fs::hard_link(&secret, spool.join("0000000003")).unwrap();
    std::fs::create_dir(spool.join("0000000004")).unwrap();
    let fifo = Command::new("mkfifo")
        .arg(spool.join("0000000005"))
        .status();
    assert!(fifo.unwrap().success());
    symlink(&spool, spool.join("0000000006")).unwrap();
    symlink(Path::new("/dev/zero"), spool.join("0000000007")).unwrap();
    symlink(Path::new("/nowhere"), spool.join("0000000008")).unwrap();
    std::fs::write(spool.join("0000000009"), "secret").unwrap();
    std::fs::write(spool.join("name"), "secret").unwrap();
    let absolute = secret.to_str().unwrap();
    let marker = site.data_dir().join("journal/body/..");
    for file in [
        "../0000000001",
        "../../data/0000000001",
        absolute,
        "/etc/passwd",
        "/proc/self/fd/0",
        "/proc/self/environ",
        "0000000002",
        "0000000003",
        "0000000004",
        "0000000004/",
        "0000000005",
        "0000000006",
        "0000000007",
        "0000000008",
        "name",
        "",
        ".",
        "..",
        "/",
        "0000000009/.",
        "0000000009x",
        "-000000009",
        marker.to_str().unwrap(),
    ] {
        assert_refused(&forged_upload(&site, file.as_bytes(), "6"), file);
        assert_nothing_taken(&site);
    }
    for file in [&b"000000000\xff"[..], b"0000000009\xc3\x28"] {
        assert_refused(&forged_upload(&site, file, "6"), "bytes that are no text");
    }
    for length in ["7", "0", "-1", "", "x", "99999999999999999999999"] {
        assert_refused(&forged_upload(&site, b"0000000009", length), length);
    }
    assert_nothing_taken(&site);
    // The real body is accepted, so the others were refused for their own faults.
    let taken = forged_upload(&site, b"/any/where/0000000009", "6");
    assert_eq!(taken.status, 201);
    assert_eq!(site.entries("incoming"), 1);
}

#[test]
fn a_spool_file_is_taken_once_however_often_it_is_named() {
    for site in [
        Site::without_mongodb(),
        Builder::without_log().start_without_mongodb(),
    ] {
        assert_taken_once(&site);
    }
}

fn assert_taken_once(site: &Site) {
    std::fs::write(site.data_dir().join("spool/0000000001"), "content").unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| forged_upload(site, b"0000000001", "7")))
            .collect();
        uploads
            .into_iter()
            .map(|upload| upload.join().unwrap())
            .collect()
    });
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(taken, 1, "{answers:?}");
    assert_refused(&forged_upload(site, b"0000000001", "7"), "once more");
    assert_eq!(site.entries("incoming"), 1);
    assert!(site.names("journal/body").len() <= 1);
}

#[test]
fn names_with_controls_quotes_paths_or_direction_marks_come_back_harmless() {
    let site = Site::without_mongodb();
    let client = site.client();
    let long = format!("/files/{}.txt", "n".repeat(5000));
    let shortened = format!("{}.txt", "n".repeat(251));
    for (path, disposition, plain) in [
        (
            "/files/a%0d%0aX-Injected:%201%0d%0a%0d%0ab.txt",
            "",
            "aX-Injected: 1b.txt",
        ),
        ("/files/a%01b%1b%7f.txt", "", "ab.txt"),
        ("/files/a%22b%20c;d=.txt", "", "a_b c;d=.txt"),
        (
            "/files/a%22;%20filename=%22evil.exe",
            "",
            "a_; filename=_evil.exe",
        ),
        ("/files/a%E2%80%AEgpj.exe", "", "agpj.exe"),
        ("/files/%E2%81%A6%D8%9Ca%E2%80%A8b", "", "ab"),
        ("/files/a%ffb.txt", "", "a_b.txt"),
        ("/files/a%25%32%32.txt", "", "a_22.txt"),
        (
            "/files",
            "attachment; filename=\"../../x\\\"y.txt\"",
            "x_y.txt",
        ),
        (
            "/files",
            "attachment; filename*=UTF-8''a%0D%0AX-Injected%3A%201.txt",
            "aX-Injected: 1.txt",
        ),
        (
            "/files",
            "attachment; filename*=UTF-8''%E2%80%AEgpj.exe",
            "gpj.exe",
        ),
        (&long, "", &shortened),
    ] {
        let headers = [("Content-Disposition", disposition)];
        let headers = &headers[..usize::from(!disposition.is_empty())];
        let file = Uploaded::read(&client.put_with(path, headers, b"x"));
        let answer = client.get(&file.path);
        let told = answer.header("content-disposition");
        let start = format!("attachment; filename=\"{plain}\"");
        assert!(told.starts_with(&start), "{path} {disposition}: {told}");
        assert!(
            told.len() == start.len() || told[start.len()..].starts_with("; filename*=UTF-8''"),
            "{told}"
        );
        assert!(!answer.headers.contains_key("x-injected"));
        answer.assert_harmless();
    }
    for path in ["/files/%0d%0a", "/files/%20", "/files/%E2%80%AE"] {
        let answer = client.put(path, b"x");
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
        assert_eq!(answer.json()["filename"], answer.json()["id"], "{path}");
    }
}

#[test]
fn ids_that_are_none_are_never_found_and_never_an_error_of_the_server() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let file = client.upload(b"content");
    site.wait_until_committed();
    let id = &file.id;
    let long = "a".repeat(10 * 1024);
    let deep = format!("{}1{}", "%5B".repeat(1000), "%5D".repeat(1000));
    let objects = format!("{}1{}", "%7B%22a%22%3A".repeat(200), "%7D".repeat(200));
    let ids = [
        "id[$ne]=",
        "%5B%24ne%5D=",
        "%7B%22%24ne%22%3A%22%22%7D",
        "%7B%22%24gt%22%3A%22%22%7D",
        "%7B%22%24where%22%3A%22sleep(9999)%22%7D",
        "%7B%22%24regex%22%3A%22.*%22%7D",
        "%7B%22_id%22%3A%7B%22%24ne%22%3A1%7D%7D",
        "%7B%22%24oid%22%3A1%7D",
        "%7B%22%24date%22%3A%22never%22%7D",
        "%7B%22%24numberLong%22%3A%22x%22%7D",
        "%7B%22%24binary%22%3A%7B%22base64%22%3A%22%21%22%2C%22subType%22%3A%22zz%22%7D%7D",
        "null",
        "%5B%5D",
        "%7B%7D",
        "1e999",
        "99999999999999999999999999",
        "-0",
        "%00",
        "a%00b",
        "%ff%fe",
        "%c3%28",
        "%",
        "%zz",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f",
        "+",
        "*",
        "$where",
        "'%20or%20'1'='1",
        &format!("{id}0"),
        &id[1..],
        &format!("{id}%00"),
        &format!("%20{id}"),
        &long,
        &deep,
        &objects,
    ];
    for id in ids {
        for method in ["GET", "HEAD", "DELETE"] {
            let request =
                format!("{method} /files/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = site.raw(request.as_bytes());
            let shown = &id[..id.len().min(80)];
            // nginx resolves dots: then the path is not ours, and does not have this method.
            assert!(
                matches!(answer.status, 400 | 404 | 405 | 414),
                "{method} {shown}: {answer:?}"
            );
        }
    }
    assert!(client.get(&file.path).body == b"content");
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 1);
}

#[test]
fn requests_that_two_servers_could_read_in_two_ways_are_refused_and_leave_nothing() {
    let site = Site::without_mongodb();
    let smuggled = "GET /files/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (headers, body) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "0\r\n\r\n",
        ),
        ("Content-Length: 5\r\nContent-Length: 5", "hello"),
        ("Content-Length: 0\r\nContent-Length: 5", "hello"),
        ("Content-Length: 5, 5", "hello"),
        ("Content-Length: -1", ""),
        ("Content-Length: +5", "hello"),
        ("Content-Length: 0x5", "hello"),
        ("Content-Length: 99999999999999999999999", "hello"),
        ("Content-Length: five", "hello"),
        ("Transfer-Encoding: xchunked", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: gzip, chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked, identity",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        ("Transfer-Encoding : chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "x\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nhelloworld\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let what = format!("{headers:?} {body:?}");
        let request =
            format!("POST /files HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}{smuggled}");
        let wire = site.wire(request.as_bytes());
        let answer = Answer::from_wire(&wire).unwrap();
        assert!(
            matches!(answer.status, 400 | 413 | 501),
            "{what}: {answer:?}"
        );
        let answers = wire
            .windows(9)
            .filter(|bytes| bytes == b"HTTP/1.1 ")
            .count();
        assert_eq!(answers, 1, "{what}: what follows was read as a request");
        assert_nothing_taken(&site);
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert!(!site.log().contains("smuggled"));
}
