//! Slices of files that are gone leave nginx's cache.

use kit::{Builder, Mongo, Uploaded, noise, object_id, wait_until};
use mongodb::bson::doc;

#[test]
fn what_is_deleted_leaves_nginxs_cache_at_once_and_what_is_gone_elsewhere_soon() {
    let mongo = Mongo::start();
    let mut site = Builder::default()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let bodies = [5_000_000, 3_000, 5_000_001, 3_001, 2_000_000].map(|length| noise(1, length));
    let files: Vec<Uploaded> = bodies.iter().map(|body| client.upload(body)).collect();
    site.wait_until_empty();
    for _ in 0..2 {
        for (file, body) in files.iter().zip(&bodies) {
            assert!(client.get(&file.path).body == *body);
        }
    }
    let all: usize = bodies.iter().map(Vec::len).sum();
    // Each slice with its head.
    let has = |bytes: usize| (bytes..bytes + 20_000).contains(&site.cached_bytes());
    wait_until("all is cached", || has(all));
    for file in &files[..2] {
        assert_eq!(client.delete(&file.path).status, 204);
    }
    let left = all - bodies[0].len() - bodies[1].len();
    assert!(has(left), "{} of {left}", site.cached_bytes());
    // The file is replaced like by another node or another driver.
    for file in &files[2..4] {
        let id = object_id(&file.id);
        mongo.block_on(async {
            mongo.files().delete_one(doc! { "_id": id }).await.unwrap();
            mongo
                .chunks()
                .delete_many(doc! { "files_id": id })
                .await
                .unwrap();
        });
    }
    assert_eq!(site.stop_sidecar().code(), Some(0));
    site.reconfigure(|builder| builder.set("cache_check_seconds", 1));
    site.start_sidecar();
    let left = bodies[4].len();
    wait_until("they have left the cache", || {
        (left..left + 20_000).contains(&site.cached_bytes())
    });
    // The walk leaves slices of existing files.
    for file in &files[..4] {
        client.get(&file.path).assert_problem(404, "not-found");
    }
    assert!(client.get(&files[4].path).body == bodies[4]);
}
