//! Nodes that fail in every way behind the example balancer, while clients upload: no client sees it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use kit::{
    Answer, Balancer, Builder, Cluster, Ledger, Site, SmallDisk, Uploaded, curl, noise, signal,
    wait_until,
};
use rustix::process::Signal;

/// Lengths of bodies: inline in the journal's log, spooled by nginx, and in a file of their own.
const LENGTHS: [usize; 5] = [500, 20_000, 40_000, 200_000, 1_000_000];

/// Uploads during each fault.
const GO_ON: usize = 25;

/// Clients that upload one file after the other, in all ways of real clients.
struct Uploads<'a> {
    balancer: &'a Balancer,
    begun: AtomicUsize,
    until: AtomicUsize,
    ledger: Ledger,
    failed: Mutex<Vec<String>>,
    /// While this is locked for writing, no further upload begins.
    gate: RwLock<()>,
}

impl Uploads<'_> {
    /// One client, which uploads until it is told to stop.
    fn run(&self) {
        while self.begun.load(Ordering::SeqCst) < self.until.load(Ordering::SeqCst) {
            let _open = self.gate.read().unwrap();
            self.upload(self.begun.fetch_add(1, Ordering::SeqCst));
        }
    }

    fn upload(&self, number: usize) {
        let (seed, length) = (number.try_into().unwrap(), LENGTHS[number % LENGTHS.len()]);
        let content = noise(seed, length);
        let client = &self.balancer.client;
        let files = format!("{}/files/", self.balancer.url);
        let by_curl = |options: &[&str]| {
            let arguments = [options, &["--max-time", "60", &files]].concat();
            curl(("body", &content), &arguments).answer
        };
        let answer: Answer = match number % 6 {
            0 => client.post("/files", &[], &content),
            1 => client.put("/files/name", &content),
            2 => client.post_chunked("/files", &content),
            3 => by_curl(&["--http1.1", "-T", "-"]),
            4 => by_curl(&["--http2", "-T", "body"]),
            // An upload without a length.
            _ => by_curl(&["--http2", "-T", "-"]),
        };
        if answer.status == 201 {
            self.ledger.enter(Uploaded::read(&answer), seed, length);
        } else {
            let failed = format!("{number}, {length} bytes: {answer:?}");
            self.failed.lock().unwrap().push(failed);
        }
    }

    /// Waits until this many more uploads are answered.
    fn go_on(&self, count: usize) {
        let before = self.ledger.len();
        wait_until("uploads go on", || {
            assert_eq!(*self.failed.lock().unwrap(), Vec::<String>::new());
            self.ledger.len() >= before + count
        });
    }
}

/// Stops the clients, also when a test fails.
struct Over<'a>(&'a Uploads<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.until.store(300, Ordering::SeqCst);
    }
}

/// One fault after the other, each during uploads.
fn strike(cluster: &mut Cluster, disk: Option<&SmallDisk>, uploads: &Uploads<'_>) {
    uploads.go_on(GO_ON);
    let admin = |site: &Site, method: &str| assert_eq!(site.ask_admin(method, "/drain").0, 200);
    for _ in 0..2 {
        admin(&cluster.nodes[0], "POST");
        uploads.go_on(GO_ON);
        admin(&cluster.nodes[0], "DELETE");
    }
    if let Some(disk) = disk {
        disk.leave_bytes(60 << 20);
        uploads.go_on(GO_ON);
        disk.give_back();
    }
    // A service manager that keeps the socket restarts it in this way.
    assert!(cluster.nodes[1].stop_sidecar().success());
    uploads.go_on(5);
    cluster.nodes[1].start_sidecar();
    cluster.nodes[0].reload_nginx();
    uploads.go_on(GO_ON);
    // Uploads on their way to the frozen node wait, and go on later.
    cluster.nodes[0].freeze();
    uploads.go_on(GO_ON);
    cluster.nodes[0].thaw();
    signal(cluster.nodes[1].sidecar_id(), Signal::STOP);
    uploads.go_on(GO_ON);
    signal(cluster.nodes[1].sidecar_id(), Signal::CONT);
    // Uploads on their way die with a node; nobody knows about them.
    {
        let _closed = uploads.gate.write().unwrap();
        cluster.nodes[0].kill_all();
    }
    uploads.go_on(GO_ON);
    {
        let _closed = uploads.gate.write().unwrap();
        cluster.nodes[1].kill_sidecar();
    }
    uploads.go_on(GO_ON);
    cluster.nodes[0].start_sidecar();
    cluster.nodes[0].start_nginx();
    cluster.nodes[1].start_sidecar();
    uploads.go_on(GO_ON);
}

#[test]
fn three_hundred_uploads_arrive_once_while_nodes_drain_fill_up_restart_freeze_and_die() {
    let builder = Builder::default()
        .set("min_free_bytes", 64 << 20)
        .set("min_free_inodes", 0);
    let mut cluster = Cluster::start_without_mongodb(3, &builder);
    let room = "size=256m";
    let disk = SmallDisk::below(&mut cluster.nodes[2], "a full disk of a node", room);
    cluster.nodes[1].stop_sidecar();
    cluster.nodes[1].keep_socket_open();
    cluster.nodes[1].start_sidecar();
    let balancer = cluster.balancer();
    let uploads = Uploads {
        balancer: &balancer,
        begun: AtomicUsize::new(0),
        until: AtomicUsize::new(usize::MAX),
        ledger: Ledger::default(),
        failed: Mutex::default(),
        gate: RwLock::default(),
    };
    std::thread::scope(|scope| {
        let over = Over(&uploads);
        for _ in 0..6 {
            scope.spawn(|| uploads.run());
        }
        strike(&mut cluster, disk.as_ref(), &uploads);
        drop(over);
    });
    assert_eq!(*uploads.failed.lock().unwrap(), Vec::<String>::new());
    assert!(uploads.ledger.len() >= 300);
    uploads.ledger.assert_readable(&balancer.client);
    let pending = |site: &Site| site.entries("incoming") + site.entries("deferred");
    let taken: u64 = cluster.nodes.iter().map(pending).sum();
    assert_eq!(
        usize::try_from(taken),
        Ok(uploads.ledger.len()),
        "one was taken twice"
    );
}
