//! A replica set of three loses members during commits and downloads.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use kit::{Answer, Builder, CHUNK, Ledger, Mongo, ReplicaSet, Site, read_to_end, wait_until};
use mongodb::bson::doc;

/// Lengths around all boundaries.
const LENGTHS: [usize; 6] = [1, 1000, CHUNK, CHUNK + 1, 700_000, 3_000_000];

/// The length of a file that takes a while.
const LARGE: usize = 60_000_000;

fn site(set: &ReplicaSet, preference: &str) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 1500)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 500)
        .set("mongodb_read_preference", preference)
        .start_with_uri(&set.uri())
}

fn upload_all(site: &Site, ledger: &Ledger, round: u64) {
    for (seed, length) in (round * 100..).zip(LENGTHS) {
        ledger.upload(&site.client(), seed, length);
    }
}

/// Commits files while something happens to the primary. Asserts that each file is there once and
/// whole, and that none was held for it. A commit that met a frozen primary may have been deferred, if
/// another member was primary when its time was over.
fn assert_survived(strike: impl Fn(&mut Mongo), heal: impl Fn(&mut Mongo)) {
    let mut set = ReplicaSet::start();
    let site = site(&set, "primary");
    let ledger = Ledger::default();
    let primary = set.primary();
    for member in &set.members {
        // The commits are slow enough that the fault finds some files done, some begun, and some
        // untouched.
        let data = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 100 };
        member.fail_sidecars("alwaysOn", data);
    }
    for round in 0..4 {
        upload_all(&site, &ledger, round);
    }
    wait_until("commits are under way", || {
        site.status()["commit"]["committed_entries"].as_u64() >= Some(3)
    });
    strike(&mut set.members[primary]);
    assert!(site.entries("incoming") > 0, "the strike came too late");
    upload_all(&site, &ledger, 4);
    // Two members are enough, and one of them is primary now, or the old one again.
    site.wait_until_empty();
    heal(&mut set.members[primary]);
    for place in 0..3 {
        set.wait_until_even(place);
        set.members[place].assert_holds_just(&ledger);
    }
    for blame in ["; held", "moved to corrupt"] {
        assert!(!site.log().contains(blame), "{blame}");
    }
    ledger.assert_readable(&site.client());
}

#[test]
fn a_primary_killed_in_the_midst_of_commits_costs_no_file() {
    assert_survived(Mongo::kill, Mongo::restart);
}

#[test]
fn a_primary_frozen_in_the_midst_of_commits_costs_no_file() {
    assert_survived(|primary| primary.freeze(), |primary| primary.thaw());
}

#[test]
fn a_primary_that_steps_down_in_the_midst_of_commits_costs_no_file() {
    let step_down = |primary: &mut Mongo| {
        primary.admin(doc! { "replSetStepDown": 5, "force": true });
    };
    assert_survived(step_down, |_| {});
}

/// Reads a large file while something happens to the primary. It arrives whole, or the transfer breaks
/// off and is resumed under the same entity tag.
fn assert_readable_across(
    preference: &str,
    strike: impl Fn(&mut Mongo),
    heal: impl Fn(&mut Mongo),
) {
    let mut set = ReplicaSet::start();
    let site = site(&set, preference);
    let ledger = Ledger::default();
    let promise = ledger.upload(&site.client(), 1, LARGE);
    site.wait_until_empty();
    for place in 0..3 {
        set.wait_until_even(place);
    }
    let primary = set.primary();
    let mut received = Vec::new();
    let mut tags = BTreeSet::new();
    wait_until("all of it was received", || {
        let is_first = received.is_empty();
        let mut stream = ask(&site, &promise.path, received.len());
        let mut wire = Vec::new();
        if is_first {
            // This is far from the end, so the remaining bytes are not in any buffer on the way.
            let mut begin = Read::by_ref(&mut stream).take(1_000_000);
            begin.read_to_end(&mut wire).unwrap();
            strike(&mut set.members[primary]);
        }
        wire.extend(read_to_end(&mut stream));
        let answer = Answer::from_wire(&wire).expect("an answer");
        if answer.status != 206 {
            // While there is no primary every answer but this one is wrong, a 404 most of all.
            assert!(
                [500, 502, 503, 504].contains(&answer.status),
                "{}",
                answer.status
            );
            return false;
        }
        tags.insert(answer.header("ETag").to_owned());
        received.extend(answer.body);
        received.len() == LARGE
    });
    assert!(received == promise.content());
    assert_eq!(tags.len(), 1, "{tags:?}");
    heal(&mut set.members[primary]);
}

/// Asks for a file from an offset on.
fn ask(site: &Site, path: &str, from: usize) -> TcpStream {
    let url = site.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nRange: bytes={from}-\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn a_download_survives_the_kill_of_the_primary() {
    assert_readable_across("primary", Mongo::kill, |_| {});
}

#[test]
fn a_download_survives_a_primary_that_freezes() {
    assert_readable_across(
        "primary",
        |primary| primary.freeze(),
        |primary| primary.thaw(),
    );
}

#[test]
fn a_download_from_the_nearest_survives_the_kill_of_the_primary() {
    assert_readable_across("nearest", Mongo::kill, |_| {});
}

#[test]
fn two_members_of_three_are_enough_and_one_is_not() {
    let mut set = ReplicaSet::start();
    let site = site(&set, "primary");
    let ledger = Ledger::default();
    let [first, second] = set.secondaries();
    set.members[first].kill();
    upload_all(&site, &ledger, 0);
    site.wait_until_empty();
    let committed = ledger.len();
    set.members[second].kill();
    upload_all(&site, &ledger, 1);
    wait_until("the sidecar has noticed", || {
        site.status()["mongodb"]["state"] == "down"
    });
    upload_all(&site, &ledger, 2);
    let tally = &site.status()["commit"]["committed_entries"];
    assert_eq!(*tally, committed, "committed without a majority");
    set.members[first].restart();
    site.wait_until_empty();
    set.members[second].restart();
    for place in 0..3 {
        set.wait_until_even(place);
        set.members[place].assert_holds_just(&ledger);
    }
    ledger.assert_readable(&site.client());
}
