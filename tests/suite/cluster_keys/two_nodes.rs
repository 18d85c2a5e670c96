//! A cluster of two nodes, with MongoDB as the third witness of a key.

use kit::{Builder, Cluster, Mongo};

use super::{lasting, put, until_sure};

#[test]
fn of_two_nodes_one_alone_takes_keyed_uploads_while_mongodb_answers_and_none_is_taken_twice() {
    let mut mongo = Mongo::start();
    let mut cluster = Cluster::start(2, &Builder::default(), &mongo);
    let [first, second] = [0, 1].map(|node| cluster.nodes[node].client());
    let before = lasting(&put(&second, "before", b"before"));
    assert_eq!(lasting(&put(&first, "before", b"before")), before);
    cluster.nodes[1].kill_sidecar();
    // What the other one may have answered is refused, and what is new is taken.
    put(&first, "before", b"before").assert_problem(503, "key-unsure");
    let alone = lasting(&put(&first, "alone", b"alone"));
    assert_eq!(lasting(&put(&first, "alone", b"alone")), alone);
    // Each of them is alone in turn, and MongoDB's vote stands.
    cluster.nodes[0].kill_sidecar();
    cluster.nodes[1].start_sidecar();
    put(&second, "alone", b"alone").assert_problem(503, "key-unsure");
    let other = lasting(&put(&second, "other", b"other"));
    cluster.nodes[0].start_sidecar();
    for client in [&first, &second] {
        for (key, answer) in [("before", &before), ("alone", &alone), ("other", &other)] {
            let again = until_sure(client, key, key.as_bytes());
            assert_eq!(&lasting(&again), answer, "{key}");
        }
    }
    mongo.kill();
    cluster.nodes[1].kill_sidecar();
    put(&first, "nobody", b"nobody").assert_problem(503, "key-unsure");
}
