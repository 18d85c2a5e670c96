//! `gridspool journal`: its reports are true, beside a sidecar and without one, and it writes nothing
//! into the journal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;

use kit::{Builder, CHUNK, Ledger, Metrics, Mongo, Promise, Site, finish, wait_until};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The output of one of its commands, as JSON and as text, and its exit status.
struct Told {
    code: Option<i32>,
    lines: Vec<Value>,
    text: String,
    log: String,
}

fn look(site: &Site, words: &[&str]) -> Told {
    let run = |more: &[&str]| -> Output {
        finish(site.command().args([&["journal"], words, more].concat()))
    };
    let (text, json) = (run(&[]), run(&["--json"]));
    assert_eq!(text.status, json.status, "{text:?} {json:?}");
    let utf8 = |bytes: &[u8]| str::from_utf8(bytes).unwrap().to_owned();
    let lines = utf8(&json.stdout);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    Told {
        code: text.status.code(),
        lines: lines.collect(),
        text: utf8(&text.stdout),
        log: utf8(&text.stderr),
    }
}

fn states(told: &Told) -> BTreeMap<String, String> {
    let entries = told.lines.iter().map(|line| &line["entry"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = entries.filter(|entry| entry.is_object());
    entries
        .map(|entry| (text(&entry["id"]), text(&entry["state"])))
        .collect()
}

fn salvage(site: &Site, to: &Path) -> Output {
    finish(site.command().args(["journal", "salvage"]).arg(to))
}

/// The file of the log that contains these bytes, and their offset.
fn in_log(site: &Site, bytes: &[u8]) -> (PathBuf, u64) {
    let names = site.names("journal/wal").into_iter();
    let mut paths = names.map(|name| site.data_dir().join("journal/wal").join(name));
    let found = paths.find_map(|path| {
        let log = fs::read(&path).unwrap();
        let at = log.windows(bytes.len()).position(|part| part == bytes)?;
        Some((path, u64::try_from(at).unwrap()))
    });
    found.unwrap()
}

fn flip((path, at): &(PathBuf, u64)) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, *at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], *at).unwrap();
}

fn assert_saved(to: &Path, promises: &[&Promise]) {
    let lines = fs::read_to_string(to.join("files.jsonl")).unwrap();
    for promise in promises {
        let path = to.join(&promise.id);
        assert!(fs::read(&path).unwrap() == promise.content());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(lines.contains(&promise.id));
    }
    assert_eq!(lines.lines().count(), promises.len());
    // With the lines.
    assert_eq!(fs::read_dir(to).unwrap().count(), promises.len() + 1);
}

#[test]
fn an_admin_sees_what_is_in_a_journal_and_gets_it_out() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 3600)
        .start(&mongo);
    let ledger = Ledger::default();
    let settled = ledger.upload(&site.client(), 1, CHUNK);
    site.wait_until_committed();
    mongo.hide_from_sidecars();
    let held = ledger.upload(&site.client(), 2, 100);
    mongo.insert_chunk(&held.id, 0, b"another's");
    mongo.heal();
    wait_until("it is held", || site.entries("hold") == 1);
    mongo.hide_from_sidecars();
    let deleted = ledger.upload(&site.client(), 3, 100);
    let small = ledger.upload(&site.client(), 4, 1000);
    let large = ledger.upload(&site.client(), 5, 2 * CHUNK);
    assert_eq!(site.client().delete(&deleted.path).status, 204);
    let out = tempfile::tempdir().unwrap();
    let promises = [settled, held, deleted, small, large];
    look_beside_the_sidecar(&site, &promises, out.path());
    site.kill_sidecar();
    look_into_a_damaged_one(&site, &promises, out.path());
    look_into_one_of_another_form(&site, out.path());
    start_with_damage(&mut site, &promises);
}

fn look_beside_the_sidecar(site: &Site, promises: &[Promise; 5], out: &Path) {
    let [settled, held, deleted, small, large] = promises;
    let (log, status) = (site.log(), site.status());

    let told = look(site, &["ls"]);
    assert_eq!(told.code, Some(0), "{}", told.log);
    let seen = states(&told);
    assert_eq!(seen.len(), 5);
    for (promise, room) in [(settled, "settled"), (held, "hold"), (deleted, "deleted")] {
        assert_eq!(seen[&promise.id], room);
    }
    for promise in [small, large] {
        assert!(["incoming", "deferred"].contains(&&*seen[&promise.id]));
    }
    assert_eq!(told.text.lines().count(), 5);
    let told = look(site, &["show", &held.id]);
    assert_eq!(told.code, Some(0), "{}", told.log);
    let says = |told: &Told, kind: &str| {
        let mut records = told.lines.iter().map(|line| line["record"]["says"].clone());
        records.find(|says| says["kind"] == kind).unwrap()
    };
    assert_eq!(says(&told, "base")["length"], 100);
    assert!(!says(&told, "hold")["reason"].as_str().unwrap().is_empty());
    assert!(told.text.ends_with(&format!("{} hold\n", held.id)));
    let told = look(site, &["show", &settled.id]);
    assert!(says(&told, "settled")["sha256"].as_str().unwrap().len() == 64);
    let told = look(site, &["verify"]);
    assert_eq!(told.code, Some(0), "{} {}", told.text, told.log);
    assert_eq!(look(site, &["show", "no-id"]).code, Some(64));
    assert_eq!(look(site, &["show", &"0".repeat(24)]).code, Some(1));
    let to = out.join("beside");
    assert_eq!(salvage(site, &to).status.code(), Some(0));
    assert_saved(&to, &[settled, held, small, large]);
    let again = salvage(site, &to);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert_saved(&to, &[settled, held, small, large]);
    let inside = salvage(site, &site.data_dir().join("journal/body/out"));
    assert_eq!(inside.status.code(), Some(1), "{inside:?}");
    assert!(site.log().starts_with(&log));
    assert_eq!(
        site.status()["journal"]["rooms"]["hold"],
        status["journal"]["rooms"]["hold"]
    );
    assert!(site.client().get(&small.path).body == small.content());
    let full_disk = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut full = site.command();
    let full = full.args(["journal", "ls"]).stdout(full_disk).status();
    assert_eq!(full.unwrap().code(), Some(1), "a full disk is told");
}

