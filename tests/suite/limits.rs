//! Limits of subjects, of the disk and of the journal: refusals, and what admins see of them.

use std::io::Write as _;

use kit::{Builder, Keys, Metrics, Mongo, SmallDisk, noise, wait_until};
use serde_json::json;

use crate::refusal::{NOWHERE, announce, spool_changed};

#[test]
fn a_subject_that_comes_too_often_gets_429_and_others_do_not() {
    let keys = Keys::make();
    let limited = |site: Builder| site.set("subject_uploads_per_minute", 2);
    let site = keys
        .guard(limited(Builder::default()))
        .start_with_uri(NOWHERE);
    let client = site.client();
    for subject in ["alice", "bob"] {
        let bearer = keys.bearer(&["--scope", "upload", "--sub", subject]);
        let headers = [("Authorization", bearer.as_str())];
        for _ in 0..2 {
            assert_eq!(client.post("/files", &headers, b"x").status, 201);
        }
        let before = spool_changed(&site);
        let authorization = format!("Authorization: {bearer}");
        let answer = announce(&site, "/files", &["Content-Length: 9", &authorization]);
        answer.assert_problem(429, "too-many-uploads");
        let pause: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&pause), "{pause}");
        assert_eq!(spool_changed(&site), before);
    }
    // Each file of a form is one upload.
    let bearer = |subject: &str| keys.bearer(&["--scope", "upload", "--sub", subject]);
    let (carol, dave) = (bearer("carol"), bearer("dave"));
    client
        .post_form(Some(&dave), 3, 0)
        .assert_problem(413, "form-too-large");
    assert_eq!(client.post_form(Some(&carol), 2, 0).status, 201);
    client
        .post_form(Some(&carol), 1, 0)
        .assert_problem(429, "too-many-uploads");
    client
        .post_form(Some(&dave), 2, 0)
        .assert_problem(429, "too-many-uploads");
    assert_eq!(site.entries("incoming"), 6);
    // Without tokens the address is the subject.
    let open = limited(Builder::default()).start_with_uri(NOWHERE);
    let statuses = [(); 3].map(|()| open.client().post("/files", &[], b"x").status);
    assert_eq!(statuses, [201, 201, 429]);
    assert_eq!(open.status()["uploads"]["refused"]["rate"], 1);
}

#[test]
fn a_subject_with_too_many_pending_bytes_gets_429_until_they_are_committed() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let keys = Keys::make();
    let mut site = keys
        .guard(Builder::default())
        .set("subject_pending_bytes", 10_000)
        .start(&mongo);
    let client = site.client();
    let bearer = |subject: &str| keys.bearer(&["--scope", "upload", "--sub", subject]);
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    let upload =
        |bearer: &str, body: &[u8]| client.post("/files", &[("Authorization", bearer)], body);
    // Each record counts as a kibibyte, beside the body.
    assert_eq!(upload(&alice, &noise(1, 6000)).status, 201);
    let before = spool_changed(&site);
    let answer = announce(
        &site,
        "/files",
        &["Content-Length: 5000", &format!("Authorization: {alice}")],
    );
    answer.assert_problem(429, "too-much-pending");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(spool_changed(&site), before);
    let token = alice.strip_prefix("Bearer ").unwrap();
    let chunked = client.post_chunked(&format!("/files?token={token}"), &noise(1, 2000));
    chunked.assert_problem(429, "too-much-pending");
    assert_eq!(site.status()["uploads"]["refused"]["quota"], 2);
    assert_eq!(upload(&alice, &noise(2, 1900)).status, 201);
    assert_eq!(upload(&bob, &noise(3, 8900)).status, 201);
    assert_eq!(site.entries("incoming"), 3);
    // Empty files count as much as is written for them, and texts once for each file that keeps them.
    let carol = bearer("carol");
    let send = |files, text_bytes| client.post_form(Some(&carol), files, text_bytes);
    send(9, 0).assert_problem(429, "too-much-pending");
    send(4, 3000).assert_problem(429, "too-much-pending");
    assert_eq!(site.entries("incoming"), 3);
    assert_eq!(send(8, 0).status, 201);
    send(2, 0).assert_problem(429, "too-much-pending");
    // A restart forgets no waiting body.
    site.kill_sidecar();
    site.start_sidecar();
    upload(&alice, &noise(5, 3000)).assert_problem(429, "too-much-pending");
    mongo.heal();
    site.wait_until_committed();
    assert_eq!(upload(&alice, &noise(4, 8900)).status, 201);
    assert_eq!(send(8, 0).status, 201);
}

