//! Checks everything, without faults and without clients: promised files are there, once and whole;
//! deleted files are gone; and nothing else is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kit::{CHUNK, Client, Mongo, finish};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use crate::ledger::{Ledger, State, Upload};
use crate::messages::Follower;
use crate::request::{PATIENCE, Request};
use crate::stage::{Servers, Tally};
use crate::{verify_messages, verify_uploads};

/// The longest time until the journal must be empty.
const BOUND: Duration = Duration::from_secs(90);

/// The number of files that stay from round to round.
const KEPT: usize = 20;

/// The number of uploads that are repeated in each round.
const REPEATED: usize = 60;

/// The check stops after this many violations: a fault of one file is usually a fault of all.
const ENOUGH: usize = 10;

/// The number of clients that check at the same time.
const LOOKERS: usize = 8;

/// The number of files with chunks in one question: fewer than MongoDB can sort in memory.
const AT_ONCE: usize = 16;

pub(crate) fn everything(
    servers: &Servers,
    ledger: &Ledger,
    followers: &mut [Follower],
    tally: &Tally,
    goes_on: bool,
) {
    let client = Client::anew_each_time(servers.site.port(), PATIENCE);
    let is_enough = || !goes_on && tally.violations() >= ENOUGH;
    ask_for_answers(&client, ledger, tally);
    verify_uploads::finish(&client, ledger, tally);
    verify_uploads::answer_again(&client, ledger, tally);
    verify_messages::settle(&client, ledger, tally);
    verify_messages::over_http(&client, ledger, tally);
    let uploads = ledger.all();
    let look = |upload: &Upload| {
        if !is_enough() {
            over_http(&client, upload, tally);
        }
    };
    side_by_side(&uploads, look);
    if tally.violations() > 0 && !goes_on {
        return;
    }
    let begun = Instant::now();
    if !becomes_empty(servers) {
        let status = servers.site.try_status();
        let words = format!("not empty after {BOUND:?}: {status:?}");
        return tally.violate(&words);
    }
    let took = begun.elapsed().as_secs();
    tally.longest_drain.fetch_max(took, Ordering::Relaxed);
    delete_again(&client, ledger, tally);
    verify_messages::over_http(&client, ledger, tally);
    verify_messages::in_the_lists(&client, ledger, followers, tally);
    verify_messages::in_the_bucket(&servers.mongo, ledger, tally);
    verify_messages::are_gone(&client, ledger, tally);
    verify_uploads::answer_again(&client, ledger, tally);
    let uploads = ledger.all();
    side_by_side(&uploads, |upload| {
        look(upload);
        tally.verified.fetch_add(1, Ordering::Relaxed);
    });
    let keyed = uploads.iter().filter(|upload| upload.is_keyed);
    let repeated: Vec<_> = keyed.take(REPEATED).collect();
    side_by_side(&repeated, |upload| send_again(&client, upload, tally));
    if !becomes_empty(servers) {
        return tally.violate("not empty after uploads that were there already");
    }
    in_the_bucket(&servers.mongo, &uploads, tally);
    by_upkeep(servers, tally);
    let log = std::fs::read_to_string(servers.site.run_dir().join("error.log"));
    // This is for a file that another process has removed; on a cut disk it fails with another
    // error.
    let is_missing = |line: &str| {
        let is_of_spool = line.contains("unlink()") && line.contains("/spool/");
        is_of_spool && line.contains("(2: ")
    };
    if log.unwrap_or_default().lines().any(is_missing) {
        tally.violate("nginx missed a spool file of its own");
    }
    forget(servers, ledger, &client, &uploads, tally);
    verify_messages::forget(&client, ledger, tally);
}

/// Does the same with each element, several at a time.
pub(crate) fn side_by_side<T: Sync>(all: &[T], look: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LOOKERS {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    look(one);
                }
            });
        }
    });
}

/// Repeats the uploads without an answer, with their keys. Afterwards each has one file, taken the
/// first time or now.
fn ask_for_answers(client: &Client, ledger: &Ledger, tally: &Tally) {
    let is_open = |upload: &Upload| upload.is_keyed && upload.state == State::Unknown;
    let open: Vec<_> = ledger.all().into_iter().filter(is_open).collect();
    side_by_side(&open, |upload| {
        let request = Request::keyed(upload.key, upload.length);
        match request.send(client) {
            Ok(answer) if answer.status == 201 => {
                let id = Request::ids(&answer).remove(0);
                ledger.set(upload.key, State::Promised(id));
                tally.promises.fetch_add(1, Ordering::Relaxed);
            }
            answer => tally.violate(&format!("{upload:?} was sent again: {answer:?}")),
        }
    });
}

/// Repeats the deletes without an answer. Afterwards each file is gone.
fn delete_again(client: &Client, ledger: &Ledger, tally: &Tally) {
    let is_open = |upload: &Upload| matches!(upload.state, State::Deleting(_));
    let open: Vec<_> = ledger.all().into_iter().filter(is_open).collect();
    side_by_side(&open, |upload| {
        let id = upload.id().expect("it was promised");
        match client.try_ask("DELETE", &format!("/files/{id}"), &[]) {
            Ok(answer) if [204, 404].contains(&answer.status) => {
                ledger.set(upload.key, State::Deleted(id.to_owned()));
            }
            answer => tally.violate(&format!("{upload:?} was deleted again: {answer:?}")),
        }
    });
}

