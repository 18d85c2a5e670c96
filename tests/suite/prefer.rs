//! Uploads of clients that prefer to wait for the commit, or not to wait at all.

use std::io::Write as _;

use kit::{Answer, Builder, Client, Mongo, Site, noise, wait_until};

const FORM: &str = "multipart/form-data; boundary=b";

/// One upload for each way into the journal.
fn uploads() -> Vec<(&'static str, Vec<u8>)> {
    let part = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nhello\r\n";
    let form = format!("{part}{part}--b--\r\n");
    vec![
        ("text/plain", b"small".to_vec()),
        ("text/plain", noise(1, 300_000)),
        (FORM, form.into_bytes()),
    ]
}

fn post(client: &Client, prefer: &str, content_type: &str, body: &[u8]) -> Answer {
    let headers = [("Prefer", prefer), ("Content-Type", content_type)];
    client.post("/files", &headers, body)
}

/// Asserts the state in all places of an answer.
fn assert_state(answer: &Answer, status: u16, state: &str, applied: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("Gridspool-State"), state);
    assert_eq!(answer.header("Preference-Applied"), applied);
    let json = answer.json();
    if let Some(files) = json["files"].as_array() {
        assert!(files.iter().any(|file| file["state"] == state), "{files:?}");
    } else {
        assert_eq!(json["state"], state);
        assert_eq!(json["url"], answer.header("Location"));
    }
}

fn waiting(site: &Site) -> u64 {
    site.status()["commit"]["waiting"].as_u64().unwrap()
}

fn hidden() -> (Mongo, Site) {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let site = Site::start(&mongo);
    (mongo, site)
}

#[test]
fn who_waits_is_told_that_the_file_is_committed() {
    let mongo = Mongo::start();
    let site = Site::start(&mongo);
    for (content_type, body) in uploads() {
        let answer = post(&site.client(), "wait=60", content_type, &body);
        assert_state(&answer, 201, "committed", "wait=60");
        // Everything happened in time: nothing was answered early.
        let answer = post(
            &site.client(),
            "respond-async, wait=3600",
            content_type,
            &body,
        );
        assert_state(&answer, 201, "committed", "wait=60");
    }
    assert_eq!(waiting(&site), 0);
    assert_eq!(site.status()["commit"]["committed_entries"], 8);
}

#[test]
fn who_has_waited_in_vain_is_told_that_the_file_is_pending() {
    let site = Site::without_mongodb();
    for (content_type, body) in uploads() {
        let answer = post(&site.client(), "wait=1", content_type, &body);
        assert_state(&answer, 201, "pending", "wait=1");
        let answer = post(&site.client(), "wait=0, respond-async", content_type, &body);
        assert_state(&answer, 202, "pending", "respond-async, wait=0");
    }
    assert_eq!(waiting(&site), 0);
}

#[test]
fn who_does_not_like_to_wait_gets_a_202_and_the_file_is_there() {
    let site = Site::without_mongodb();
    let client = site.client();
    for (content_type, body) in uploads() {
        let answer = post(&client, "respond-async", content_type, &body);
        assert_state(&answer, 202, "pending", "respond-async");
        if content_type != FORM {
            assert!(client.get(answer.header("Location")).body == body);
        }
        let answer = post(&client, "handling=lenient, wait=soon", content_type, &body);
        assert_state(&answer, 201, "pending", "");
    }
}

#[test]
fn a_commit_wakes_all_who_wait_for_it() {
    let (mongo, site) = hidden();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let sending: Vec<_> = uploads()
            .into_iter()
            .map(|(content_type, body)| {
                let client = site.client();
                scope.spawn(move || post(&client, "wait=60", content_type, &body))
            })
            .collect();
        wait_until("all wait, for both files of the form too", || {
            waiting(&site) == 4
        });
        mongo.heal();
        sending.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in answers {
        assert_state(&answer, 201, "committed", "wait=60");
    }
}

/// All but one of the 200 allowed waiters exist already. The next client is answered at once, and told
/// that its preference was not applied; after one waiter has left there is room again.
fn find_no_room_to_wait(site: &Site, request: &str) {
    let mut others: Vec<_> = (0..199).map(|_| site.connect()).collect();
    for other in &mut others {
        other.write_all(request.as_bytes()).unwrap();
    }
    wait_until("so many wait", || waiting(site) == 200);
    for (content_type, body) in uploads() {
        let client = site.client();
        let answer = post(&client, "wait=60", content_type, &body);
        assert_state(&answer, 201, "pending", "");
        let answer = post(&client, "respond-async, wait=60", content_type, &body);
        assert_state(&answer, 202, "pending", "respond-async");
    }
    assert_eq!(waiting(site), 200);
    drop(others);
    wait_until("they have left", || waiting(site) == 1);
    let answer = post(&site.client(), "wait=0", "text/plain", b"heeded");
    assert_state(&answer, 201, "pending", "wait=0");
}

#[test]
fn a_client_that_goes_away_waits_no_longer() {
    let (mongo, site) = hidden();
    let answer = std::thread::scope(|scope| {
        let client = site.client();
        let staying = scope.spawn(move || post(&client, "wait=60", "text/plain", b"stays"));
        wait_until("one waits", || waiting(&site) == 1);
        let mut leaving = site.connect();
        let request =
            "POST /files HTTP/1.1\r\nHost: a\r\nPrefer: wait=60\r\nContent-Length: 1\r\n\r\nx";
        leaving.write_all(request.as_bytes()).unwrap();
        wait_until("two wait", || waiting(&site) == 2);
        drop(leaving);
        // The first one's time is over before the second one's.
        wait_until("one has left", || waiting(&site) == 1);
        find_no_room_to_wait(&site, request);
        mongo.heal();
        staying.join().unwrap()
    });
    assert_state(&answer, 201, "committed", "wait=60");
}

#[test]
fn a_sidecar_that_stops_answers_all_who_wait() {
    let (_mongo, mut site) = hidden();
    let client = site.client();
    let sending = std::thread::spawn(move || post(&client, "wait=60", "text/plain", b"x"));
    wait_until("one waits", || waiting(&site) == 1);
    assert!(site.stop_sidecar().success());
    assert_state(&sending.join().unwrap(), 201, "pending", "wait=60");
}

#[test]
fn who_waits_for_a_file_that_is_deleted_is_told_so() {
    let site = Builder::without_log().start_without_mongodb();
    let client = site.client();
    let send = |prefer: &str| {
        let headers = [("Prefer", prefer), ("Idempotency-Key", "k")];
        client.post("/files", &headers, b"hello")
    };
    let path = send("").header("Location").to_owned();
    let answer = std::thread::scope(|scope| {
        let waits = scope.spawn(|| send("respond-async, wait=60"));
        wait_until("one waits", || waiting(&site) == 1);
        assert_eq!(site.client().delete(&path).status, 204);
        waits.join().unwrap()
    });
    assert_state(&answer, 201, "deleted", "wait=60");
}
