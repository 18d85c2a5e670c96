//! Many readers at the same time, such as a group that was sent a file: MongoDB is read once for all of
//! them, and no reader depends on another.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use kit::{Answer, Builder, CHUNK, Mongo, Site, noise, object_id, read_to_end, wait_until};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

const READERS: usize = 100;

/// The size of a slice.
const SLICE: usize = 8 * CHUNK;

/// Sends a request for a file, and reads nothing yet.
fn begin(site: &Site, path: &str) -> TcpStream {
    let mut stream = site.connect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Lets all readers come while MongoDB stands still, the first one before the others. It may leave
/// before it gets anything. Returns the answers, as far as each came.
fn read_together(site: &mut Site, mongo: &Mongo, path: &str, first_stays: bool) -> Vec<Vec<u8>> {
    // nginx has no connection to this server yet, so each connection that it makes is for a reader.
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    wait_until("MongoDB answers", || {
        site.status()["mongodb"]["state"] == "up"
    });
    let before = site.sidecar_handles();
    mongo.freeze();
    let first = begin(site, path);
    wait_until("the first one waits", || site.sidecar_handles() > before);
    let first = first_stays.then_some(first);
    let others: Vec<_> = (1..READERS).map(|_| begin(site, path)).collect();
    wait_until("nearly all stand in line", || {
        site.sidecar_handles() >= before + others.len() * 9 / 10
    });
    mongo.thaw();
    first.into_iter().chain(others).map(read_to_end).collect()
}

/// The number of a file's chunks that MongoDB has sent, and the number of its descriptions, since
/// MongoDB began to record its commands.
fn sent(mongo: &Mongo, id: &str) -> (i64, i64) {
    let questions = mongo.find("system.profile", doc! { "appName": "gridspool" });
    let of = |field: &str| {
        let asked = |question: &&Document| {
            let command = question.get_document("command").ok();
            // A question with a projection does not ask for bytes.
            let command = command.filter(|command| !command.contains_key("projection"));
            let filter = command.and_then(|command| command.get_document("filter").ok());
            filter.and_then(|filter| filter.get_object_id(field).ok()) == Some(object_id(id))
        };
        let number = |question: &Document| question.get_i32("nreturned").unwrap_or_default();
        questions
            .iter()
            .filter(asked)
            .map(number)
            .map(i64::from)
            .sum()
    };
    (of("files_id"), of("_id"))
}

/// Returns how many readers make nginx ask the sidecar for the bytes, while MongoDB stands still
/// during the first read. The file is one slice, and nginx logs the state of its cache.
fn asked_of_sidecar(site: &mut Site, mongo: &Mongo, path: &str, body: &[u8]) -> usize {
    empty_cache(site);
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    // From here on the sidecar has its description, and nginx has no connection.
    let meta = format!("GET {path}/meta HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_until("the file is described", || {
        site.raw_to_sidecar(meta.as_bytes()).status == 200
    });
    let lines = |site: &Site| {
        let log = site.access_log();
        let of_file = log.lines().filter(|line| line.contains(path));
        of_file.map(str::to_owned).collect::<Vec<_>>()
    };
    let logged = lines(site).len();
    let before = site.sidecar_handles();
    mongo.freeze();
    let readers: Vec<_> = (0..READERS).map(|_| begin(site, path)).collect();
    wait_until("nearly all stand in line", || {
        site.sidecar_handles() >= before + READERS * 9 / 10
    });
    // This is long enough for nginx to check its lock several times; requests that it lets go ask for
    // themselves.
    std::thread::sleep(Duration::from_millis(500));
    mongo.thaw();
    for stream in readers {
        let answer = Answer::from_wire(&read_to_end(stream)).unwrap();
        assert!(answer.status == 200 && answer.body == body);
    }
    wait_until("all are logged", || lines(site).len() >= logged + READERS);
    let asked = |line: &&String| line.contains(" MISS ");
    lines(site)[logged..].iter().filter(asked).count()
}

fn empty_cache(site: &Site) {
    for directory in std::fs::read_dir(site.data_dir().join("cache")).unwrap() {
        std::fs::remove_dir_all(directory.unwrap().path()).unwrap();
    }
}

