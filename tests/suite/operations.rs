//! The node as admins and balancers see it: health, status, checks, stops, and refused starts.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use kit::{Builder, CHUNK, Ledger, Mongo, Site, finish, noise, skip, wait_until};
use mongodb::bson::doc;

/// The outcome of the sidecar's binary: exit code, stdout, stderr.
fn run(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = site.command();
    let ended = finish(command.args(arguments).envs(environment.iter().copied()));
    (
        ended.status.code().unwrap(),
        String::from_utf8(ended.stdout).unwrap(),
        String::from_utf8(ended.stderr).unwrap(),
    )
}

/// Nothing answers there: the port is below all ports in use.
const NO_MONGODB: &str = "mongodb://127.0.0.1:1/?replicaSet=rs0";

#[test]
fn health_is_told_through_nginx_and_on_the_admin_socket() {
    let mut mongo = Mongo::start();
    let site = Site::start(&mongo);
    let client = site.client();
    let both = |path: &str| {
        let (status, body) = site.ask_admin("GET", path);
        let answer = client.get(path);
        assert_eq!((answer.status, answer.body), (status, body.into_bytes()));
        status
    };
    wait_until("it is ready", || client.get("/readyz").status == 200);
    assert_eq!(both("/readyz"), 200);
    assert_eq!(both("/healthz"), 200);
    mongo.kill();
    wait_until("it is not ready", || client.get("/readyz").status == 503);
    assert_eq!(both("/healthz"), 200);
    assert_eq!(client.get("/readyz").json()["journal"], "writable");
    mongo.restart();
    wait_until("it is ready again", || client.get("/readyz").status == 200);
}

#[test]
fn a_sidecar_that_fsyncs_nothing_says_so_and_still_survives_a_kill() {
    let builder = Builder::default().set("durability", "os");
    let mut site = builder.start_with_uri(NO_MONGODB);
    assert_eq!(site.status()["journal"]["durability"], "os");
    assert!(site.log().contains("DANGEROUS"), "{}", site.log());
    let client = site.client();
    let uploaded = client.upload(b"kept by the kernel");
    site.kill_sidecar();
    site.start_sidecar();
    assert_eq!(client.get(&uploaded.path).body, b"kept by the kernel");
}

#[test]
fn the_status_tells_rooms_commits_and_mongodb() {
    let mut mongo = Mongo::start();
    let site = Builder::without_log().start(&mongo);
    let client = site.client();
    client.upload(&noise(1, 1000));
    client.upload(&noise(2, CHUNK + 1));
    site.wait_until_committed();
    mongo.stop();
    client.upload(b"pending");
    let status = site.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["node"], 1);
    assert!(status["uptime_seconds"].is_u64());
    let journal = &status["journal"];
    assert_eq!(journal["writable"], true);
    assert_eq!(journal["durability"], "disk");
    assert!(journal["poison"].is_null());
    assert_eq!(journal["corrupt_files"], 0);
    assert!(journal["oldest_pending_seconds"].is_u64());
    let rooms = journal["rooms"].as_object().unwrap();
    let names = ["deferred", "deleted", "hold", "incoming", "settled"];
    assert!(rooms.keys().eq(names), "{rooms:?}");
    assert_eq!(rooms["settled"]["entries"], 2);
    assert_eq!(rooms["settled"]["bytes"], 1000 + CHUNK + 1);
    assert_eq!(rooms["incoming"]["entries"], 1);
    assert_eq!(rooms["incoming"]["bytes"], 7);
    let commit = &status["commit"];
    assert_eq!(commit["committed_entries"], 2);
    assert_eq!(commit["committed_bytes"], 1000 + CHUNK + 1);
    assert_eq!(commit["committed_entries_last_minute"], 2);
    assert!(commit["failures"].is_u64());
    assert!(status["mongodb"]["last_seen_seconds"].is_u64());
    wait_until("the end of MongoDB is told", || {
        let mongodb = &site.status()["mongodb"];
        mongodb["state"] == "down" && mongodb["error"].is_string()
    });
}

