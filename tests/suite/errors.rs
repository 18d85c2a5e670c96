//! nginx's own answers, and its handling of slow clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::{
    Answer, Builder, Keys, Mongo, Process, Site, SmallDisk, Uploaded, noise, read_to_end, signal,
    wait_until,
};
use rustix::process::Signal;

/// Asserts that nothing of a refused upload is left.
fn assert_nothing_left(site: &Site) {
    wait_until("the spool is empty", || site.names("spool").is_empty());
    site.assert_nothing_is_kept("refused");
}

#[test]
fn a_body_that_is_longer_than_nginx_takes_and_a_limit_of_the_site_are_problems() {
    let mut site = Site::without_mongodb();
    // nginx knows types by file name extensions, and must not use them here.
    for target in ["POST /files", "PUT /files/a", "PUT /files/a.jpg"] {
        let head = format!("{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 17179869185\r\n\r\n");
        let refused = site.head_alone(head.as_bytes());
        refused.assert_problem(413, "too-large");
    }
    assert_nothing_left(&site);
    // A site may refuse a request itself, with any status.
    site.change_nginx(&[(
        "gridspool/files.conf",
        "recursive_error_pages on;",
        "recursive_error_pages on; if ($arg_a) { return 421; } if ($arg_b) { return 503; }",
    )]);
    for path in ["/files?", "/files/a.jpg?"] {
        let client = site.client();
        let answer = client.get(&format!("{path}a=1"));
        answer.assert_problem(421, "refused");
        let answer = client.get(&format!("{path}b=1"));
        answer.assert_problem(503, "unavailable");
    }
}

#[test]
fn a_sidecar_that_is_not_there_is_a_problem_on_every_address() {
    let mut site = Site::without_mongodb();
    let file = site.client().upload(b"content");
    site.kill_sidecar();
    let client = site.client();
    for path in [&file.path, "/files/a/b", "/healthz", "/readyz"] {
        client.get(path).assert_problem(503, "unavailable");
    }
    for (method, path) in [
        ("DELETE", &*file.path),
        ("PATCH", "/files/a"),
        ("GET", "/files"),
    ] {
        let answer = client.ask(method, path, &[]);
        answer.assert_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2");
    }
    client
        .post("/files", &[], b"x")
        .assert_problem(503, "unavailable");
}

#[test]
fn a_sidecar_that_does_not_answer_in_time_is_a_problem_on_every_address() {
    let mut site = Site::without_mongodb();
    site.change_nginx(&[
        (
            "gridspool/upstream.conf",
            "proxy_connect_timeout 5s;",
            "proxy_connect_timeout 5s; proxy_read_timeout 1s;",
        ),
        ("gridspool/refusals.conf", "proxy_read_timeout 30s;", ""),
        ("gridspool/hop.conf", "  proxy_read_timeout 5s;", ""),
        ("gridspool/healthz.conf", "  proxy_read_timeout 3s;", ""),
        ("gridspool/files.conf", "proxy_read_timeout 300s;", ""),
        ("gridspool/spool.conf", "proxy_read_timeout 300s;", ""),
        ("gridspool/list.conf", "proxy_read_timeout 75s;", ""),
        ("gridspool/salvage.conf", "proxy_read_timeout 300s;", ""),
        ("gridspool/live.conf", "  proxy_read_timeout 310s;", ""),
    ]);
    let client = site.client();
    let file = client.upload(b"content");
    let sidecar = site.sidecar_id();
    signal(sidecar, Signal::STOP);
    for path in [&file.path, "/healthz", "/receivers/bob/messages"] {
        client.get(path).assert_problem(503, "unavailable");
    }
    client
        .post("/files", &[], b"x")
        .assert_problem(503, "unavailable");
    signal(sidecar, Signal::CONT);
    assert!(client.get(&file.path).body == b"content");
}

#[test]
fn a_mongodb_that_does_not_answer_in_time_is_a_problem_and_no_page_of_nginx() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    site.change_nginx(&[(
        "gridspool/slices.conf",
        "proxy_set_header Range $slice_range;",
        "proxy_set_header Range $slice_range; proxy_read_timeout 1s;",
    )]);
    let client = site.client();
    let file = client.upload(&noise(1, 300_000));
    site.wait_until_empty();
    // The sidecar has its description now, but not its bytes.
    assert_eq!(client.head(&file.path).status, 200);
    mongo.freeze();
    let answer = client.get(&file.path);
    answer.assert_problem(503, "unavailable");
    assert!(!answer.headers.contains_key("cache-control"));
    mongo.thaw();
    assert!(client.get(&file.path).body == noise(1, 300_000));
}

