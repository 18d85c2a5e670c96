//! The look at everything, when nothing is wrong any more and no client is there: what was promised
//! is there, once and whole; what was deleted is gone; and there is nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use crate::ledger::{Ledger, State, Upload};
use crate::request::Request;
use crate::stage::{Servers, Tally};
use crate::support::{Client, Mongo, finish};

/// How long the journal may take to become empty.
const BOUND: Duration = Duration::from_secs(90);

/// How many files stay from round to round.
const KEPT: usize = 20;

/// How many uploads are sent once more, of each round.
const REPEATED: usize = 60;

/// After so many violations nothing more is looked at: what is broken for one is broken for all.
const ENOUGH: usize = 10;

/// The chunk size that the site writes.
const CHUNK: usize = 255 * 1024;

pub(crate) fn everything(servers: &Servers, ledger: &Ledger, tally: &Tally, goes_on: bool) {
    let client = Client::with_patience(servers.site.port(), Some(Duration::from_secs(30)));
    let is_enough = || !goes_on && tally.violations() >= ENOUGH;
    ask_for_answers(&client, ledger, tally);
    let uploads = ledger.all();
    for upload in uploads.iter().take_while(|_| !is_enough()) {
        over_http(&client, upload, tally);
    }
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
    for upload in uploads.iter().take_while(|_| !is_enough()) {
        over_http(&client, upload, tally);
        tally.verified.fetch_add(1, Ordering::Relaxed);
    }
    for upload in uploads
        .iter()
        .filter(|upload| upload.is_keyed)
        .take(REPEATED)
    {
        send_again(&client, upload, tally);
    }
    if !becomes_empty(servers) {
        return tally.violate("not empty after uploads that were there already");
    }
    in_the_bucket(&servers.mongo, &uploads, tally);
    by_upkeep(servers, tally);
    let log = std::fs::read_to_string(servers.site.run_dir().join("error.log"));
    // Of a file that another has taken away; on a disk that is cut it fails otherwise.
    let is_missing = |line: &str| line.contains("unlink()") && line.contains("(2: ");
    if log.unwrap_or_default().lines().any(is_missing) {
        tally.violate("nginx missed a spool file of its own");
    }
    forget(servers, ledger, &client, &uploads, tally);
}

/// Sends what got no answer again, under its key: now there is one, and whether it was taken the
/// first time or is taken now, there is one file.
fn ask_for_answers(client: &Client, ledger: &Ledger, tally: &Tally) {
    for upload in ledger.all() {
        if !upload.is_keyed || upload.state != State::Unknown {
            continue;
        }
        let request = Request::keyed(upload.key, upload.length);
        match request.send(client) {
            Ok(answer) if answer.status == 201 => {
                let id = Request::ids(&answer).remove(0);
                ledger.set(upload.key, State::Promised(id));
                tally.promises.fetch_add(1, Ordering::Relaxed);
            }
            answer => tally.violate(&format!("{upload:?} was sent again: {answer:?}")),
        }
    }
}

/// Sends what was promised again, under its key: the answer is the same, with all of it gone from
/// the journal, and even when it was deleted.
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

/// Whether everything pending leaves the journal, and everything left behind the spool.
fn becomes_empty(servers: &Servers) -> bool {
    let site = &servers.site;
    let is_empty = || {
        let Some(status) = site.try_status() else {
            return false;
        };
        let rooms = ["incoming", "deferred", "hold", "settled", "deleted"];
        let entries = |room: &str| status["journal"]["rooms"][room]["entries"] == 0;
        let directories = ["spool", "journal/body", "journal/tmp", "journal/corrupt"];
        rooms
            .iter()
            .all(|room| entries(room) && site.names(&format!("journal/{room}")).is_empty())
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

/// What a client gets of one file.
fn over_http(client: &Client, upload: &Upload, tally: &Tally) {
    let Some(id) = upload.id() else {
        return;
    };
    let path = format!("/files/{id}");
    let wrong = |what: &str| tally.violate(&format!("{upload:?}: {what}"));
    let Ok(answer) = client.try_ask("GET", &path, &[]) else {
        return wrong("no whole answer");
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
        let answer = client.try_ask("GET", &path, &[("Range", &range)]);
        let is_right =
            answer.is_ok_and(|answer| answer.status == 206 && answer.body == content[first..=last]);
        if !is_right {
            wrong(&range);
        }
    }
}

/// What MongoDB holds, looked at without the sidecar.
fn in_the_bucket(mongo: &Mongo, uploads: &[Upload], tally: &Tally) {
    let uploads: BTreeMap<_, _> = uploads.iter().map(|upload| (upload.key, upload)).collect();
    let mut seen = HashSet::new();
    for file in mongo.find("fs.files", doc! {}) {
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
        if let Err(what) = is_whole(mongo, &file, upload) {
            wrong(&what);
        }
    }
    for upload in uploads.values() {
        if matches!(upload.state, State::Promised(_)) && !seen.contains(&upload.key) {
            tally.violate(&format!("{upload:?} is not in the bucket"));
        }
    }
}

/// Whether a file has exactly its chunks, and they its bytes.
fn is_whole(mongo: &Mongo, file: &Document, upload: &Upload) -> Result<(), String> {
    let length = i64::try_from(upload.length).expect("a small number");
    if file.get_i64("length").ok() != Some(length) {
        return Err("another length".to_owned());
    }
    let id = file.get("_id").expect("an id").clone();
    let chunks = mongo.find("fs.chunks", doc! { "files_id": id });
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

/// What the project's own clean-up and check say, when they have done their work.
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

/// Whether each id has as many chunks as its file, and none has chunks without a file.
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

/// The tasks are this checkout's, whichever sidecar runs.
fn command(servers: &Servers) -> Command {
    let own = servers.site.command();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridspool"));
    let settings = own.get_envs();
    command.envs(settings.filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Deletes most of what is there, so that a long run stays small. That it is gone is looked at the
/// next time.
fn forget(servers: &Servers, ledger: &Ledger, client: &Client, uploads: &[Upload], tally: &Tally) {
    let mut kept = 0;
    for upload in uploads {
        match &upload.state {
            State::Promised(_) if kept < KEPT => kept += 1,
            State::Promised(id) => {
                let answer = client.try_ask("DELETE", &format!("/files/{id}"), &[]);
                if answer.is_ok_and(|answer| answer.status == 204) {
                    ledger.set(upload.key, State::Deleted(id.clone()));
                } else {
                    tally.violate(&format!("{upload:?} cannot be deleted"));
                }
            }
            State::Unknown | State::Deleting(_) | State::Deleted(_) => ledger.forget(upload.key),
        }
    }
    // Uploads and deletes without an answer may have left files.
    let expected: HashSet<_> = ledger.all().into_iter().map(|upload| upload.key).collect();
    for file in servers.mongo.find("fs.files", doc! {}) {
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
    }
}
