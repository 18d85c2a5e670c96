//! Every metric as Prometheus sees it: well-formed, and true.

use std::process::Command;

use kit::{Builder, CHUNK, Metrics, Mongo, finish, noise, wait_until};

const STATUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/status");

/// The families of every node, with their types.
const FAMILIES: [(&str, &str); 38] = [
    ("gridspool_build_info", "gauge"),
    ("gridspool_commit_failures", "counter"),
    ("gridspool_commit_gives_way", "gauge"),
    ("gridspool_commit_in_flight", "gauge"),
    ("gridspool_commit_waiting", "gauge"),
    ("gridspool_commit_width", "gauge"),
    ("gridspool_committed_bytes", "counter"),
    ("gridspool_committed_entries", "counter"),
    ("gridspool_draining", "gauge"),
    ("gridspool_index_failed", "gauge"),
    ("gridspool_index_ready", "gauge"),
    ("gridspool_journal_answers", "gauge"),
    ("gridspool_journal_bytes", "gauge"),
    ("gridspool_journal_corrupt_files", "gauge"),
    ("gridspool_journal_durability_os", "gauge"),
    ("gridspool_journal_entries", "gauge"),
    ("gridspool_journal_level", "gauge"),
    ("gridspool_journal_log_segments", "gauge"),
    ("gridspool_journal_mark", "gauge"),
    ("gridspool_journal_oldest_pending_seconds", "gauge"),
    ("gridspool_journal_poisoned", "gauge"),
    ("gridspool_journal_writable", "gauge"),
    ("gridspool_live_readers", "gauge"),
    ("gridspool_mongodb_state", "gauge"),
    ("gridspool_node_number_used_twice", "gauge"),
    ("gridspool_peer_oldest_pending_seconds", "gauge"),
    ("gridspool_peer_pending_bytes", "gauge"),
    ("gridspool_peer_pending_files", "gauge"),
    ("gridspool_peer_up", "gauge"),
    ("gridspool_requests", "counter"),
    ("gridspool_spool_bodies", "gauge"),
    ("gridspool_spool_bytes", "gauge"),
    ("gridspool_start_time_seconds", "gauge"),
    ("gridspool_subjects_tracked", "gauge"),
    ("gridspool_tokens_refused", "counter"),
    ("gridspool_uploads_refused", "counter"),
    ("gridspool_uploads_refused_for", "gauge"),
    ("gridspool_waiting_lists", "gauge"),
];

#[test]
fn the_metrics_of_a_lone_node_are_all_there_in_good_form() {
    let site = Builder::default().start_without_mongodb();
    let answer = finish(
        Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{content_type}"])
            .arg("--unix-socket")
            .arg(site.admin_socket())
            .arg("http://admin/metrics"),
    );
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), media_type);
    let printed = finish(
        Command::new(STATUS)
            .args(["--metrics", "--socket"])
            .arg(site.admin_socket()),
    );
    assert!(printed.status.success(), "{printed:?}");
    let printed = Metrics::parse(&String::from_utf8(printed.stdout).unwrap());
    let page = Metrics::of(&site);
    let expected = FAMILIES.map(|(family, kind)| (family.to_owned(), kind.to_owned()));
    assert_eq!(page.families, expected.into());
    assert_eq!(page.families, printed.families);
    assert!(page.values.keys().eq(printed.values.keys()));
    let version = concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    assert_eq!(page.value(version), 1);
    assert_eq!(
        page.value("start_time_seconds"),
        printed.value("start_time_seconds")
    );
    // This family has no series on a node without peers; every other family has some.
    let is_silent =
        |family: &&String| !page.values.keys().any(|series| series.starts_with(*family));
    let silent: Vec<_> = page.families.keys().filter(is_silent).collect();
    assert!(
        silent
            .iter()
            .all(|name| name.starts_with("gridspool_peer_")),
        "{silent:?}"
    );
    assert_eq!(silent.len(), 4, "{silent:?}");
}