/// Time-outs of nginx that are short enough for a test, and long enough for a hundred clients to begin
/// on a busy machine. The number of connections to the sidecar is small on any number of processors.
const SOON: [(&str, &str, &str); 3] = [
    (
        "gridspool/body.conf",
        "client_body_timeout 60s;",
        "client_body_timeout 4s;",
    ),
    (
        "nginx.conf",
        "server_tokens off;",
        "server_tokens off; client_header_timeout 4s; send_timeout 4s;",
    ),
    ("nginx.conf", "worker_processes auto", "worker_processes 2"),
];

fn begin(site: &Site, bytes: &[u8]) -> TcpStream {
    let mut stream = site.connect();
    stream.write_all(bytes).unwrap();
    stream
}

/// The sockets that the sidecar has open.
fn sockets_of_sidecar(site: &Site) -> usize {
    let path = format!("/proc/{}/fd", site.sidecar_id());
    let links = std::fs::read_dir(path).unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

#[test]
fn a_client_that_stops_in_its_head_or_body_is_cut_off_and_the_sidecar_never_sees_it() {
    let mut site = Site::without_mongodb();
    site.change_nginx(&SOON);
    let client = site.client();
    client.upload(b"so that nginx has a connection to the sidecar");
    let before = sockets_of_sidecar(&site);
    let head = b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let half_body = [&head[..], &noise(1, 70_000)].concat();
    let slow: Vec<_> = (0..100)
        .map(|count| begin(&site, [&head[..40], &half_body][count % 2]))
        .collect();
    wait_until("nginx spools what is there", || {
        site.names("spool").len() == 50
    });
    // Each worker of nginx may have opened one more connection, to ask about them.
    let during = sockets_of_sidecar(&site);
    assert!(during <= before + 50, "{before}, then {during}");
    let other = client.upload(b"another's");
    assert!(client.get(&other.path).body == b"another's");
    for stream in slow {
        // nginx gives no answer when a body stops; see src/http/README.md.
        assert_eq!(read_to_end(stream), b"");
    }
    wait_until("all of them are cut off", || {
        site.names("spool").is_empty() && site.access_log().matches("\" 408 0 ").count() == 100
    });
    assert_eq!(site.entries("incoming"), 2);
}

#[test]
fn a_stream_of_http2_that_stops_in_its_body_is_given_up_without_an_answer() {
    let mut site = Site::without_mongodb();
    site.change_nginx(&SOON);
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&body, noise(1, 1_000_000)).unwrap();
    // At one byte a second it pauses for hours after the first buffer that it sends.
    let _slow = Process::spawn(
        Command::new("curl")
            .args(["-sk", "--http2", "--limit-rate", "1", "-T"])
            .arg(body.path())
            .arg(format!("{}/files/slow", site.https_url()))
            .stdout(Stdio::null()),
    );
    wait_until("it is given up", || {
        let log = site.access_log();
        log.contains("\"PUT /files/slow HTTP/2.0\" 408 0 ")
    });
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_holds_nobody_up() {
    let mut site = Site::without_mongodb();
    site.change_nginx(&SOON);
    let client = site.client();
    let file = client.upload(&noise(1, 32 * 1024 * 1024));
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", file.path);
    let slow: Vec<_> = (0..20).map(|_| begin(&site, request.as_bytes())).collect();
    let other = client.upload(b"another's");
    assert!(client.get(&other.path).body == b"another's");
    let line = format!("/{} HTTP/1.1\" 200 ", file.id);
    wait_until("all of them are cut off", || {
        site.access_log().matches(&line).count() == slow.len()
    });
    for stream in slow {
        assert!(read_to_end(stream).len() < 32 * 1024 * 1024);
    }
}

#[test]
fn a_body_that_does_not_fit_on_the_disk_gets_507_and_downloads_go_on() {
    let mut site = Builder::default()
        .set("min_free_bytes", 0)
        .set("min_free_inodes", 0)
        .start_without_mongodb();
    let Some(disk) = SmallDisk::below(&mut site, "a full disk", "size=76m") else {
        return;
    };
    let client = site.client();
    let content = noise(1, 1_000_000);
    let file = client.upload(&content);
    let long = noise(2, 40_000_000);
    let refused = [
        client.post("/files", &[], &long),
        client.put("/files/a", &long),
        client.post_chunked("/files", &long),
    ];
    for answer in refused {
        answer.assert_problem(507, "no-space");
        assert_eq!(answer.header("retry-after"), "30");
    }
    assert!(client.get(&file.path).body == content);
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), 1);
    disk.wait_until_free(2_000_000);
    let next = client.upload(&content);
    assert!(client.get(&next.path).body == content);
}

