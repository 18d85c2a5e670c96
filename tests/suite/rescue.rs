//! The journal of a node that is dead for good, taken over by another one, by `scripts/rescue`.

use std::path::PathBuf;
use std::process::{Command, Output};

use kit::{
    Builder, CHECKOUT, Client, Cluster, Mongo, Site, Uploaded, eventually, noise, wait_until,
};
use mongodb::bson::doc;
use serde_json::Value;

const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");
const MORE: (&str, &str) = ("Upload-Complete", "?0");
const LAST: (&str, &str) = ("Upload-Complete", "?1");

fn journal(site: &Site) -> PathBuf {
    site.data_dir().join("journal")
}

/// Lets a node rescue another one, by the script.
fn rescue(by: &Site, dead: &Site, number: &str) -> Output {
    let script = format!("{CHECKOUT}/scripts/rescue");
    let mut rescue = Command::new(script);
    rescue.arg("--journal").arg(journal(dead));
    rescue
        .args(["--dead", number, "--socket"])
        .arg(by.admin_socket());
    rescue.output().unwrap()
}

pub(crate) fn assert_rescued(by: &Site, dead: &Site) -> Value {
    let done = rescue(by, dead, "1");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    progress(by)
}

fn progress(site: &Site) -> Value {
    let (status, body) = site.ask_admin("GET", "/rescue");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn put_keyed(client: &Client, key: &str, content: &[u8]) -> Uploaded {
    Uploaded::read(&client.post("/files", &[("Idempotency-Key", key)], content))
}

/// Files that wait for their commit on the first node of a cluster, of all kinds.
fn fill(client: &Client, count: u64) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for number in 0..count {
        let length = if number % 8 == 0 { 300_000 } else { 900 };
        let content = noise(number, length);
        files.push((client.upload(&content).path, content));
    }
    for number in 0..count / 16 {
        let parts = [noise(1000 + number, 70_000), noise(2000 + number, 500)];
        let paths = client.upload_form([&parts[0], &parts[1]]);
        files.extend(paths.into_iter().zip(parts));
    }
    files
}

/// Kills the first node for good, and waits until the others have noticed that, and that MongoDB is back.
fn bury(cluster: &mut Cluster, mongo: &Mongo) {
    cluster.nodes[0].kill_all();
    mongo.heal();
    for place in [1, 2] {
        cluster.wait_until_seen(place, 1, "down");
        let node = &cluster.nodes[place];
        wait_until("MongoDB is back", || {
            node.status()["mongodb"]["state"] == "up"
        });
    }
}

fn assert_there(cluster: &Cluster, files: &[(String, Vec<u8>)]) {
    for (place, node) in cluster.nodes.iter().enumerate().skip(1) {
        let client = node.client();
        for (path, content) in files {
            eventually("the node asks the rescuer", || {
                let answer = client.get(path);
                assert!(
                    matches!(answer.status, 200 | 503),
                    "{place}: {path}: {answer:?}"
                );
                (answer.status == 200).then(|| assert!(answer.body == *content, "{path}"))
            });
        }
    }
}

