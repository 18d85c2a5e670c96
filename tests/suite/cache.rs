//! Committed files through nginx's cache: how often MongoDB is read, and which answers are never
//! cached.

use std::time::{Duration, Instant};

use kit::{Answer, Builder, CHUNK, Client, Mongo, Site, Uploaded, noise, object_id, wait_until};
use mongodb::bson::{Bson, Document, doc};

/// The size of a slice.
const SLICE: usize = 8 * CHUNK;

/// A site that evicts bodies as soon as they are committed.
fn start(mongo: &Mongo) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .start(mongo)
}

/// A site with one committed file of this length that nobody has read; its reads are recorded.
fn start_cold(mongo: &Mongo, length: usize) -> (Site, Vec<u8>, Uploaded) {
    let site = start(mongo);
    let body = noise(1, length);
    let file = site.client().upload(&body);
    site.wait_until_empty();
    watch_reads(mongo);
    (site, body, file)
}

/// Lets MongoDB record its commands.
fn watch_reads(mongo: &Mongo) {
    mongo.run(doc! { "profile": 2 });
}

/// The number of reads of chunks by sidecars since [`watch_reads`].
fn chunk_reads(mongo: &Mongo) -> u64 {
    reads(mongo, "chunks")
}

fn reads(mongo: &Mongo, part: &str) -> u64 {
    let profile = mongo.database().collection::<Document>("system.profile");
    let filter = doc! {
        "ns": format!("gridspool.fs.{part}"),
        "op": { "$in": ["query", "getmore"] },
        "appName": "gridspool",
        "nreturned": { "$gt": 0 },
    };
    mongo.count(&profile, filter)
}

#[test]
fn a_file_that_was_read_once_is_read_from_mongodb_no_more() {
    let mongo = Mongo::start();
    let (site, body, file) = start_cold(&mongo, 3_000_000);
    let client = site.client();
    assert!(client.get(&file.path).body == body);
    let cold = chunk_reads(&mongo);
    assert!(cold > 0);
    assert!(client.get(&file.path).body == body);
    let named = client.get_with(
        &format!("{}/a.bin", file.path),
        &[("Range", "bytes=1-2000000")],
    );
    assert!(named.body == body[1..=2_000_000]);
    assert_eq!(chunk_reads(&mongo), cold);
}

#[test]
fn the_bytes_of_a_small_file_are_asked_for_once_and_along_with_its_description() {
    let mongo = Mongo::start();
    let (mut site, body, file) = start_cold(&mongo, 8192);
    let client = site.client();
    assert!(client.get(&file.path).body == body);
    assert_eq!((reads(&mongo, "files"), chunk_reads(&mongo)), (1, 1));
    // nginx has the bytes of a file that was asked for before, so a second description comes without
    // them.
    let foreign = format!("{}/again.bin", file.path);
    wait_until("the description is forgotten", || {
        assert!(client.get(&foreign).body == body);
        reads(&mongo, "files") > 1
    });
    assert_eq!(chunk_reads(&mongo), 1);
    forget_all(&mut site);
    let middle = client.get_with(&file.path, &[("Range", "bytes=100-199")]);
    assert!(middle.body == body[100..200]);
    assert_eq!(chunk_reads(&mongo), 2);
}

#[test]
fn a_small_file_is_kept_by_nginx_when_it_is_asked_for_again_and_its_head_is_the_same() {
    let mongo = Mongo::start();
    let (mut site, body, file) = start_cold(&mongo, 8192);
    let client = site.client();
    let first = client.get(&file.path);
    assert!(!has_cached(&site));
    let again = client.get(&file.path);
    wait_until("nginx keeps it", || has_cached(&site));
    assert!(first.body == body && again.body == body);
    let head = |answer: &Answer| {
        let mut head = answer.headers.clone();
        head.remove("date");
        (answer.status, head)
    };
    assert_eq!(head(&first), head(&again));
    // nginx cuts ranges out of its slices.
    forget_all(&mut site);
    let parts = [(); 2].map(|()| client.get_with(&file.path, &[("Range", "bytes=-100")]));
    assert!(parts.iter().all(|part| part.body == body[8092..]));
    assert_eq!(head(&parts[0]), head(&parts[1]));
}

#[test]
fn a_file_that_many_ask_for_is_looked_up_twice_in_five_seconds() {
    let mongo = Mongo::start();
    let (site, body, file) = start_cold(&mongo, SLICE + 1);
    let client = site.client();
    let begun = Instant::now();
    for _ in 0..50 {
        assert!(client.get(&file.path).body == body);
        assert_eq!(client.head(&file.path).status, 200);
    }
    let lookups = reads(&mongo, "files");
    let most = 1 + begun.elapsed().as_millis() / 2500;
    assert!((1..=most).contains(&lookups.into()), "{lookups}");
}

