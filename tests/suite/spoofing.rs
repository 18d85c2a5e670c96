//! Headers and files that imitate nginx's own: headers that only nginx may set, and files in the spool
//! that are not bodies.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::{Answer, Builder, Client, Keys, Site, Uploaded, noise, skip, wait_until};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use crate::refusal::{announce, spool_changed};

const SECRET: &[u8] = b"secret";

/// The headers between nginx and sidecar, and those that nginx obeys in an answer.
const WORDS: &[(&str, &str)] = &[
    ("X-Gridspool-Body-File", "/any/where/9999999999"),
    ("X-Gridspool-Body-Length", "6"),
    ("X-Gridspool-Target", "/files?token=a"),
    ("X-Gridspool-Took", "99999"),
    ("X-Gridspool-Refusal", "@gridspool_refused_500"),
    ("X-Gridspool-Problem", "{}"),
    ("X-Gridspool-Pass", "a"),
    ("X-Gridspool-Peer", "127.0.0.1:1/_gridspool/hop/files/a"),
    ("X-Real-IP", "192.0.2.1"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Accel-Redirect", "/_gridspool/journal/body/9999999999"),
    ("X-Accel-Buffering", "no"),
    ("X-Accel-Charset", "utf-7"),
    ("X-Accel-Expires", "1"),
    ("X-Accel-Limit-Rate", "1"),
    ("X-Sendfile", "/etc/passwd"),
];

/// Uploads in every way that a body can take. Returns each answer and each body.
fn upload_by_every_way(client: &Client, forged: &[(&str, &str)]) -> Vec<(Answer, Vec<u8>)> {
    let kind = [("Content-Type", "multipart/form-data; boundary=b")];
    let waits = [("Expect", "100-continue")];
    let (small, large) = (noise(1, 10), noise(2, 50_000));
    let form = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n\
                in a form\r\n--b--\r\n";
    vec![
        (client.post("/files", forged, &small), small.clone()),
        (client.put_with("/files/a", forged, &small), small.clone()),
        (client.post("/files", forged, b""), Vec::new()),
        (client.post("/files", forged, &large), large.clone()),
        (client.put_with("/files/a", forged, &large), large.clone()),
        (
            client.post("/files", &[forged, &waits].concat(), &small),
            small,
        ),
        (
            client.post("/files", &[forged, &kind].concat(), form.as_bytes()),
            b"in a form".to_vec(),
        ),
    ]
}

#[test]
fn no_way_of_a_request_heeds_the_words_of_nginx_from_a_client() {
    let site = Site::without_mongodb();
    let client = site.client();
    let decoy = site.data_dir().join("spool/9999999999");
    std::fs::write(&decoy, SECRET).unwrap();
    let before = std::fs::metadata(&decoy).unwrap();
    let file = client.upload(b"content");
    let plain = client.get(&file.path);
    for (name, value) in WORDS {
        for name in [(*name).to_owned(), name.replace('-', "_")] {
            let forged = [(&*name, *value)];
            for (answer, content) in upload_by_every_way(&client, &forged) {
                assert_eq!(answer.status, 201, "{name}: {answer:?}");
                let json = answer.json();
                let taken = Uploaded::of(json["files"].get(0).unwrap_or(&json));
                assert!(client.get(&taken.path).body == content, "{name}");
            }
            let answer = client.get_with(&file.path, &forged);
            assert_eq!(answer.lasting_headers(), plain.lasting_headers(), "{name}");
            assert_eq!(
                (answer.status, &*answer.body),
                (200, &b"content"[..]),
                "{name}"
            );
            let meta = client.get_with(&format!("{}/meta", file.path), &forged);
            assert_eq!(meta.status, 200, "{name}: {meta:?}");
            for (method, path, status) in [
                ("GET", "/files", 403),
                ("PATCH", "/files/a", 405),
                ("GET", "/files/000000000000000000000000", 503),
                ("GET", "/_gridspool/admission", 404),
            ] {
                let answer = client.ask(method, path, &forged);
                assert_eq!(answer.status, status, "{name}: {method} {path}");
            }
        }
    }
    let after = std::fs::metadata(&decoy).unwrap();
    assert_eq!((after.nlink(), after.mode()), (1, before.mode()));
    std::fs::remove_file(&decoy).unwrap();
    wait_until("the spool is empty", || site.names("spool").is_empty());
}

#[test]
fn no_forged_word_tells_who_asks() {
    let keys = Keys::make();
    let site = keys.guard(Builder::default()).start_without_mongodb();
    let token = keys.token(&["--scope", "upload download delete"]);
    let bearer = format!("Bearer {token}");
    let file = site
        .client()
        .post("/files", &[("Authorization", &bearer)], b"content");
    let file = Uploaded::read(&file);
    let target = format!("/files?token={token}");
    for name in [
        "X-Gridspool-Target",
        "X_Gridspool_Target",
        "X-Original-URI",
        "X-Accel-Redirect",
    ] {
        let forged = [(name, &*target), ("X-Gridspool-Pass", &*token)];
        let client = site.client();
        for length in [9, 50_000] {
            let answer = client.post("/files", &forged, &noise(1, length));
            answer.assert_problem(401, "unauthorized");
        }
        for method in ["GET", "DELETE"] {
            client
                .ask(method, &file.path, &forged)
                .assert_problem(401, "unauthorized");
        }
    }
    // Its body must not come in either, only to be refused then.
    let before = spool_changed(&site);
    let told = format!("X-Gridspool-Target: {target}");
    let answer = announce(&site, "/files", &["Content-Length: 50000", &told]);
    answer.assert_problem(401, "unauthorized");
    assert_eq!(spool_changed(&site), before);
    // Without tokens the address is the subject, and it is that of the connection.
    let open = Builder::default()
        .set("subject_uploads_per_minute", 2)
        .start_without_mongodb();
    let statuses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| {
        let forged = [("X-Real-IP", address), ("X-Forwarded-For", address)];
        open.client().post("/files", &forged, b"x").status
    });
    assert_eq!(statuses, [201, 201, 429]);
}

