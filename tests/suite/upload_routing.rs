//! Requests for resumable uploads that come to another node than the one that has them.

use kit::{Builder, Cluster};

/// An upload that the node with this number could have made.
fn upload_of(node: u16) -> String {
    format!("/uploads/65000000{node:04x}000001000001")
}

#[test]
fn an_upload_of_a_node_that_is_away_is_unavailable_and_not_absent() {
    let mut cluster = Cluster::start_without_mongodb(2, &Builder::without_log());
    let path = upload_of(1);
    let ask = |cluster: &Cluster, method: &str, sent_on: &[(&str, &str)]| {
        cluster.nodes[1].client().ask(method, &path, sent_on)
    };
    for method in ["HEAD", "PATCH", "DELETE"] {
        assert_eq!(ask(&cluster, method, &[]).status, 404, "{method}");
        // A node sends no request on that another has sent.
        let answer = ask(&cluster, method, &[("X-Gridspool-Hop", "1")]);
        assert_eq!(answer.status, 503, "{method}");
    }
    cluster.nodes[0].stop_nginx();
    for method in ["HEAD", "PATCH", "DELETE"] {
        let answer = ask(&cluster, method, &[]);
        assert_eq!(answer.status, 503, "{method}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
}
