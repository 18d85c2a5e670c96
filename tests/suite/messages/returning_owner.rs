//! A node that was away learns from MongoDB which of its messages were deleted meanwhile.

use kit::{Builder, Cluster, Mongo, noise, object_id, wait_until};
use mongodb::bson::doc;

use super::{FORM, post, sent, taken, text};

#[test]
fn a_node_that_is_back_shows_no_deleted_message_once_its_own_copy_is_gone() {
    let mongo = Mongo::start();
    let cluster = Cluster::start(2, &Builder::without_log(), &mongo);
    let clients = cluster.clients();
    let form = sent("m 1", &noise(1, 30_000), &noise(2, 300_000));
    let message = taken(&post(&clients[0], FORM, &form));
    let url = text(&message, "url");
    cluster.nodes[0].wait_until_committed();
    cluster.nodes[0].freeze();
    cluster.wait_until_seen(1, 1, "down");
    assert_eq!(clients[1].delete(url).status, 204);
    // Nobody tells the first node of it.
    cluster.nodes[1].freeze();
    cluster.nodes[0].thaw();
    let package = doc! { "_id": object_id(text(&message, "id")) };
    wait_until("its sweep has removed the message", || {
        // Such a reader keeps the message in the node's memory.
        clients[0].get(url);
        mongo.count(&mongo.files(), package.clone()) == 0
    });
    clients[0].get(url).assert_problem(404, "not-found");
    cluster.nodes[1].thaw();
}