#[test]
fn files_that_are_asked_for_all_the_time_are_looked_up_together() {
    let mongo = Mongo::start();
    let site = start(&mongo);
    let client = site.client();
    let bodies: Vec<_> = (0..20).map(|seed| noise(seed, 100)).collect();
    let files: Vec<_> = bodies.iter().map(|body| client.upload(body)).collect();
    site.wait_until_empty();
    watch_reads(&mongo);
    let lookups = doc! { "ns": "gridspool.fs.files", "appName": "gridspool", "op": "query" };
    wait_until("some are looked up by one question", || {
        for (file, body) in files.iter().zip(&bodies) {
            assert!(client.get(&file.path).body == *body);
        }
        let questions = mongo.find("system.profile", lookups.clone());
        let mut found = questions
            .iter()
            .map(|asked| asked.get_i32("nreturned").unwrap());
        found.any(|found| found > 1)
    });
}

#[test]
fn a_file_that_was_read_a_moment_ago_is_served_while_mongodb_stands_still() {
    let mongo = Mongo::start();
    let (site, body, file) = start_cold(&mongo, SLICE + 1);
    let client = site.client();
    // If the machine paused, the moment was missed: try once more.
    let is_served = (0..10).any(|_| {
        let begun = Instant::now();
        assert!(client.get(&file.path).body == body);
        mongo.freeze();
        let is_a_moment = begun.elapsed() < Duration::from_secs(2);
        let answer = client.get(&file.path);
        mongo.thaw();
        assert!(!is_a_moment || answer.body == body);
        is_a_moment
    });
    assert!(is_served, "the machine is too slow");
}

#[test]
fn only_the_slices_of_a_range_are_read() {
    let mongo = Mongo::start();
    let (site, body, file) = start_cold(&mongo, 10 * SLICE);
    let client = site.client();
    let range = format!("bytes={}-{}", 5 * SLICE, 5 * SLICE + 10);
    let answer = client.get_with(&file.path, &[("Range", &range)]);
    assert!(answer.body == body[5 * SLICE..=5 * SLICE + 10]);
    assert_eq!(chunk_reads(&mongo), 1);
}

/// A file in a bucket that can be damaged and made whole again.
struct Fragile {
    body: Vec<u8>,
    uploaded: Uploaded,
}

impl Fragile {
    fn upload(client: &Client, seed: u64) -> Self {
        let body = noise(seed, 2 * SLICE + CHUNK + 1000);
        let uploaded = client.upload(&body);
        Self { body, uploaded }
    }

    fn bytes_of(&self, n: usize) -> &[u8] {
        let end = self.body.len().min((n + 1) * CHUNK);
        &self.body[n * CHUNK..end]
    }

    fn remove_chunk(&self, mongo: &Mongo, n: usize) {
        let id = object_id(&self.uploaded.id);
        let filter = doc! { "files_id": id, "n": i32::try_from(n).unwrap() };
        let deleted = mongo.block_on(async { mongo.chunks().delete_one(filter).await });
        assert_eq!(deleted.unwrap().deleted_count, 1);
    }

    fn replace_chunk(&self, mongo: &Mongo, n: usize, bytes: &[u8]) {
        self.remove_chunk(mongo, n);
        mongo.insert_chunk(&self.uploaded.id, i32::try_from(n).unwrap(), bytes);
    }

    fn renumber_chunk(&self, mongo: &Mongo, from: impl Into<Bson>, to: impl Into<Bson>) {
        let filter = doc! { "files_id": object_id(&self.uploaded.id), "n": from.into() };
        let change = doc! { "$set": { "n": to.into() } };
        let updated = mongo.block_on(async { mongo.chunks().update_one(filter, change).await });
        assert_eq!(updated.unwrap().modified_count, 1);
    }

    fn state_length(&self, mongo: &Mongo, length: Bson) {
        let filter = doc! { "_id": object_id(&self.uploaded.id) };
        let change = doc! { "$set": { "length": length } };
        let updated = mongo.block_on(async { mongo.files().update_one(filter, change).await });
        assert_eq!(updated.unwrap().matched_count, 1);
    }

    /// Asserts that a client learns of the damage, by a status or by a broken connection.
    fn assert_told(&self, client: &Client, what: &str) {
        match client.try_ask("GET", &self.uploaded.path, &[]) {
            // The head was sent already, so the connection breaks off within the body.
            Err(_) => {}
            Ok(answer) => {
                assert!(answer.status >= 500, "{what}: {}", answer.status);
                answer.assert_problem(answer.status, "damaged");
                // The client must not cache the refusal either.
                assert_eq!(answer.header("cache-control"), "", "{what}");
            }
        }
    }

