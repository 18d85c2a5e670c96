//! Resumable uploads, behind one name.

use kit::{Cluster, curl, noise, wait_until};

/// Asserts that requests for an upload go straight to the node whose number is in its id, whether
/// the node takes new uploads or not.
pub(crate) fn assert_each_goes_to_its_node(cluster: &Cluster, url: &str) {
    let [first, second] = [&cluster.nodes[0], &cluster.nodes[1]];
    let sent = |node: u16, method: &str, seconds: u32| {
        let path = format!("/uploads/{seconds:08x}{node:04X}000001000001");
        let address = format!("{url}{path}");
        let mut arguments = vec!["-X", method];
        match method {
            "HEAD" => arguments.push("-I"),
            "PATCH" => arguments.extend(["--data-binary", "@body"]),
            _ => {}
        }
        arguments.push(&address);
        // Without MongoDB no node knows whether there is such an upload.
        curl(("body", &noise(1, 100_000)), &arguments);
        format!("\"{method} {path} ")
    };
    for (node, other, drained) in [(first, second, false), (second, first, true)] {
        let number = if drained { 2 } else { 1 };
        if drained {
            assert_eq!(node.ask_admin("POST", "/drain").0, 200);
        }
        let lines = ["HEAD", "PATCH", "DELETE"].map(|method| sent(number, method, 7));
        wait_until("its node has logged them", || {
            let log = node.access_log();
            lines.iter().all(|line| log.contains(line))
        });
        // A line of the other node would be there by now, too.
        let last = sent(3 - number, "HEAD", 9);
        wait_until("the other node has logged this", || {
            other.access_log().contains(&last)
        });
        for line in lines {
            assert!(!other.access_log().contains(&line), "{line}");
        }
        assert_eq!(node.ask_admin("DELETE", "/drain").0, 200);
    }
}