#[test]
fn the_metrics_follow_an_upload_from_its_promise_to_its_commit() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Builder::without_log()
        .set("subject_pending_bytes", 100_000_000)
        .start(&mongo);
    let client = site.client();
    let bytes = [1000, CHUNK + 1];
    client.upload(&noise(1, bytes[0]));
    client.upload(&noise(2, bytes[1]));
    let sum = bytes.iter().sum::<usize>();
    let sum = u64::try_from(sum).unwrap();
    let pending = |page: &Metrics, what: &str| {
        let room = |room| page.value(&format!("journal_{what}{{room=\"{room}\"}}"));
        room("incoming") + room("deferred")
    };
    wait_until("MongoDB is told to be away", || {
        Metrics::of(&site).value("mongodb_state{state=\"down\"}") == 1
    });
    wait_until("an age is told", || {
        Metrics::of(&site).value("journal_oldest_pending_seconds") > 0
    });
    let page = Metrics::of(&site);
    assert_eq!(page.value("mongodb_state{state=\"up\"}"), 0);
    assert_eq!(pending(&page, "entries"), 2);
    assert_eq!(pending(&page, "bytes"), sum);
    assert_eq!(page.value("committed_entries_total"), 0);
    assert_eq!(page.value("committed_bytes_total"), 0);
    assert_eq!(page.value("subjects_tracked{limit=\"pending_bytes\"}"), 1);
    assert_eq!(
        page.value("subjects_tracked{limit=\"uploads_per_minute\"}"),
        0
    );
    assert_eq!(page.value("journal_writable"), 1);
    assert_eq!(page.value("journal_poisoned"), 0);
    assert_eq!(page.value("journal_durability_os"), 0);
    mongo.heal();
    site.wait_until_committed();
    wait_until("MongoDB is told to be there", || {
        Metrics::of(&site).value("mongodb_state{state=\"up\"}") == 1
    });
    let page = Metrics::of(&site);
    assert_eq!(pending(&page, "entries"), 0);
    assert_eq!(page.value("journal_entries{room=\"settled\"}"), 2);
    assert_eq!(page.value("journal_bytes{room=\"settled\"}"), sum);
    assert_eq!(page.value("journal_oldest_pending_seconds"), 0);
    assert_eq!(page.value("committed_entries_total"), 2);
    assert_eq!(page.value("committed_bytes_total"), sum);
    assert!(page.value("commit_width") >= 1);
    assert_eq!(page.value("commit_gives_way"), 0, "no client is there");
    let status = site.status();
    let (journal, commit) = (&status["journal"], &status["commit"]);
    for (series, figure) in [
        ("committed_entries_total", &commit["committed_entries"]),
        ("committed_bytes_total", &commit["committed_bytes"]),
        ("commit_failures_total", &commit["failures"]),
        ("commit_width", &commit["width"]),
        ("commit_waiting", &commit["waiting"]),
        ("waiting_lists", &status["lists"]["waiting"]),
        ("live_readers", &status["live"]["readers"]),
        ("journal_answers", &journal["answers"]),
        ("journal_corrupt_files", &journal["corrupt_files"]),
        (
            "journal_bytes{room=\"settled\"}",
            &journal["rooms"]["settled"]["bytes"],
        ),
        (
            "journal_mark{mark=\"free_inodes\"}",
            &journal["marks"]["free_inodes"]["least"],
        ),
        ("spool_bodies", &status["bodies_on_their_way"]),
        ("spool_bytes", &status["bytes_on_their_way"]),
    ] {
        assert_eq!(Some(page.value(series)), figure.as_u64(), "{series}");
    }
    let requests = || Metrics::of(&site).value("requests_total");
    let before = requests();
    assert!(before >= 2, "an upload is a request at the least");
    assert_eq!(requests(), before, "an admin is no client");
    client.get("/files/0123456789abcdef01234567");
    assert_eq!(requests(), before + 1);
}

#[test]
fn the_metrics_tell_a_drain_a_log_and_a_promise_that_is_worth_less() {
    let site = Builder::default()
        .set("durability", "os")
        .start_without_mongodb();
    let flags = || {
        let page = Metrics::of(&site);
        let names = ["draining", "journal_durability_os", "journal_log_segments"];
        names.map(|name| page.value(name))
    };
    assert_eq!(flags(), [0, 1, 0]);
    site.client().upload(b"small");
    assert_eq!(flags(), [0, 1, 1]);
    assert_eq!(site.ask_admin("POST", "/drain").0, 200);
    assert_eq!(flags(), [1, 1, 1]);
    let refused = site.client().post("/files", &[], b"small");
    refused.assert_problem(503, "draining");
    let page = Metrics::of(&site);
    assert_eq!(page.value("uploads_refused_for{reason=\"drain\"}"), 1);
    assert_eq!(page.value("uploads_refused_for{reason=\"disk\"}"), 0);
    assert_eq!(page.value("uploads_refused_total{reason=\"drain\"}"), 1);
    assert_eq!(page.value("uploads_refused_total{reason=\"disk\"}"), 0);
    assert_eq!(site.status()["uploads"]["taken"], false);
    assert_eq!(site.ask_admin("DELETE", "/drain").0, 200);
    assert_eq!(flags(), [0, 1, 1]);
}

#[test]
fn the_metrics_are_not_on_the_socket_for_nginx() {
    let site = Builder::default().start_without_mongodb();
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(site.raw_to_sidecar(request).status, 404);
}