#[test]
fn without_room_on_the_disk_or_in_the_journal_no_body_is_taken() {
    for (setting, value, status, code, reason, mark) in [
        (
            "min_free_bytes",
            u64::MAX,
            507,
            "no-space",
            "disk",
            "free_bytes",
        ),
        (
            "min_free_inodes",
            u64::MAX,
            507,
            "no-space",
            "inodes",
            "free_inodes",
        ),
        (
            "journal_max_entries",
            0,
            503,
            "journal-full",
            "backlog",
            "pending_entries",
        ),
        (
            "journal_max_bytes",
            8,
            503,
            "journal-full",
            "backlog",
            "pending_bytes",
        ),
    ] {
        let site = Builder::default()
            .set(setting, value)
            .start_with_uri(NOWHERE);
        let before = spool_changed(&site);
        let answer = announce(&site, "/files", &["Content-Length: 9"]);
        answer.assert_problem(status, code);
        assert!(!answer.header("retry-after").is_empty(), "{setting}");
        assert_eq!(spool_changed(&site), before, "{setting}");
        // An admin sees the reason, the count, and the level.
        let small = site.client().post("/files", &[], b"123456789");
        small.assert_problem(status, code);
        let told = site.status();
        let uploads = &told["uploads"];
        assert_eq!(uploads["refused"][reason], 2, "{uploads}");
        // Below this watermark there is still room for smaller ones.
        let is_taken = setting == "journal_max_bytes";
        let expected = if is_taken { json!([]) } else { json!([reason]) };
        assert_eq!(uploads["refused_for"], expected);
        assert_eq!(uploads["taken"], is_taken);
        let level = &told["journal"]["marks"][mark];
        let bound = if status == 507 { "least" } else { "most" };
        assert_eq!(level[bound], value, "{level}");
        assert!(level["now"].is_u64() || mark == "free_inodes", "{level}");
        let page = Metrics::of(&site);
        let counted = format!("uploads_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(page.value(&counted), 2);
        let standing = format!("uploads_refused_for{{reason=\"{reason}\"}}");
        assert_eq!(page.value(&standing), u64::from(!is_taken));
        assert_eq!(
            page.value(&format!("journal_mark{{mark=\"{mark}\"}}")),
            value
        );
    }
}

#[test]
fn bodies_on_their_way_keep_as_much_again_as_has_come_of_them_whatever_they_declare() {
    let mut site = Builder::default()
        .set("min_free_bytes", 4_000_000)
        .set("min_free_inodes", 0)
        .start_without_mongodb();
    let Some(_disk) = SmallDisk::below(&mut site, "bodies on their way", "size=72m") else {
        return;
    };
    let client = site.client();
    let has_room = |length: &str| {
        let question = [("X-Gridspool-Body-Length", length)];
        client.get_with("/_gridspool/room", &question).status == 204
    };
    assert!(has_room("20000000"));
    let mut chunked = site.connect();
    let head = "POST /files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000000\r\n";
    chunked.write_all(head.as_bytes()).unwrap();
    chunked.write_all(&noise(1, 15_000_000)).unwrap();
    // 26 MB are free now, and 15 MB of them are expected.
    wait_until("it is seen", || !has_room("9000000"));
    assert!(has_room("5000000"));
    assert!(site.status()["bytes_on_their_way"].as_u64() > Some(14_000_000));
    announce(&site, "/files", &["Content-Length: 9000000"]).assert_problem(507, "no-space");
    assert_eq!(site.status()["uploads"]["refused"]["disk"], 1);
    // Small bodies, which are checked on arrival, are refused for the same reason.
    chunked.write_all(&noise(2, 5_000_000)).unwrap();
    wait_until("nothing more may come", || !has_room("0"));
    let told = &site.status()["uploads"];
    assert_eq!(told["refused_for"], json!(["disk"]));
    for path in ["/files", "/files?in-a-file"] {
        client.post(path, &[], b"x").assert_problem(507, "no-space");
    }
    assert_eq!(site.status()["uploads"]["refused"]["disk"], 3);
    drop(chunked);
    wait_until("its room is free again", || has_room("9000000"));
    assert_eq!(client.post("/files", &[], &noise(2, 9_000_000)).status, 201);
}
