//! Chunks that are read from secondaries, one of which lags behind.

use kit::{Builder, Ledger, ReplicaSet, Site, object_id, wait_until};
use mongodb::bson::doc;

/// A small file, one of several chunks, and one of several answers and slices.
const LENGTHS: [usize; 3] = [1000, 700_000, 9_000_000];

fn site(set: &ReplicaSet, preference: &str) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 4000)
        .set("mongodb_read_preference", preference)
        .start_with_uri(&set.uri())
}

/// Uploads and reads new files until a member was asked for many of their chunks.
fn read_until_asked(set: &ReplicaSet, site: &Site, place: usize) {
    let ledger = Ledger::default();
    let member = &set.members[place];
    let before = member.chunk_reads();
    let mut seed = 0;
    wait_until("the member is asked", || {
        seed += 1;
        for length in LENGTHS {
            ledger.upload(&site.client(), seed, length);
        }
        site.wait_until_empty();
        for promise in ledger.promises() {
            let answer = site.client().get(&promise.path);
            assert_eq!(answer.status, 200, "{promise:?}");
            assert!(answer.body == promise.content(), "{promise:?}");
            ledger.forget(&promise);
        }
        member.chunk_reads() >= before + 10
    });
}

#[test]
fn what_a_secondary_lacks_is_read_from_the_primary() {
    let set = ReplicaSet::start();
    let site = site(&set, "nearest");
    let [behind, _] = set.secondaries();
    set.members[behind].hold_back(true);
    read_until_asked(&set, &site, behind);
    set.members[behind].hold_back(false);
}

#[test]
fn a_file_that_is_deleted_is_not_read_from_a_secondary_that_has_it_still() {
    let set = ReplicaSet::start();
    let site = site(&set, "nearest");
    let client = site.client();
    let ledger = Ledger::default();
    let deleted = ledger.upload(&client, 1, 1000);
    let deleted_elsewhere = ledger.upload(&client, 2, 1000);
    site.wait_until_empty();
    let [behind, other] = set.secondaries();
    for place in [behind, other] {
        set.wait_until_even(place);
    }
    ledger.assert_readable(&client);
    set.members[behind].hold_back(true);
    assert_eq!(client.delete(&deleted.path).status, 204);
    let id = object_id(&deleted_elsewhere.id);
    let primary = &set.members[set.primary()];
    let files = primary.files();
    primary
        .block_on(async { files.delete_one(doc! { "_id": id }).await })
        .unwrap();
    wait_until("the other driver's delete is seen", || {
        client.get(&deleted_elsewhere.path).status == 404
    });
    for _ in 0..40 {
        assert_eq!(client.get(&deleted.path).status, 404);
        assert_eq!(client.get(&deleted_elsewhere.path).status, 404);
    }
    let had = &set.members[behind];
    assert_eq!(had.count(&had.files(), doc! {}), 2, "it does not lag");
    had.hold_back(false);
}

/// A site that reads from the nearest member, with large committed files.
fn filled(set: &ReplicaSet) -> (Site, Ledger) {
    let site = site(set, "nearest");
    let ledger = Ledger::default();
    for seed in 0..8 {
        ledger.upload(&site.client(), seed, 9_000_000);
    }
    site.wait_until_empty();
    (site, ledger)
}

#[test]
fn a_secondary_that_freezes_breaks_no_download() {
    let set = ReplicaSet::start();
    let (site, ledger) = filled(&set);
    let [frozen, _] = set.secondaries();
    set.members[frozen].freeze();
    ledger.assert_readable(&site.client());
    set.members[frozen].thaw();
}

#[test]
fn secondaries_that_answer_with_errors_break_no_download() {
    let set = ReplicaSet::start();
    let (site, ledger) = filled(&set);
    let ill = set.secondaries().map(|place| &set.members[place]);
    for member in ill {
        let data = doc! { "failCommands": ["find", "getMore"], "errorCode": 8000 };
        member.fail_sidecars("alwaysOn", data);
    }
    ledger.assert_readable(&site.client());
    for member in ill {
        assert!(member.heal() > 0, "it was not asked");
    }
}

#[test]
fn without_the_setting_no_secondary_is_asked_for_a_file() {
    let set = ReplicaSet::start();
    let site = site(&set, "primary");
    let ledger = Ledger::default();
    ledger.upload(&site.client(), 1, 9_000_000);
    site.wait_until_empty();
    let asked = |set: &ReplicaSet| {
        set.secondaries()
            .map(|place| set.members[place].chunk_reads())
    };
    let before = asked(&set);
    ledger.assert_readable(&site.client());
    assert_eq!(asked(&set), before);
}