#[test]
fn readers_that_come_together_are_one_read_and_none_depends_on_another() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let bodies = [100, 300_000, SLICE + 1].map(|length| noise(1, length));
    let files = [0, 1, 2].map(|place| client.upload(&bodies[place]));
    // A file that is not in GridFS yet is answered from memory at once.
    assert!(client.get(&files[0].path).body == bodies[0]);
    site.wait_until_empty();
    mongo.run(doc! { "profile": 2 });
    let assert_whole = |answers: &[Vec<u8>], body: &[u8]| {
        for answer in answers {
            let answer = Answer::from_wire(answer).unwrap();
            assert_eq!(answer.status, 200);
            assert!(
                answer.body == body,
                "{} of {}",
                answer.body.len(),
                body.len()
            );
        }
    };
    let mut seen = BTreeMap::new();
    for first_stays in [true, false] {
        for (file, body) in files.iter().zip(&bodies) {
            empty_cache(&site);
            let answers = read_together(&mut site, &mongo, &file.path, first_stays);
            assert_eq!(answers.len(), READERS - usize::from(!first_stays));
            assert_whole(&answers, body);
            let chunks = i64::try_from(body.len().div_ceil(CHUNK)).unwrap();
            let before = seen.insert(&file.id, sent(&mongo, &file.id));
            let (all, descriptions) = seen[&file.id];
            let (all_before, descriptions_before) = before.unwrap_or_default();
            // A reader that waits for a lookup, and leaves, has asked for the bytes of a small file
            // only.
            let is_lost = !first_stays && body.len() < CHUNK;
            let most = chunks * (1 + i64::from(is_lost));
            let read = all - all_before;
            assert!((chunks..=most).contains(&read), "{read} of {chunks}");
            let lookups = descriptions - descriptions_before;
            assert!((1..=2).contains(&lookups), "{lookups}");
        }
    }
    // nginx asks once for all of them. The sidecar waits only a moment for a client that is held up on
    // its way to nginx, so a busy machine gets more than one try.
    let cached = (
        "gridspool.conf",
        "'$gridspool_status ",
        "' $upstream_cache_status $gridspool_status ",
    );
    site.change_nginx(&[cached]);
    let (path, body) = (&files[1].path, &bodies[1]);
    let is_one_for_all = (0..5).any(|_| {
        let asked = asked_of_sidecar(&mut site, &mongo, path, body);
        (1..READERS / 10).contains(&asked)
    });
    assert!(is_one_for_all, "nginx asks for each reader");
    // The connection is closed after a slice: a kept one would hold the memory of the slice.
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let sent = site.raw_to_sidecar(head.as_bytes());
    let slice = sent.header("x-accel-redirect");
    let head = format!("GET {slice} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-8192\r\n\r\n");
    let slice = site.raw_to_sidecar(head.as_bytes());
    assert!(slice.status == 206 && slice.body == bodies[1][..8193]);
    // A failed read fails for all its readers, and not for later ones.
    let [_, file, _] = &files;
    let chunk = doc! { "files_id": object_id(&file.id), "n": 1 };
    let removed = mongo.find("fs.chunks", chunk.clone());
    let deleted = mongo.block_on(async { mongo.chunks().delete_one(chunk).await });
    assert_eq!(deleted.unwrap().deleted_count, 1);
    empty_cache(&site);
    for answer in read_together(&mut site, &mongo, &file.path, true) {
        Answer::from_wire(&answer)
            .unwrap()
            .assert_problem(500, "damaged");
    }
    mongo.insert("fs.chunks", removed[0].clone());
    assert!(client.get(&file.path).body == bodies[1]);
}

#[test]
fn chunks_that_are_longer_than_a_slice_are_read_once() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let body = noise(1, 20_000_000);
    let insert = |chunk_size: i32| {
        let id = ObjectId::new();
        mongo.insert(
            "fs.files",
            doc! {
                "_id": id, "length": 20_000_000_i64, "chunkSize": chunk_size,
                "uploadDate": DateTime::now(), "filename": "a",
            },
        );
        let in_chunk = usize::try_from(chunk_size).unwrap();
        for (bytes, n) in body.chunks(in_chunk).zip(0..) {
            mongo.insert_chunk(&id.to_hex(), n, bytes);
        }
        (id.to_hex(), body.len().div_ceil(in_chunk))
    };
    let files = [1 << 20, 2 << 20, 8 << 20, 15_000_000].map(insert);
    mongo.run(doc! { "profile": 2 });
    for (id, chunks) in &files {
        assert!(client.get(&format!("/files/{id}")).body == body);
        let (sent, _) = sent(&mongo, id);
        assert_eq!(usize::try_from(sent), Ok(*chunks));
    }
    // Many readers read many of them, and memory has room for two chunks; it takes no more for them.
    let alone = site.sidecar_peak_kib();
    let many: Vec<_> = (0..10).map(|_| insert(15_000_000).0).collect();
    let (client, body) = (&client, &body);
    std::thread::scope(|scope| {
        for id in many.iter().chain(&many) {
            scope.spawn(move || assert!(client.get(&format!("/files/{id}")).body == *body));
        }
    });
    let all: i64 = many.iter().map(|id| sent(&mongo, id).0).sum();
    assert!((20..=40).contains(&all), "{all} of 20 chunks");
    let more = site.sidecar_growth_kib(alone);
    assert!(more < 32 * 1024, "{more} KiB");
    // None of them has a name.
    assert_eq!(site.names("."), ["cache", "journal", "spool"]);
}