#[test]
fn without_inodes_uploads_get_507_and_leave_nothing_until_there_are_some_again() {
    let mut site = Builder::without_log()
        .set("min_free_bytes", 0)
        .set("min_free_inodes", 0)
        .start_without_mongodb();
    let room = "size=116m,nr_inodes=200";
    let Some(disk) = SmallDisk::below(&mut site, "a disk without inodes", room) else {
        return;
    };
    let client = site.client();
    let file = client.upload(b"content");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    disk.leave_inodes(0);
    client
        .post("/files", &[], b"x")
        .assert_problem(507, "no-space");
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.names("journal/body"), std::slice::from_ref(&file.id));
    assert!(client.get(&file.path).body == b"content");
    disk.give_back();
    // One for the body; its record needs none.
    disk.leave_inodes(1);
    let next = Uploaded::read(&client.post("/files", &[], b"x"));
    assert!(client.get(&next.path).body == b"x");
    disk.give_back();
}

/// A server in the sidecar's place that reads the head of a request and hangs up. Returns the number of
/// requests.
fn hang_up_on_uploads(path: &Path) -> Arc<AtomicUsize> {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // It is counted before the server hangs up.
            let mut stream = stream.unwrap();
            let mut head = [0; 64];
            let read = stream.read(&mut head).unwrap_or(0);
            // Requests that only ask whether an upload may come in do not count.
            if head[..read].starts_with(b"P") {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    taken
}

#[test]
fn an_upload_that_a_server_took_and_did_not_answer_is_never_given_to_another() {
    let keys = Keys::make();
    let mut site = keys.guard(Builder::default()).start_without_mongodb();
    let other = site.run_dir().join("other.sock");
    let taken = hang_up_on_uploads(&other);
    let own = format!("server unix:{};", site.socket().display());
    let both = format!("{own} server unix:{} max_fails=0;", other.display());
    site.change_nginx(&[("gridspool.conf", &own, &both)]);
    let bearer = keys.bearer(&["--scope", "upload"]);
    let headers = [("Authorization", bearer.as_str())];
    let (mut sent, mut promised) = (0, 0);
    while taken.load(Ordering::SeqCst) < 8 {
        for length in [10, 50_000] {
            for put in [true, false] {
                let path = if put { "/files/a" } else { "/files" };
                let before = taken.load(Ordering::SeqCst);
                let client = site.client();
                let body = noise(1, length);
                let answer = if put {
                    client.put_with(path, &headers, &body)
                } else {
                    client.post(path, &headers, &body)
                };
                sent += 1;
                let was_taken = taken.load(Ordering::SeqCst) > before;
                // If the other server took the upload, the client got no promise from this one.
                assert!(matches!(answer.status, 201 | 503), "{answer:?}");
                assert!(!was_taken || answer.status == 503, "{path}: {answer:?}");
                promised += u64::from(answer.status == 201);
            }
        }
    }
    assert!(promised > 0 && promised < sent);
    assert_eq!(site.entries("incoming"), promised);
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn a_sidecar_without_file_handles_refuses_uploads_and_takes_them_when_it_has_some_again() {
    let script = "ulimit -n 64; exec \"$@\"";
    let site = Builder::without_log()
        .wrap(&["bash", "-c", script, "bash"])
        .start_without_mongodb();
    let file = site.client().upload(b"before");
    std::fs::write(site.data_dir().join("spool/0000000001"), b"content").unwrap();
    let (begin, rest) = (
        b"POST /files HTTP/1.1\r\nHost: a\r\n",
        b"Connection: close\r\nX-Gridspool-Body-File: 0000000001\r\n\r\n",
    );
    let mut early = UnixStream::connect(site.socket()).unwrap();
    early.write_all(begin).unwrap();
    let held = [(); 200].map(|()| UnixStream::connect(site.socket()).unwrap());
    wait_until("no handle is left", || site.sidecar_handles() >= 64);
    early.write_all(rest).unwrap();
    let answer = Answer::from_wire(&read_to_end(early)).unwrap();
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (503, &503.into())
    );
    assert_eq!(site.names("journal/body"), [&*file.id]);
    drop(held);
    wait_until("there are handles again", || site.sidecar_handles() < 50);
    let answer = site.raw_to_sidecar(&[&begin[..], rest].concat());
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(site.client().get(&file.path).body == b"before");
    assert!(!site.log().contains("panicked"));
}