/// Repeats promised uploads, with their keys. The answer is the same, even after the journal has
/// forgotten the entry, and even for deleted files.
fn send_again(client: &Client, upload: &Upload, tally: &Tally) {
    let request = Request::keyed(upload.key, upload.length);
    let answer = request.send(client);
    let promised = answer.as_ref().ok().filter(|answer| answer.status == 201);
    let id = promised.map(|answer| Request::ids(answer).remove(0));
    if id.as_deref() != upload.id() {
        tally.violate(&format!("{upload:?} was sent again, and got {answer:?}"));
    }
    tally.repeats.fetch_add(1, Ordering::Relaxed);
}

/// Returns whether every pending entry leaves the journal, and every leftover leaves the spool.
fn becomes_empty(servers: &Servers) -> bool {
    let site = &servers.site;
    let is_empty = || {
        let Some(status) = site.try_status() else {
            return false;
        };
        let rooms = ["incoming", "deferred", "hold", "settled", "deleted"];
        let entries = |room: &str| status["journal"]["rooms"][room]["entries"] == 0;
        let directories = ["spool", "journal/body", "journal/corrupt"];
        rooms.iter().all(|room| entries(room))
            && directories.iter().all(|name| site.names(name).is_empty())
            && status["commit"]["in_flight"] == 0
    };
    let begun = Instant::now();
    while begun.elapsed() < BOUND {
        if is_empty() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Reads one file as a client does.
fn over_http(client: &Client, upload: &Upload, tally: &Tally) {
    let Some(id) = upload.id() else {
        return;
    };
    let path = format!("/files/{id}");
    let wrong = |what: &str| tally.violate(&format!("{upload:?}: {what}"));
    let answer = match client.try_ask("GET", &path, &[]) {
        Ok(answer) => answer,
        Err(err) => return wrong(&format!("no whole answer: {err}")),
    };
    match (&upload.state, answer.status) {
        (State::Deleted(_) | State::Deleting(_), 404) => return,
        (State::Deleted(_), status) => return wrong(&format!("deleted, and answers {status}")),
        (_, 200) => {}
        (_, status) => return wrong(&format!("answers {status}")),
    }
    let content = upload.content();
    if answer.body != content {
        return wrong("other bytes");
    }
    let last = content.len().saturating_sub(1);
    for (first, last) in [(0, 0), (last / 3, last / 2), (last, last)] {
        if content.is_empty() {
            break;
        }
        let range = format!("bytes={first}-{last}");
        match client.try_ask("GET", &path, &[("Range", &range)]) {
            Ok(answer) if answer.status == 206 && answer.body == content[first..=last] => {}
            Ok(answer) => wrong(&format!(
                "{range}: status {}, or other bytes",
                answer.status
            )),
            Err(err) => wrong(&format!("{range}: no whole answer: {err}")),
        }
    }
}

/// Checks the files in MongoDB, without the sidecar.
fn in_the_bucket(mongo: &Mongo, uploads: &[Upload], tally: &Tally) {
    let uploads: BTreeMap<_, _> = uploads.iter().map(|upload| (upload.key, upload)).collect();
    let (mut seen, mut found_files) = (HashSet::new(), Vec::new());
    for file in mongo.find("fs.files", of_no_message()) {
        let name = file.get_str("filename").unwrap_or_default();
        let found = name.parse().ok().and_then(|key: u64| uploads.get(&key));
        let Some(upload) = found else {
            tally.violate(&format!("nobody expects {file}"));
            continue;
        };
        let wrong = |what: &str| tally.violate(&format!("{upload:?}: {what}: {file}"));
        if !seen.insert(upload.key) {
            wrong("there is another file of the same upload");
        }
        let id = file.get_object_id("_id").map(ObjectId::to_hex);
        if upload
            .id()
            .is_some_and(|promised| id.as_deref().ok() != Some(promised))
        {
            wrong("promised under another id");
        }
        if matches!(upload.state, State::Deleted(_)) {
            wrong("was deleted");
        }
        found_files.push((file, *upload));
    }
    let groups: Vec<_> = found_files.chunks(AT_ONCE).collect();
    side_by_side(&groups, |group| are_whole(mongo, group, tally));
    for upload in uploads.values() {
        if matches!(upload.state, State::Promised(_)) && !seen.contains(&upload.key) {
            tally.violate(&format!("{upload:?} is not in the bucket"));
        }
    }
}

/// A filter for files that were uploaded without a message.
fn of_no_message() -> Document {
    doc! { "metadata.message": { "$exists": false } }
}

/// Checks that files have exactly their chunks, with the right bytes.
fn are_whole(mongo: &Mongo, files: &[(Document, &Upload)], tally: &Tally) {
    let ids: Vec<_> = files
        .iter()
        .filter_map(|(file, _)| file.get("_id"))
        .collect();
    let mut chunks = BTreeMap::<_, Vec<_>>::new();
    for chunk in mongo.find("fs.chunks", doc! { "files_id": { "$in": ids } }) {
        let id = chunk.get_object_id("files_id").expect("one of ours");
        chunks.entry(id).or_default().push(chunk);
    }
    for (file, upload) in files {
        let id = file.get_object_id("_id").expect("one of ours");
        let chunks = chunks.get(&id).map_or(&[][..], Vec::as_slice);
        if let Err(what) = is_whole(file, chunks, upload) {
            tally.violate(&format!("{upload:?}: {what}: {file}"));
        }
    }
}

fn is_whole(file: &Document, chunks: &[Document], upload: &Upload) -> Result<(), String> {
    let length = i64::try_from(upload.length).expect("a small number");
    if file.get_i64("length").ok() != Some(length) {
        return Err("another length".to_owned());
    }
    if chunks.len() != upload.length.div_ceil(CHUNK) {
        return Err(format!("{} chunks", chunks.len()));
    }
    let content = upload.content();
    for (place, (chunk, part)) in chunks.iter().zip(content.chunks(CHUNK)).enumerate() {
        let n = chunk
            .get_i32("n")
            .ok()
            .and_then(|n| usize::try_from(n).ok());
        let is_right = chunk
            .get_binary_generic("data")
            .is_ok_and(|data| data == part);
        if n != Some(place) || !is_right {
            return Err(format!("chunk {place} is wrong"));
        }
    }
    Ok(())
}

/// Checks the reports of the project's own clean-up and check.
fn by_upkeep(servers: &Servers, tally: &Tally) {
    let run = |words: &[&str]| finish(command(servers).args(words));
    let cleared = run(&["gc", "--remove", "--older-than-days", "0", "--json"]);
    let text = String::from_utf8_lossy(&cleared.stdout).into_owned();
    let orphans = text
        .lines()
        .filter(|line| line.contains("\"finding\""))
        .count();
    let orphans = u64::try_from(orphans).expect("a small number");
    tally.orphans.fetch_add(orphans, Ordering::Relaxed);
    let checked = run(&["fsck", "--older-than-days", "0"]);
    for output in [cleared, checked] {
        if !output.status.success() {
            tally.violate(&format!("{output:?}"));
        }
    }
    chunks_are_the_files(&servers.mongo, tally);
}

/// Checks that each id has as many chunks as its file, and that no chunk is without a file.
fn chunks_are_the_files(mongo: &Mongo, tally: &Tally) {
    let size = u64::try_from(CHUNK).expect("a small number");
    let count = |length: i64| u64::try_from(length).unwrap_or_default().div_ceil(size);
    let files = mongo.find("fs.files", doc! {});
    let expected: BTreeMap<_, _> = files
        .iter()
        .map(|file| {
            let id = file.get_object_id("_id").expect("one of ours");
            (id, count(file.get_i64("length").unwrap_or_default()))
        })
        .filter(|(_, chunks)| *chunks > 0)
        .collect();
    let found = mongo.chunk_counts();
    let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        let (expected, found) = (expected.get(id), found.get(id));
        if expected != found {
            tally.violate(&format!(
                "{id}: {found:?} chunks, its file has {expected:?}"
            ));
        }
    }
}

/// Makes a command of this checkout's tasks, even if another sidecar runs.
fn command(servers: &Servers) -> Command {
    let own = servers.site.command();
    let mut command = Command::new(kit::program());
    let settings = own.get_envs();
    command.envs(settings.filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Deletes most files, so that a long run stays small. The next check sees that they are gone.
fn forget(servers: &Servers, ledger: &Ledger, client: &Client, uploads: &[Upload], tally: &Tally) {
    let is_promised = |upload: &&Upload| matches!(upload.state, State::Promised(_));
    let (promised, others): (Vec<_>, Vec<_>) = uploads.iter().partition(is_promised);
    for upload in others {
        ledger.forget(upload.key);
    }
    let of_no_use = promised.get(KEPT..).unwrap_or_default();
    side_by_side(of_no_use, |upload| {
        let id = upload.id().expect("it was promised");
        let answer = client.try_ask("DELETE", &format!("/files/{id}"), &[]);
        if answer.is_ok_and(|answer| answer.status == 204) {
            ledger.set(upload.key, State::Deleted(id.to_owned()));
        } else {
            tally.violate(&format!("{upload:?} cannot be deleted"));
        }
    });
    // Uploads and deletes without an answer may have left files.
    let expected: HashSet<_> = ledger.all().into_iter().map(|upload| upload.key).collect();
    let files = servers.mongo.find("fs.files", of_no_message());
    side_by_side(&files, |file| {
        let key = file
            .get_str("filename")
            .ok()
            .and_then(|name| name.parse().ok());
        if !key.is_some_and(|key: u64| expected.contains(&key)) {
            let id = file.get_object_id("_id").expect("one of ours").to_hex();
            client
                .try_ask("DELETE", &format!("/files/{id}"), &[])
                .map(drop)
                .unwrap_or_default();
        }
    });
}