/// An upload as nginx would send it to the sidecar, with a spool file of this name.
fn claim(site: &Site, name: &str) -> Answer {
    let request = format!(
        "POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Gridspool-Body-File: {name}\r\n\r\n"
    );
    site.raw_to_sidecar(request.as_bytes())
}

#[test]
fn devices_sockets_and_bodies_of_other_owners_in_the_spool_are_refused() {
    if !rustix::process::geteuid().is_root() {
        skip("devices and other owners", "only root can make them");
        return;
    }
    let site = Builder::without_log().start_without_mongodb();
    let at = |name: &str| site.data_dir().join("spool").join(name);
    // The null device; a container may be forbidden to make one.
    let device = rustix::fs::makedev(1, 3);
    let mode = Mode::from_raw_mode(0o600);
    let outcome = mknodat(
        CWD,
        at("0000000001"),
        FileType::CharacterDevice,
        mode,
        device,
    );
    if outcome.is_err() {
        skip("devices in the spool", "this root may not make them");
    }
    let _socket = UnixListener::bind(at("0000000002")).unwrap();
    std::fs::write(at("0000000003"), SECRET).unwrap();
    std::os::unix::fs::chown(at("0000000003"), Some(65534), None).unwrap();
    // Its own name twice, and a directory through a link.
    std::fs::write(at("0000000004"), SECRET).unwrap();
    std::fs::hard_link(at("0000000004"), at("0000000005")).unwrap();
    symlink(site.data_dir(), at("0000000006")).unwrap();
    for name in [
        "0000000001",
        "0000000002",
        "0000000003",
        "0000000004",
        "0000000005",
    ] {
        let answer = claim(&site, name);
        assert!(matches!(answer.status, 400..=599), "{name}: {answer:?}");
        assert_eq!(answer.json()["status"], answer.status, "{name}");
    }
    let through = claim(&site, "0000000006/spool/0000000004");
    assert!(matches!(through.status, 400..=599), "{through:?}");
    site.assert_nothing_is_kept("what is no spool file of ours");
    // The same file is accepted once it has one name and the right owner.
    std::fs::remove_file(at("0000000005")).unwrap();
    let taken = Uploaded::read(&claim(&site, "0000000004"));
    assert!(site.client().get(&taken.path).body == SECRET);
}

/// Stops another thread's loop, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One thread exchanges the names of a body and of another file while uploads name it.
fn assert_swaps_are_seen(site: &Site) {
    let spool = site.data_dir().join("spool");
    let at = |name: &str| spool.join(name);
    // One has a single name, and one has two: each passes all checks but one.
    let [alone, secret] = ["alone", "secret"].map(|name| site.data_dir().join(name));
    for secret in [&alone, &secret] {
        std::fs::write(secret, SECRET).unwrap();
    }
    symlink(&alone, at("link")).unwrap();
    std::fs::hard_link(&secret, at("hard")).unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    let fifo = Command::new("mkfifo").arg(at("fifo")).status();
    assert!(fifo.unwrap().success());
    let name = at("0000000001");
    let is_over = AtomicBool::new(false);
    let (mut taken, mut refused) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let evil = ["link", "hard", "directory", "fifo"].map(at);
            while !is_over.load(Ordering::Relaxed) {
                std::fs::write(at("fresh"), b"body").unwrap();
                std::fs::rename(at("fresh"), &name).unwrap();
                for other in &evil {
                    for _ in 0..2 {
                        renameat_with(CWD, &name, CWD, other, RenameFlags::EXCHANGE).unwrap();
                    }
                }
            }
        });
        let _over = Over(&is_over);
        while taken.len() < 200 || refused < 200 {
            let answer = claim(site, "0000000001");
            match answer.status {
                201 => taken.push(Uploaded::read(&answer)),
                400..=599 => refused += 1,
                _ => panic!("{answer:?}"),
            }
        }
    });
    for file in taken {
        assert!(site.client().get(&file.path).body == b"body");
    }
    let links = [&alone, &secret].map(|path| std::fs::metadata(path).unwrap().nlink());
    assert_eq!(links, [1, 2]);
}

#[test]
fn a_name_that_is_swapped_while_it_is_claimed_gives_the_body_or_a_refusal() {
    assert_swaps_are_seen(&Site::without_mongodb());
    assert_swaps_are_seen(&Builder::without_log().start_without_mongodb());
}