#[test]
fn the_admin_socket_is_private_and_nginx_does_not_lead_to_it() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(site.admin_socket()), 0o600);
    assert_eq!(mode(site.socket()), 0o660);
    let client = site.client();
    for path in ["/status", "/metrics", "/hold/retry", "/files/../status"] {
        assert_eq!(client.get(path).status, 404, "{path}");
        let posted = client.post(path, &[], b"");
        assert!([404, 405].contains(&posted.status), "{path}: {posted:?}");
    }
    assert_eq!(site.ask_admin("GET", "/hold/retry").0, 405);
    assert_eq!(site.ask_admin("POST", "/files").0, 404);
}

#[test]
fn a_stop_under_load_ends_well_and_what_was_promised_goes_on_at_the_next_start() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    let slow = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 1000 };
    mongo.fail_sidecars("alwaysOn", slow);
    let stopped = std::thread::scope(|scope| {
        for number in 0..4 {
            let (client, ledger) = (site.client(), &ledger);
            scope.spawn(move || {
                let seeds = number * 1000..;
                // Until the first request that finds no sidecar.
                seeds
                    .map_while(|seed| ledger.try_upload(&client, seed, 500_000).ok())
                    .for_each(drop);
            });
        }
        wait_until("uploads and commits run", || {
            ledger.len() >= 8 && site.status()["commit"]["in_flight"].as_u64() > Some(0)
        });
        site.stop_sidecar()
    });
    assert_eq!(stopped.code(), Some(0), "{}", site.log());
    // MongoDB is still slow.
    site.start_sidecar();
    assert!(site.entries("incoming") > 0, "nothing was left to do");
    site.stop_sidecar();
    mongo.heal();
    site.start_sidecar();
    let client = site.client();
    ledger.assert_readable(&client);
    site.wait_until_empty();
    // A stop is orderly: every upload that is taken in gets an answer.
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_stop_does_not_wait_for_a_mongod_that_does_not_answer() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("stop_grace_seconds", 2)
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let ledger = Ledger::default();
    let stuck = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 9000 };
    mongo.fail_sidecars("alwaysOn", stuck);
    ledger.upload(&site.client(), 1, 500_000);
    wait_until("its commit runs", || {
        site.status()["commit"]["in_flight"] == 1
    });
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.start_sidecar();
    assert_eq!(site.entries("incoming"), 1);
    mongo.heal();
    site.wait_until_empty();
    mongo.assert_holds_just(&ledger);
}

#[test]
fn a_check_beside_a_running_sidecar_finds_all_good_and_harms_nothing() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let file = site.client().upload(b"still here");
    let (code, said, errors) = run(&site, &["check"], &[]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.lines().count() >= 4, "{said}");
    assert!(said.lines().all(|line| line.starts_with("good ")), "{said}");
    assert!(site.client().get(&file.path).body == b"still here");
    assert_eq!(site.names("spool"), Vec::<String>::new());
}

