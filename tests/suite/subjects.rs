//! Files by the subject of the token that they were uploaded with.

use kit::{Answer, Builder, CHUNK, Client, Keys, Mongo, noise, object_id};
use mongodb::bson::doc;

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");

/// A form of these files.
fn form(files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        let head = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
        body.extend([head.as_bytes(), file, b"\r\n"].concat());
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

/// Uploads by every way that there is; the ids, and all that the answers tell.
fn upload_all(client: &Client, keys: &Keys, options: &[&str]) -> (Vec<String>, String) {
    let bearer = keys.bearer(&[&["--scope", "upload message"], options].concat());
    let token = ("Authorization", bearer.as_str());
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| -> Answer {
        let answer = client.post(path, &[headers, &[token]].concat(), body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    };
    let [small, large] = [noise(1, 100), noise(2, CHUNK + 1)];
    let key = ("Idempotency-Key", "again");
    let to = b"--b\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\nbob\r\n";
    let message = [to, &form(&[&large])[..]].concat();
    let answers = [
        post("/files", &[], b""),
        post("/files", &[], &small),
        post("/files", &[key], &small),
        post("/files", &[key], &small),
        post("/files", &[], &large),
        post("/files", &[FORM], &form(&[&small])),
        post("/files", &[FORM], &form(&[&small, b"b"])),
        post("/files", &[FORM], &form(&[&large, b"b"])),
        post("/messages", &[FORM], &message),
    ];
    let mut ids = Vec::new();
    for answer in &answers {
        let json = answer.json();
        let files = ["files", "parts"].map(|name| json[name].as_array().cloned());
        let files = files.into_iter().flatten().flatten();
        for file in files.chain([json]) {
            let id = file["id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    let told = answers.map(|answer| String::from_utf8(answer.body).unwrap());
    (ids, told.concat())
}

#[test]
fn the_subject_of_an_upload_is_kept_in_its_document_and_clients_see_nothing_of_it() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let keys = Keys::make();
    let mut site = keys.guard(Builder::default()).start(&mongo);
    let client = site.client();
    let (of_alice, told) = upload_all(&client, &keys, &["--sub", "alice größe"]);
    let (of_nobody, _) = upload_all(&client, &keys, &[]);
    assert_eq!((of_alice.len(), of_nobody.len()), (11, 11));
    assert!(!told.contains("alice"), "{told}");
    // They are committed from what the journal has.
    site.kill_sidecar();
    site.start_sidecar();
    mongo.heal();
    site.wait_until_committed();
    let bearer = keys.bearer(&["--scope", "download"]);
    for (ids, sub) in [(of_alice, Some("alice größe")), (of_nobody, None)] {
        for id in ids {
            let found = mongo.find("fs.files", doc! { "_id": object_id(&id) });
            let metadata = found[0].get_document("metadata").unwrap();
            assert_eq!(metadata.get_str("sub").ok(), sub, "{id}");
            let meta = client.get_with(&format!("/files/{id}/meta"), &[("Authorization", &bearer)]);
            assert_eq!(meta.status, 200);
            let meta = String::from_utf8(meta.body).unwrap();
            assert!(!meta.contains("alice"), "{meta}");
        }
    }
}
