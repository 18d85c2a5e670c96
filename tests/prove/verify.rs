//! Checks everything, without faults and without clients: promised files are there, once and whole;
//! deleted files are gone; and nothing else is there.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kit::{Site, finish};

use crate::ledger::{Ledger, State, Upload};
use crate::messages::Follower;
use crate::request::Request;
use crate::stage::Servers;
use crate::tally::Tally;
use crate::ways::Ways;
use crate::{verify_bucket, verify_messages, verify_uploads};

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

pub(crate) fn everything(
    servers: &Servers,
    ledger: &Ledger,
    followers: &mut [Follower],
    tally: &Tally,
    goes_on: bool,
) {
    let ways = &Ways::to(&servers.cluster);
    let is_enough = || !goes_on && tally.violations() >= ENOUGH;
    ask_for_answers(ways, ledger, tally);
    verify_uploads::finish(ways, ledger, tally);
    verify_uploads::answer_again(ways, ledger, tally);
    verify_messages::settle(ways, ledger, tally);
    verify_messages::over_http(ways, ledger, tally);
    let uploads = ledger.all();
    let look = |upload: &Upload| {
        if !is_enough() {
            over_http(ways, upload, tally);
        }
    };
    side_by_side(&uploads, look);
    if tally.violations() > 0 && !goes_on {
        return;
    }
    let begun = Instant::now();
    if !becomes_empty(servers) {
        let status = servers
            .cluster
            .nodes
            .iter()
            .map(Site::try_status)
            .collect::<Vec<_>>();
        let words = format!("not empty after {BOUND:?}: {status:?}");
        return tally.violate(&words);
    }
    let took = begun.elapsed().as_secs();
    tally.longest_drain.fetch_max(took, Ordering::Relaxed);
    delete_again(ways, ledger, tally);
    verify_messages::over_http(ways, ledger, tally);
    verify_messages::in_the_lists(ways, ledger, followers, tally);
    verify_messages::in_the_bucket(&servers.mongo, ledger, tally);
    verify_messages::are_gone(ways, ledger, tally);
    verify_uploads::answer_again(ways, ledger, tally);
    let uploads = ledger.all();
    side_by_side(&uploads, |upload| {
        look(upload);
        tally.verified.fetch_add(1, Ordering::Relaxed);
    });
    let keyed = uploads.iter().filter(|upload| upload.is_keyed);
    let repeated: Vec<_> = keyed.take(REPEATED).collect();
    side_by_side(&repeated, |upload| send_again(ways, upload, tally));
    if !becomes_empty(servers) {
        return tally.violate("not empty after uploads that were there already");
    }
    verify_bucket::files(&servers.mongo, &uploads, tally);
    by_upkeep(servers, tally);
    let logs = servers.cluster.nodes.iter().map(Site::run_dir);
    let logs = logs.map(|logs| std::fs::read_to_string(logs.join("error.log")));
    // This is for a file that another process has removed; on a cut disk it fails with another
    // error.
    let is_missing = |line: &str| {
        let is_of_spool = line.contains("unlink()") && line.contains("/spool/");
        is_of_spool && line.contains("(2: ")
    };
    let logs: Vec<_> = logs.map(Result::unwrap_or_default).collect();
    if logs.iter().flat_map(|log| log.lines()).any(is_missing) {
        tally.violate("nginx missed a spool file of its own");
    }
    forget(servers, ledger, ways, &uploads, tally);
    verify_messages::forget(ways, ledger, tally);
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
fn ask_for_answers(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    let is_open = |upload: &Upload| upload.is_keyed && upload.state == State::Unknown;
    let open: Vec<_> = ledger.all().into_iter().filter(is_open).collect();
    side_by_side(&open, |upload| {
        let request = Request::keyed(upload.key, upload.length);
        match request.send(ways.any()) {
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
fn delete_again(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    let is_open = |upload: &Upload| matches!(upload.state, State::Deleting(_));
    let open: Vec<_> = ledger.all().into_iter().filter(is_open).collect();
    side_by_side(&open, |upload| {
        let id = upload.id().expect("it was promised");
        match ways.any().try_ask("DELETE", &format!("/files/{id}"), &[]) {
            Ok(answer) if [204, 404].contains(&answer.status) => {
                ledger.set(upload.key, State::Deleted(id.to_owned()));
            }
            answer => tally.violate(&format!("{upload:?} was deleted again: {answer:?}")),
        }
    });
}

/// Repeats promised uploads, with their keys. The answer is the same, even after the journal has
/// forgotten the entry, and even for deleted files.
fn send_again(ways: &Ways, upload: &Upload, tally: &Tally) {
    let request = Request::keyed(upload.key, upload.length);
    let answer = request.send(ways.any());
    let promised = answer.as_ref().ok().filter(|answer| answer.status == 201);
    let id = promised.map(|answer| Request::ids(answer).remove(0));
    if id.as_deref() != upload.id() {
        tally.violate(&format!("{upload:?} was sent again, and got {answer:?}"));
    }
    tally.repeats.fetch_add(1, Ordering::Relaxed);
}

/// Returns whether every pending entry leaves the journal, and every leftover leaves the spool.
fn becomes_empty(servers: &Servers) -> bool {
    let is_empty = |site: &Site| {
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
        if servers.cluster.nodes.iter().all(is_empty) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Reads one file as a client does.
fn over_http(ways: &Ways, upload: &Upload, tally: &Tally) {
    let Some(id) = upload.id() else {
        return;
    };
    let path = format!("/files/{id}");
    let wrong = |what: &str| tally.violate(&format!("{upload:?}: {what}"));
    let asked = if matches!(upload.state, State::Deleted(_)) {
        ways.ask_for_deleted(&path)
    } else {
        let asked = ways.any().try_ask("GET", &path, &[]);
        asked.map_err(|err| err.to_string())
    };
    let answer = match asked {
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
        match ways.any().try_ask("GET", &path, &[("Range", &range)]) {
            Ok(answer) if answer.status == 206 && answer.body == content[first..=last] => {}
            Ok(answer) => wrong(&format!(
                "{range}: status {}, or other bytes",
                answer.status
            )),
            Err(err) => wrong(&format!("{range}: no whole answer: {err}")),
        }
    }
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
    verify_bucket::chunks_are_the_files(&servers.mongo, tally);
}

/// Makes a command of this checkout's tasks, even if another sidecar runs.
fn command(servers: &Servers) -> Command {
    let own = servers.cluster.nodes[0].command();
    let mut command = Command::new(kit::program());
    let settings = own.get_envs();
    command.envs(settings.filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Deletes most files, so that a long run stays small. The next check sees that they are gone.
fn forget(servers: &Servers, ledger: &Ledger, ways: &Ways, uploads: &[Upload], tally: &Tally) {
    let is_promised = |upload: &&Upload| matches!(upload.state, State::Promised(_));
    let (promised, others): (Vec<_>, Vec<_>) = uploads.iter().partition(is_promised);
    for upload in others {
        ledger.forget(upload.key);
    }
    let of_no_use = promised.get(KEPT..).unwrap_or_default();
    side_by_side(of_no_use, |upload| {
        let id = upload.id().expect("it was promised");
        match ways.delete(&format!("/files/{id}")) {
            Ok(answer) if answer.status == 204 => {
                ledger.set(upload.key, State::Deleted(id.to_owned()));
            }
            answer => tally.violate(&format!("{upload:?} cannot be deleted: {answer:?}")),
        }
    });
    // Uploads and deletes without an answer may have left files.
    let expected: HashSet<_> = ledger.all().into_iter().map(|upload| upload.key).collect();
    let files = servers
        .mongo
        .find("fs.files", verify_bucket::of_no_message());
    side_by_side(&files, |file| {
        let key = file
            .get_str("filename")
            .ok()
            .and_then(|name| name.parse().ok());
        if !key.is_some_and(|key: u64| expected.contains(&key)) {
            let id = file.get_object_id("_id").expect("one of ours").to_hex();
            ways.any()
                .try_ask("DELETE", &format!("/files/{id}"), &[])
                .map(drop)
                .unwrap_or_default();
        }
    });
}