#[test]
fn a_check_names_everything_that_is_wrong() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let empty = tempfile::tempdir().unwrap();
    let (code, said, _) = run(
        &site,
        &["check", "--data-dir", empty.path().to_str().unwrap()],
        &[
            ("GRIDSPOOL_MONGODB_URI", NO_MONGODB),
            ("GRIDSPOOL_MONGODB_TIMEOUT_MS", "1000"),
            ("GRIDSPOOL_SOCKET", "/nowhere/at/all.sock"),
            ("GRIDSPOOL_ADMIN_SOCKET", "/run/gridspool-none/a.sock"),
        ],
    );
    assert_eq!(code, 1, "{said}");
    // The service makes such a directory.
    assert!(said.contains("later  /run/gridspool-none/a.sock"), "{said}");
    let is_wrong = |what: &str| {
        let mut lines = said.lines();
        lines.any(|line| line.starts_with("WRONG ") && line.contains(what))
    };
    assert!(is_wrong("gridspool-journal is missing"), "{said}");
    assert!(is_wrong("MongoDB"), "{said}");
    assert!(is_wrong("/nowhere/at/all.sock"), "{said}");
    let wrong = said.lines().filter(|line| line.starts_with("WRONG "));
    assert_eq!(wrong.count(), 3, "{said}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn every_wrong_setting_is_told_before_anything_is_opened() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (code, said, errors) = run(
        &site,
        &["--node", "0", "--data-dir", "here"],
        &[
            ("GRIDSPOOL_WORKERS", "many"),
            ("GRIDSPOOL_MONGODB_URI", "http://user:hunter2@host/"),
            ("GRIDSPOOL_SOCKET", &at("one.sock")),
            ("GRIDSPOOL_ADMIN_SOCKET", &at("two.sock")),
            ("GRIDSPOOL_RETRY_FIRST_MS", "60000"),
        ],
    );
    assert_eq!((code, said.as_str()), (78, ""), "{errors}");
    let names = [
        "node",
        "data_dir",
        "workers",
        "mongodb_uri",
        "retry_first_ms",
    ];
    for name in names {
        let mut lines = errors.lines();
        assert!(
            lines.any(|line| line.starts_with(&format!("gridspool: {name}: "))),
            "{name}: {errors}"
        );
    }
    assert_eq!(errors.lines().count(), names.len(), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    for arguments in [&["--colour", "red"][..], &["dance"], &["--node"]] {
        let (code, said, errors) = run(&site, arguments, &[]);
        assert_eq!((code, said.as_str()), (64, ""), "{arguments:?}");
        assert!(!errors.is_empty());
    }
    let (code, said, errors) = run(&site, &["--help"], &[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for part in ["--mongodb-uri", "GRIDSPOOL_JOURNAL_MAX_BYTES", "check"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let version = format!("gridspool {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&site, &["--version"], &[]), (0, version, String::new()));
}

#[test]
fn without_its_marker_a_journal_is_not_opened_since_the_disk_may_not_be_mounted() {
    let mongo = Mongo::start();
    let mut site = Site::start(&mongo);
    site.stop_sidecar();
    let marker = site.data_dir().join("journal/gridspool-journal");
    std::fs::remove_file(&marker).unwrap();
    let (code, _, errors) = run(&site, &[], &[]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("is the disk mounted?"), "{errors}");
    assert!(!marker.exists());
    let (code, _, errors) = run(&site, &["init"], &[]);
    assert_eq!(code, 0, "{errors}");
    site.start_sidecar();
    site.client().upload(b"all is well");
}

#[test]
fn a_spool_that_cannot_be_linked_from_is_found_out_before_anything_is_served() {
    let mut site = Site::without_mongodb();
    let (spool, memory) = (site.data_dir().join("spool"), Path::new("/dev/shm"));
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    if device(memory).is_none_or(|found| device(&spool) == Some(found)) {
        skip("a spool elsewhere", "there is no other file system");
        return;
    }
    site.stop_nginx();
    site.stop_sidecar();
    let elsewhere = tempfile::tempdir_in(memory).unwrap();
    std::fs::remove_dir(&spool).unwrap();
    symlink(elsewhere.path(), &spool).unwrap();
    for arguments in [&[][..], &["check"]] {
        let (code, said, errors) = run(&site, arguments, &[]);
        assert_eq!(code, 1, "{said}{errors}");
        let told = "spool files cannot be linked into the journal";
        assert!(
            said.contains(told) || errors.contains(told),
            "{said}{errors}"
        );
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    std::fs::remove_file(&spool).unwrap();
    std::fs::create_dir(&spool).unwrap();
    site.start_sidecar();
    site.start_nginx();
    site.client().upload(&noise(1, 100_000));
}

#[test]
fn the_credentials_of_mongodb_reach_no_log_no_status_and_no_check() {
    let mongo = Mongo::start();
    let uri = mongo
        .uri()
        .replace("mongodb://", "mongodb://someone:hunter2@");
    let site = Builder::default()
        .set("log", "trace")
        .set("mongodb_timeout_ms", 2000)
        .start_with_uri(&uri);
    site.client().upload(b"pending");
    wait_until("MongoDB has refused the login", || {
        let error = &site.status()["mongodb"]["error"];
        error.as_str().is_some_and(|error| error.contains("SCRAM"))
    });
    let (code, said, errors) = run(&site, &["check"], &[]);
    assert_eq!(code, 1, "{said}");
    let texts = [site.log(), site.status().to_string(), said, errors];
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