#[test]
fn all_that_a_dead_node_has_promised_is_taken_over_and_what_was_deleted_stays_deleted() {
    let mongo = Mongo::start();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let mut cluster = Cluster::start(3, &builder, &mongo);
    let client = cluster.nodes[0].client();
    let committed = client.upload(&noise(7000, 900));
    cluster.nodes[0].wait_until_empty();
    // Commits are cut between the chunks and the document.
    let refused = doc! {
        "failCommands": ["insert"], "namespace": "gridspool.fs.files", "errorCode": 2,
    };
    mongo.fail_sidecars("alwaysOn", refused);
    let half = [400_000, 500_000].map(|length| {
        let content = noise(7001, length);
        (client.upload(&content).path, content)
    });
    wait_until("their chunks are there", || {
        mongo.count(&mongo.chunks(), doc! {}) == 5
    });
    mongo.hide_from_sidecars();
    let mut files = fill(&client, 64);
    let [kept, gone] = half;
    files.push(kept);
    let keyed = put_keyed(&client, "a-key", &noise(7002, 900));
    files.push((keyed.path.clone(), noise(7002, 900)));
    let deleted = client.upload(&noise(7003, 300_000));
    for path in [&deleted.path, &gone.0] {
        assert_eq!(client.delete(path).status, 204);
    }
    let body = noise(7004, 400_000);
    let begun = client.post("/files", &[MORE], &body[..200_000]);
    assert_eq!(begun.status, 201, "{begun:?}");
    let upload = begun.header("location").to_owned();
    let small = &body[200_000..200_500];
    let grown = client.patch(
        &upload,
        &[PARTIAL, ("Upload-Offset", "200000"), MORE],
        small,
    );
    assert_eq!(grown.status, 204, "{grown:?}");
    bury(&mut cluster, &mongo);
    let (second, third) = (cluster.nodes[1].client(), cluster.nodes[2].client());
    third.get(&files[0].0).assert_problem(503, "unavailable");

    let done = assert_rescued(&cluster.nodes[1], &cluster.nodes[0]);
    assert_eq!(
        (&done["unreadable"], &done["missing"]),
        (&0.into(), &0.into()),
        "{done}"
    );
    assert_there(&cluster, &files);
    for client in [&second, &third] {
        for path in [&deleted.path, &gone.0] {
            wait_until("a deleted file stays deleted", || {
                client.get(path).status == 404
            });
        }
        assert_eq!(client.get(&committed.path).status, 200);
    }
    assert_eq!(put_keyed(&second, "a-key", &noise(7002, 900)).id, keyed.id);
    wait_until("the upload is there", || {
        let answer = third.head(&upload);
        answer.status == 204 && answer.header("upload-offset") == "200500"
    });
    let rest = &body[200_500..];
    let last = third.patch(&upload, &[PARTIAL, ("Upload-Offset", "200500"), LAST], rest);
    assert!(matches!(last.status, 200 | 201 | 204), "{last:?}");
    files.push((upload.replace("/uploads/", "/files/"), body.clone()));
    assert_there(&cluster, &files);
    cluster.nodes[1].wait_until_empty();
    let documents = u64::try_from(files.len()).unwrap() + 1;
    assert_eq!(mongo.count(&mongo.files(), doc! {}), documents);

    // A file that is deleted now does not come back by another rescue.
    assert_eq!(third.delete(&files[0].0).status, 204);
    let again = assert_rescued(&cluster.nodes[1], &cluster.nodes[0]);
    assert_eq!(again["taken"], 0, "{again}");
    second.get(&files[0].0).assert_problem(404, "not-found");
    // No other node takes it, and its own does not start on it.
    let other = rescue(&cluster.nodes[2], &cluster.nodes[0], "1");
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("taken over by node 2"),
        "{other:?}"
    );
    let started = cluster.nodes[0].command().output().unwrap();
    assert_eq!(started.status.code(), Some(78), "{started:?}");
    let words = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(words.contains("taken over by node 2"), "{words}");
}

#[test]
fn a_rescue_that_is_cut_again_and_again_takes_everything_once() {
    let mongo = Mongo::start();
    let builder = Builder::default().set("settled_grace_seconds", 0);
    let mut cluster = Cluster::start(3, &builder, &mongo);
    mongo.hide_from_sidecars();
    let client = cluster.nodes[0].client();
    let files = fill(&client, 320);
    let deleted = client.upload(&noise(7003, 900));
    assert_eq!(client.delete(&deleted.path).status, 204);
    bury(&mut cluster, &mongo);
    let path = journal(&cluster.nodes[0]);
    let target = format!("/rescue?journal={}&node=1", path.display());
    for cut in 1..4_u64 {
        let rescuer = &mut cluster.nodes[1];
        let (status, answer) = rescuer.ask_admin("POST", &target);
        assert_eq!(status, 200, "{answer}");
        wait_until("it is in the midst of it", || {
            let at = progress(rescuer);
            at["taken"].as_u64().unwrap() >= 60 * cut || at["running"] == false
        });
        // A file that is on its way cannot be deleted.
        rescuer.kill_sidecar();
        rescuer.start_sidecar();
        wait_until("MongoDB is there", || {
            rescuer.status()["mongodb"]["state"] == "up"
        });
        cluster.wait_until_seen(1, 1, "down");
    }
    let done = assert_rescued(&cluster.nodes[1], &cluster.nodes[0]);
    assert_eq!(done["unreadable"], 0, "{done}");
    assert_there(&cluster, &files);
    cluster.nodes[1].wait_until_empty();
    assert_there(&cluster, &files);
    let third = cluster.nodes[2].client();
    third.get(&deleted.path).assert_problem(404, "not-found");
    let documents = u64::try_from(files.len()).unwrap();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), documents);
}

#[test]
fn a_journal_in_use_and_a_node_that_answers_are_not_rescued() {
    let mongo = Mongo::start();
    let cluster = Cluster::start(2, &Builder::default(), &mongo);
    let [first, second] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let alive = rescue(second, first, "1");
    assert_eq!(alive.status.code(), Some(1), "{alive:?}");
    assert!(
        String::from_utf8_lossy(&alive.stderr).contains("node 1 answers"),
        "{alive:?}"
    );
    first.freeze();
    cluster.wait_until_seen(1, 1, "down");
    let frozen = rescue(second, first, "1");
    assert_eq!(frozen.status.code(), Some(1), "{frozen:?}");
    assert!(
        String::from_utf8_lossy(&frozen.stderr).contains("locked"),
        "{frozen:?}"
    );
    first.thaw();
}