    fn assert_whole(&self, answer: &Answer, what: &str) {
        assert_eq!(answer.status, 200, "{what}");
        assert!(answer.body == self.body, "{what}");
    }
}

#[test]
fn a_damaged_file_is_never_passed_off_as_whole_and_the_damage_is_never_cached() {
    let mongo = Mongo::start();
    let mut site = start(&mongo);
    let client = site.client();
    let file = Fragile::upload(&client, 1);
    site.wait_until_empty();
    let path = &file.uploaded.path;
    let last = file.body.len().div_ceil(CHUNK) - 1;
    // In the first slice, at a slice's end, in a later slice, and the last one.
    for n in [0, 1, 7, 9, last] {
        let bytes = file.bytes_of(n);
        let longer = [bytes, b"x"].concat();
        for (what, put) in [
            ("missing", None),
            ("one byte short", Some(&bytes[1..])),
            ("one byte long", Some(&longer[..])),
            ("empty", Some(&[][..])),
        ] {
            let what = format!("chunk {n} is {what}");
            match put {
                None => file.remove_chunk(&mongo, n),
                Some(bytes) => file.replace_chunk(&mongo, n, bytes),
            }
            forget_all(&mut site);
            file.assert_told(&client, &what);
            file.assert_told(&client, &what);
            if put.is_none() {
                mongo.insert_chunk(&file.uploaded.id, i32::try_from(n).unwrap(), bytes);
            } else {
                file.replace_chunk(&mongo, n, bytes);
            }
            file.assert_whole(&client.get(path), &what);
        }
    }
    // The number of chunks is right, and each has the right size.
    file.renumber_chunk(&mongo, 5, 5.5);
    forget_all(&mut site);
    file.assert_told(&client, "no chunk has the number 5");
    file.renumber_chunk(&mongo, 5.5, 5);
    file.assert_whole(&client.get(path), "chunk 5 has its number again");
    for nonsense in [Bson::from(-1), Bson::from(0.5), Bson::from("many")] {
        file.state_length(&mongo, nonsense);
        restart_sidecar(&mut site);
        client.get(path).assert_problem(500, "damaged");
        assert_eq!(client.head(path).status, 500);
    }
    let length = i64::try_from(file.body.len()).unwrap();
    for wrong in [length + 1, length - 1, length + 10_000_000] {
        file.state_length(&mongo, Bson::Int64(wrong));
        restart_sidecar(&mut site);
        file.assert_told(&client, &format!("length {wrong}"));
    }
    file.state_length(&mongo, Bson::Int64(length));
    restart_sidecar(&mut site);
    file.assert_whole(&client.get(path), "made whole again");
}

#[test]
fn a_file_that_goes_while_it_is_read_is_gone_and_not_damaged() {
    let mongo = Mongo::start();
    let mut site = start(&mongo);
    let client = site.client();
    let file = Fragile::upload(&client, 1);
    site.wait_until_empty();
    forget_all(&mut site);
    let path = &file.uploaded.path;
    assert_eq!(client.get_with(path, &[("Range", "bytes=0-9")]).status, 206);
    // This node does not know of it, and has the description.
    let id = object_id(&file.uploaded.id);
    mongo.block_on(async {
        let chunks = mongo.chunks();
        chunks.delete_many(doc! { "files_id": id }).await.unwrap();
        mongo.files().delete_one(doc! { "_id": id }).await.unwrap();
    });
    // The first slice is in nginx's cache, and this is in the last one.
    let end = format!("bytes={}-", file.body.len() - 10);
    let answer = client.get_with(path, &[("Range", &end)]);
    answer.assert_problem(404, "not-found");
}

/// Lets the sidecar forget everything that it has looked up and read.
fn restart_sidecar(site: &mut Site) {
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
}

/// Leaves a new sidecar without memory, and an empty cache.
fn forget_all(site: &mut Site) {
    restart_sidecar(site);
    empty_cache(site);
}

/// Whether nginx has cached anything. Its directories come with the first file.
fn has_cached(site: &Site) -> bool {
    let cache = std::fs::read_dir(site.data_dir().join("cache")).unwrap();
    cache.count() > 0
}

/// Removes all files of nginx's cache. nginx looks for each file when it needs it, and does without a
/// missing one.
fn empty_cache(site: &Site) {
    let cache = site.data_dir().join("cache");
    for directory in std::fs::read_dir(&cache).unwrap() {
        std::fs::remove_dir_all(directory.unwrap().path()).unwrap();
    }
}
