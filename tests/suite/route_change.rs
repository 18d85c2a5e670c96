//! Files that change their route while clients read them.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::{Answer, Builder, Mongo, Routes, Uploaded, noise, read_to_end, wait_until};

const LENGTH: usize = 5 * 1024 * 1024;

#[test]
fn a_download_that_begins_before_the_commit_is_resumed_after_it() {
    let routes = Routes::start();
    let client = routes.site.client();
    let body = noise(1, LENGTH);
    let file = client.upload(&body);
    let mut broken_off = routes.site.connect();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        file.path
    );
    broken_off.write_all(request.as_bytes()).unwrap();
    let mut first = vec![0; 300_000];
    broken_off.read_exact(&mut first).unwrap();

    routes.commit();
    let seen = Answer::from_wire(&first).unwrap();
    assert_eq!(seen.status, 200);
    let (tag, have) = (seen.header("etag"), seen.body.len());
    assert!(seen.body == body[..have]);
    let range = format!("bytes={have}-");
    let rest = client.get_with(&file.path, &[("Range", &range), ("If-Range", tag)]);
    assert_eq!(rest.status, 206);
    assert!(rest.body == body[have..]);
    // A client that did not break off gets the rest from the file that nginx has open.
    first.extend(read_to_end(broken_off));
    assert!(Answer::from_wire(&first).unwrap().body == body);
}

#[test]
fn a_body_that_is_evicted_between_the_sidecars_answer_and_nginxs_look_comes_from_gridfs() {
    let mut routes = Routes::start();
    let client = routes.site.client();
    let body = noise(1, LENGTH);
    let picture = [("Content-Type", "image/png")];
    let file = Uploaded::read(&client.post("/files", &picture, &body));
    let path = format!("{}?download", file.path);
    let between = Between::start(&mut routes);
    let answer = std::thread::scope(|scope| {
        let reading = scope.spawn(|| client.get_with(&path, &[("Range", "bytes=1000000-")]));
        wait_until("the sidecar sends nginx to the journal", || {
            between.is_holding()
        });
        routes.commit();
        between.let_go();
        reading.join().unwrap()
    });
    assert_eq!(answer.status, 206);
    assert!(answer.body == body[1_000_000..]);
    assert_eq!(answer.header("etag"), file.etag);
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    answer.assert_harmless();
}

#[test]
fn a_settled_body_that_an_eviction_has_unlinked_and_kept_comes_from_gridfs() {
    let mongo = Mongo::start();
    let site = Builder::default().start(&mongo);
    let client = site.client();
    let body = noise(1, LENGTH);
    let file = client.upload(&body);
    site.wait_until_committed();
    assert_eq!(site.entries("settled"), 1);
    std::fs::remove_file(site.data_dir().join("journal/body").join(&file.id)).unwrap();
    let answer = client.get(&file.path);
    assert_eq!(answer.status, 200);
    assert!(answer.body == body);
}

#[test]
fn a_body_that_is_deleted_between_the_sidecars_answer_and_nginxs_look_is_not_found() {
    let mut routes = Routes::start();
    let client = routes.site.client();
    let file = client.upload(&noise(1, LENGTH));
    let other = client.upload(b"other");
    let between = Between::start(&mut routes);
    let answer = std::thread::scope(|scope| {
        let reading = scope.spawn(|| client.get(&file.path));
        wait_until("the sidecar sends nginx to the journal", || {
            between.is_holding()
        });
        routes.mongo.heal();
        assert_eq!(client.delete(&file.path).status, 204);
        wait_until("the body is gone", || {
            !routes.site.names("journal/body").contains(&file.id)
        });
        between.let_go();
        reading.join().unwrap()
    });
    answer.assert_problem(404, "not-found");
    assert!(client.get(&other.path).body == b"other");
}

/// A proxy between nginx and the sidecar that holds back answers which send nginx to the journal.
struct Between {
    held: Arc<AtomicUsize>,
    is_open: Arc<AtomicUsize>,
}

impl Between {
    fn start(routes: &mut Routes) -> Self {
        let site = &mut routes.site;
        // This way nginx keeps no connection to the sidecar itself.
        site.stop_nginx();
        let moved = site.socket().with_extension("moved");
        std::fs::rename(site.socket(), &moved).unwrap();
        let listener = UnixListener::bind(site.socket()).unwrap();
        let between = Self {
            held: Arc::default(),
            is_open: Arc::default(),
        };
        let (held, is_open) = (Arc::clone(&between.held), Arc::clone(&between.is_open));
        // The thread ends with the test's process; its connections end with nginx.
        std::thread::spawn(move || {
            while let Ok((nginx, _)) = listener.accept() {
                let (held, is_open) = (Arc::clone(&held), Arc::clone(&is_open));
                let sidecar = UnixStream::connect(&moved).unwrap();
                let (from, to) = (nginx.try_clone().unwrap(), sidecar.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, |_| {}));
                std::thread::spawn(move || {
                    pass(sidecar, nginx, |bytes| {
                        let words = b"x-accel-redirect: /_gridspool/journal/";
                        if bytes.windows(words.len()).any(|window| window == words) {
                            held.fetch_add(1, Ordering::SeqCst);
                            wait_until("somebody lets go", || is_open.load(Ordering::SeqCst) > 0);
                        }
                    });
                });
            }
        });
        site.start_nginx();
        between
    }

    fn is_holding(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0
    }

    fn let_go(&self) {
        self.is_open.store(1, Ordering::SeqCst);
    }
}

/// Passes bytes on until either side ends; `look` sees them first.
fn pass(mut from: UnixStream, mut to: UnixStream, look: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        look(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // It fails if the other direction has ended it already.
    to.shutdown(std::net::Shutdown::Both).unwrap_or_default();
}