fn look_into_a_damaged_one(site: &Site, promises: &[Promise; 5], out: &Path) {
    let [settled, held, _, small, large] = promises;
    // This flips one bit of a body.
    let body = in_log(site, &small.content());
    flip(&body);
    assert_eq!(look(site, &["ls"]).code, Some(0));
    let told = look(site, &["verify"]);
    assert_eq!(told.code, Some(65), "{} {}", told.text, told.log);
    let named = |told: &Told, id: &str| {
        let mut lines = told.text.lines();
        lines.any(|line| {
            line.starts_with("WRONG") && line.contains(id) && line.contains("in segment 1 at ")
        })
    };
    assert!(named(&told, &small.id), "{}", told.text);
    let to = out.join("body");
    assert_eq!(salvage(site, &to).status.code(), Some(65));
    assert_saved(&to, &[settled, held, large]);
    flip(&body);

    // This flips one bit of a record.
    let record = record_of(site, small);
    flip(&record);
    let told = look(site, &["ls"]);
    assert_eq!(
        (told.code, states(&told).len()),
        (Some(65), 4),
        "{}",
        told.text
    );
    let told = look(site, &["verify"]);
    assert_eq!(told.code, Some(65));
    assert!(
        told.text.contains("WRONG wal: segment 1: "),
        "{}",
        told.text
    );
    let to = out.join("record");
    assert_eq!(salvage(site, &to).status.code(), Some(65));
    assert_saved(&to, &[settled, held, large]);
    flip(&record);
}

/// The first offset of an entry's id in the log.
fn record_of(site: &Site, promise: &Promise) -> (PathBuf, u64) {
    let id = u128::from_str_radix(&promise.id, 16).unwrap().to_be_bytes();
    in_log(site, &id[4..])
}

fn look_into_one_of_another_form(site: &Site, out: &Path) {
    let marker = site.data_dir().join("journal/gridspool-journal");
    let ours = fs::read_to_string(&marker).unwrap();
    for (text, sentence) in [
        (
            "gridspool journal, form 3\n",
            "which this version does not know",
        ),
        ("gridspool journal\n", "a journal of an earlier format"),
    ] {
        fs::write(&marker, text).unwrap();
        for words in [
            &["ls"][..],
            &["show", "000000000000000000000000"],
            &["verify"],
        ] {
            let told = look(site, words);
            assert_eq!(told.code, Some(78), "{}", told.log);
            assert!(told.log.contains(sentence), "{}", told.log);
        }
        let to = out.join("form");
        assert_eq!(salvage(site, &to).status.code(), Some(78));
        assert!(!to.exists());
        refuse_to_start(site, sentence);
    }
    fs::write(&marker, ours).unwrap();
    // The log of a newer program, which has started once and written one segment.
    let directory = site.data_dir().join("journal/wal");
    let segments = fs::read_dir(directory).unwrap();
    let segments = segments.map(|found| found.unwrap().path());
    let is_begun = |path: &PathBuf| fs::read(path).unwrap().starts_with(b"gs-wal");
    let segment = segments.into_iter().find(is_begun).unwrap();
    let ours = fs::read(&segment).unwrap();
    let mut newer = ours.clone();
    newer[8] += 1;
    let check = Sha256::digest(&newer[..52]);
    newer[52..68].copy_from_slice(&check[..16]);
    fs::write(&segment, newer).unwrap();
    refuse_to_start(site, "the log has format 2");
    fs::write(&segment, ours).unwrap();
}

/// A start on a journal of another format ends at once, and leaves all bodies and the whole log
/// unchanged.
fn refuse_to_start(site: &Site, sentence: &str) {
    let all = || {
        let directories = ["body", "wal"].map(|name| site.data_dir().join("journal").join(name));
        let found = directories
            .iter()
            .flat_map(|path| fs::read_dir(path).unwrap());
        let paths = found.map(|found| found.unwrap().path());
        let read = |path: PathBuf| (fs::read(&path).unwrap(), path);
        paths.map(read).collect::<Vec<_>>()
    };
    let before = all();
    let refused = finish(&mut site.command());
    let log = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{log}");
    assert!(log.contains(sentence), "{log}");
    assert!(all() == before);
}

/// A start reports damage; status and metrics report it while the sidecar runs.
fn start_with_damage(site: &mut Site, promises: &[Promise; 5]) {
    let [_, _, _, small, _] = promises;
    flip(&record_of(site, small));
    site.start_sidecar();
    let damage = site.status()["journal"]["damage"].to_string();
    assert!(damage.contains("segment 1: "), "{damage}");
    assert!(site.log().contains("the log is damaged: segment 1: "));
    let metrics = Metrics::of(site);
    let mut named = metrics.values.keys();
    let is_named =
        named.any(|name| name.starts_with("gridspool_journal_damage{damage=\"segment 1: "));
    assert!(is_named, "{:?}", metrics.values);
}
