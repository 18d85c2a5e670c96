//! A panic costs only the request or the attempt that met it: the process goes on, and nothing stays
//! locked. Each test lets a thread panic at one of the points at which the proof kills the sidecar;
//! these exist only in builds with the feature `failpoints`, one of which scripts/test makes.

use kit::{
    Answer, Builder, Client, Ledger, Mongo, Site, noise, points, program_with_points, wait_until,
};

const FORM: &str = "multipart/form-data; boundary=x";

/// The log line of a thread that panics at a point.
const WORD: &str = "as the failpoint says";

fn restart(site: &mut Site, point: &str) {
    site.stop_sidecar();
    site.reconfigure(|builder| builder.set("failpoint", format!("{point}=1:panic")));
    site.start_sidecar();
}

fn form() -> Vec<u8> {
    let head = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
    // This body is too large for the log.
    let file = "file".repeat(10_000);
    [head, &file, "\r\n", head, &file, "\r\n--x--\r\n"]
        .concat()
        .into_bytes()
}

/// Types and bodies of uploads that pass a point.
fn uploads(point: &str) -> Vec<(&'static str, Vec<u8>)> {
    match point.split('.').next() {
        Some("form") => vec![(FORM, form())],
        Some("adopt") => vec![("a/b", noise(1, 100_000))],
        // One upload waits without a thread, the other on a thread of its own.
        _ => vec![("a/b", noise(1, 1_000)), ("a/b", noise(1, 40_000))],
    }
}

fn post(client: &Client, content_type: &str, body: &[u8]) -> Answer {
    client.post("/files", &[("Content-Type", content_type)], body)
}

/// A site that runs a build with points; `None` if there is none.
fn with_points(test: &str) -> Option<Builder> {
    let program = program_with_points(&format!("panics::{test}"))?;
    Some(Builder::default().program(&program))
}

#[test]
fn a_panic_in_an_upload_is_a_500_and_leaves_neither_files_nor_taken_room() {
    let Some(builder) = with_points("a_panic_in_an_upload") else {
        return;
    };
    let mut site = builder
        .set("journal_max_entries", 4)
        .start_without_mongodb();
    let client = site.client();
    let in_uploads = ["adopt.", "form.", "wal."];
    let points = points().into_iter();
    for point in points.filter(|point| in_uploads.iter().any(|part| point.starts_with(part))) {
        for (content_type, body) in uploads(&point) {
            let case = format!("{point}, {} bytes", body.len());
            restart(&mut site, &point);
            let sidecar = site.sidecar_id();
            let refused = post(&client, content_type, &body);
            // If a thread of the sidecar's own wrote its group, that one has met the panic.
            let is_of_group = refused.status == 503 && point.starts_with("wal.");
            let (status, code) = if is_of_group {
                (503, "journal-not-writable")
            } else {
                (500, "internal")
            };
            refused.assert_problem(status, code);
            assert!(site.log().contains(WORD), "{case}");
            wait_until("the spool is empty", || site.names("spool").is_empty());
            // After its last step the upload is promised, though its client was not told.
            let kept = match point.as_str() {
                "form.promised" => 2,
                point => usize::from(point.ends_with(".promised")),
            };
            if kept == 0 {
                site.assert_nothing_is_kept(&case);
            }
            assert_eq!(
                site.entries("incoming"),
                u64::try_from(kept).unwrap(),
                "{case}"
            );
            assert_eq!(client.get("/healthz").status, 200, "{case}");
            // The greatest number.
            let contents = [&body[..], b"more", b"and more", b"and the last"];
            for content in contents.into_iter().skip(kept) {
                let taken = client.post("/files", &[("Content-Type", "a/b")], content);
                assert_eq!(taken.status, 201, "{case}: {taken:?}");
                assert!(
                    client.get(taken.header("Location")).body == content,
                    "{case}"
                );
                let id = taken.json()["id"].as_str().unwrap().to_owned();
                assert_eq!(client.get(&format!("/files/{id}")).status, 200, "{case}");
            }
            assert_eq!(site.sidecar_id(), sidecar);
            empty(&mut site);
        }
    }
}

/// Begins with an empty journal.
fn empty(site: &mut Site) {
    site.stop_sidecar();
    for directory in ["journal/body", "journal/wal"] {
        for name in site.names(directory) {
            std::fs::remove_file(site.data_dir().join(directory).join(name)).unwrap();
        }
    }
    site.reconfigure(|builder| builder.set("failpoint", "none=1"));
    site.start_sidecar();
}

#[test]
fn a_panic_in_a_handler_is_a_500_on_a_connection_that_goes_on() {
    let Some(builder) = with_points("a_panic_in_a_handler") else {
        return;
    };
    let mut site = builder.start_without_mongodb();
    for point in ["delete.noted", "delete.body-unlinked"] {
        restart(&mut site, point);
        let client = site.client();
        let file = client.upload(&noise(1, 100_000));
        client.delete(&file.path).assert_problem(500, "internal");
        assert!(site.log().contains("a request was lost by a panic"));
        assert_eq!(client.delete(&file.path).status, 404, "{point}");
        assert_eq!(client.get(&file.path).status, 404, "{point}");
        client.upload(b"next");
    }
}

/// The points that the committer passes, and those of the watches and sweeps.
const BEHIND_THE_ANSWER: [&str; 6] = [
    "commit.handed-out",
    "store.pinged",
    "settle.noted",
    "evict.body-unlinked",
    "evict.unlinks-fsynced",
    "evict.answers-kept",
];

#[test]
fn a_panic_behind_the_answer_loses_no_file_and_needs_no_restart() {
    let Some(builder) = with_points("a_panic_behind_the_answer") else {
        return;
    };
    let mongo = Mongo::start();
    let mut site = builder
        .set("settled_grace_seconds", 0)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 100)
        .start(&mongo);
    let client = site.client();
    let ledger = Ledger::default();
    for point in BEHIND_THE_ANSWER {
        restart(&mut site, point);
        let sidecar = site.sidecar_id();
        for (seed, length) in [(1, 300_000), (2, 1_000), (3, 0)] {
            let key = format!("{point}-{seed}");
            let headers = [("Idempotency-Key", &*key), ("Content-Type", "a/b")];
            let answer = client.post("/files", &headers, &noise(seed, length));
            ledger.enter(kit::Uploaded::read(&answer), seed, length);
        }
        ledger.try_upload_form(&client, &[4, 5], 100_000).unwrap();
        wait_until(&format!("{point} is come by"), || site.log().contains(WORD));
        site.wait_until_empty();
        assert_eq!(site.sidecar_id(), sidecar, "{point}");
        assert_eq!(site.status()["commit"]["in_flight"], 0, "{point}");
    }
    ledger.assert_readable(&client);
    mongo.assert_holds_just(&ledger);
}
