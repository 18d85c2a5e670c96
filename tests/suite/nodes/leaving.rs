//! Nodes that leave.

use kit::{Load, Process, Site, eventually, noise, wait_until};
use mongodb::bson::doc;

use super::{Cluster, kill, order};

#[test]
fn a_node_leaves_when_its_last_file_is_in_mongodb_and_its_number_is_free_again() {
    let cluster = Cluster::start();
    let second = cluster.add(2);
    // A node that has left is unknown, whatever the settings of others say.
    let mut nodes = [cluster.add_beside(1, (2, &second)), second];
    nodes.iter().for_each(Site::wait_until_open);
    cluster.stop_commits();
    let content = noise(1, 100_000);
    let file = nodes[1].client().upload(&content);
    let listed = order(&nodes[0], &["list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains(&nodes[1].url()), "{listed}");
    let mut removing = nodes[0].command();
    removing.args(["node", "remove", "2"]);
    let words = cluster.scratch.path().join("words");
    removing.stderr(std::fs::File::create(&words).unwrap());
    let mut removing = Process::spawn(&mut removing);
    wait_until("it takes no more files", || {
        nodes[1].client().post("/files", &[], b"x").status == 503
    });
    assert!(removing.is_running(), "it has a file still");
    assert!(nodes[0].client().get(&file.path).body == content);
    // MongoDB may be away meanwhile.
    let away = doc! { "failCommands": ["find", "update", "findAndModify"], "errorCode": 91 };
    cluster.mongo.fail_command("alwaysOn", away);
    wait_until("the admin reads that", || {
        let words = std::fs::read_to_string(&words).unwrap();
        words.contains("waiting for node 2: the store is not available")
    });
    cluster.stop_commits();
    // It begins anew meanwhile, and is asked once more.
    nodes[1].kill_sidecar();
    nodes[1].start_sidecar();
    wait_until("it takes no more files again", || {
        let refused = nodes[1].client().post("/files", &[], b"x");
        refused.status == 503 && refused.json()["type"] == "urn:gridspool:problem:draining"
    });
    cluster.mongo.heal();
    wait_until("it may go", || !removing.is_running());
    let left = cluster.record(2);
    assert!(left.get_datetime("left").is_ok(), "{left}");
    assert!(nodes[0].client().get(&file.path).body == content);
    let stays = nodes[1].client().post("/files", &[], b"x");
    stays.assert_problem(503, "draining");
    kill(&mut nodes[1]);
    let unknown = "/files/6500000000020102030405ff";
    // The others know that it has left, also those whose settings name it.
    assert_eq!(nodes[0].client().get(unknown).status, 404);
    // Another machine may have the number.
    let another = cluster.add(2);
    another.wait_until_open();
    another.client().upload(b"content");
}

#[test]
fn a_node_whose_files_were_given_up_takes_no_uploads_and_its_files_are_found_if_it_comes_back() {
    let mut cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2]);
    wait_until("the next start need not wait", || {
        nodes[1].data_dir().join("journal/number").exists()
    });
    let remove = |nodes: &[Site]| {
        order(&nodes[0], &["remove", "2", "--force"])
            .status
            .success()
    };
    kill(&mut nodes[1]);
    assert!(remove(&nodes));
    let refused = nodes[1].command().output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("has given up the files of node 2"), "{told}");
    // While MongoDB is away it cannot know, and takes a file.
    cluster.mongo.stop();
    nodes[1].start_sidecar();
    nodes[1].start_nginx();
    let file = nodes[1].client().upload(&noise(1, 100_000));
    cluster.mongo.restart();
    cluster.mongo.wait_for_primary();
    cluster.stop_commits();
    let client = nodes[1].client();
    wait_until("it knows", || client.get("/healthz").status == 503);
    let refused = client.post("/files", &[], b"x");
    refused.assert_problem(503, "not-listed");
    for node in &nodes {
        wait_until("the file is found", || {
            node.client().get(&file.path).status == 200
        });
    }
    let told = nodes[1].status()["cluster"]["takes_no_uploads"].to_string();
    assert!(told.contains("has given up the files of node 2"), "{told}");
    let added = order(&nodes[1], &["add"]);
    assert!(added.status.success(), "{added:?}");
    nodes[1].wait_until_open();
    // Another node has its files, so nobody asks it for any.
    cluster.change(2, doc! { "$set": { "rescued_by": 1 } });
    wait_until("it takes no uploads", || {
        client.get("/healthz").status == 503
    });
    let added = order(&nodes[1], &["add"]);
    assert_eq!(added.status.code(), Some(1), "{added:?}");
    assert!(nodes[1].stop_sidecar().success());
    let refused = nodes[1].command().output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("node 1 has taken over the files"), "{told}");
}

#[test]
fn three_nodes_become_five_and_then_two_under_load_and_no_request_fails() {
    let cluster = Cluster::start();
    let mut nodes = cluster.add_all(&[1, 2, 3]);
    let (first, second) = (nodes[0].client(), nodes[1].client());
    let stay = [first.clone(), second.clone()];
    let load_at = |site: &Site| Load::light(&site.client(), &stay);
    let mut steady = Load::light(&first, &[second.clone(), nodes[2].client()]);
    let mut passing = vec![load_at(&nodes[2])];
    steady.go_on(5);
    steady.stop();
    let mut loads = vec![steady];
    let mut steady = Load::light(&first, std::slice::from_ref(&second));
    for node in cluster.add_all(&[4, 5]) {
        passing.push(load_at(&node));
        nodes.push(node);
    }
    for load in &passing {
        load.go_on(5);
    }
    for (place, mut load) in passing.into_iter().enumerate().rev() {
        // Its clients go elsewhere first, as a balancer sends them.
        load.stop();
        let number = (place + 3).to_string();
        let removed = order(&nodes[0], &["remove", &number]);
        assert!(removed.status.success(), "{removed:?}");
        kill(&mut nodes[place + 2]);
        steady.go_on(5);
        loads.push(load);
    }
    steady.stop();
    loads.push(steady);
    for load in &loads {
        assert_eq!(load.failures(), [""; 0]);
        load.ledger().assert_readable(&first);
        load.ledger().assert_readable(&second);
    }
    let listed = order(&nodes[0], &["list", "--json"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 2);
}

#[test]
fn a_node_that_leaves_rescues_no_other_one() {
    let cluster = Cluster::start();
    let nodes = cluster.add_all(&[1, 2]);
    let rescue = || nodes[1].ask_admin("POST", "/rescue?journal=/nowhere&node=1");
    let (_, answers) = rescue();
    assert!(answers.contains("node 1 answers"), "{answers}");
    cluster.change(2, doc! { "$set": { "leaving": true } });
    eventually("it knows that it leaves", || {
        let (status, words) = rescue();
        assert_eq!(status, 409, "{words}");
        words
            .contains("an admin takes this node out of the list")
            .then_some(())
    });
}
