//! One file under all texts that mean its id.

use kit::{Builder, Keys, Mongo, Uploaded};
use mongodb::bson::doc;

use crate::interop::segment;

const BODY: &[u8] = b"0123456789";

#[test]
fn an_id_in_extended_json_is_the_same_file_in_the_journal_and_in_mongodb() {
    let keys = Keys::make();
    let mongo = Mongo::start();
    let builder = keys.guard(Builder::default());
    let site = builder.set("settled_grace_seconds", 0).start(&mongo);
    let client = site.client();
    let bearer = keys.bearer(&["--scope", "upload"]);
    let upload = || Uploaded::read(&client.post("/files", &[("Authorization", &bearer)], BODY));
    let spellings = |id: &str| {
        let upper = id.to_uppercase();
        [
            format!("{{\"$oid\":\"{id}\"}}"),
            format!(" {{ \"$oid\" :\t\"{upper}\" }} "),
            format!("{{\"\\u0024oid\":\"{id}\"}}"),
        ]
    };
    let path = |key: &str| format!("/files/{}", segment(key));
    let ask = |method: &str, path: &str, key: &str| {
        let bearer = keys.bearer(&["--scope", "download delete", "--file", key]);
        client.ask(method, path, &[("Authorization", &bearer)])
    };
    // First pending, as nothing reaches MongoDB, then committed.
    for is_pending in [true, false] {
        if is_pending {
            mongo.hide_from_sidecars();
        }
        for place in 0..3 {
            let file = upload();
            let spelling = &spellings(&file.id)[place];
            if !is_pending {
                site.wait_until_empty();
            }
            for (asked, claimed) in [
                (&file.id, spelling),
                (spelling, &file.id),
                (spelling, spelling),
            ] {
                let answer = ask("GET", &path(asked), claimed);
                assert_eq!(
                    (answer.status, &*answer.body),
                    (200, BODY),
                    "{asked} {claimed}"
                );
                assert_eq!(answer.header("etag"), file.etag);
                let meta = ask("GET", &format!("{}/meta", path(asked)), claimed);
                assert_eq!(meta.json()["id"], file.id);
            }
            assert_eq!(
                ask("DELETE", &path(spelling), &file.id).status,
                204,
                "{spelling}"
            );
            for key in [&file.id, spelling] {
                ask("GET", &path(key), key).assert_problem(404, "not-found");
            }
        }
        mongo.heal();
    }
    site.wait_until_empty();
    assert_eq!(mongo.count(&mongo.files(), doc! {}), 0);
    assert_eq!(mongo.count(&mongo.chunks(), doc! {}), 0);
}
