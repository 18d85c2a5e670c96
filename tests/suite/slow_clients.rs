//! Thousands of clients: slow ones, which nginx waits for and the sidecar never sees, and bursts of
//! clients while all processors are busy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kit::{Site, noise, signal, wait_until};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Half of them stop within their heads, half within their bodies.
const CLIENTS: usize = 3_000;

/// The number of clients that finish at the same time.
const FINISHING: usize = 100;

/// The bound on the growth of the sidecar, for any number of clients: the memory for the hundred that
/// finish at the same time. A debug build grows by 22 to 36 MiB, the more the busier the machine is. Together
/// with an idle sidecar's memory, a release build stays below 64 MiB.
const GROWTH_KIB: u64 = 40 * 1024;

/// nginx's time-outs would cut slow clients off; and each of its workers may keep 128 connections.
const PATIENCE: [(&str, &str, &str); 3] = [
    ("nginx.conf", "worker_processes auto", "worker_processes 2"),
    (
        "gridspool/body.conf",
        "client_body_timeout 60s;",
        "client_body_timeout 600s;",
    ),
    (
        "nginx.conf",
        "server_tokens off;",
        "server_tokens off; client_header_timeout 600s;",
    ),
];

/// Raises this process's limit of connections to one for each client; returns the number that it may
/// have.
fn clients() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    // Other tests of this process have files open too.
    let most = limit
        .maximum
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    CLIENTS.min(most.saturating_sub(500)) / 2 * 2
}

/// A request in three parts: the beginning, one byte, and the rest.
struct Slow {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
}

impl Slow {
    /// Sends a request up to `sent`.
    fn begin(site: &Site, body: &[u8], sent: impl FnOnce(usize) -> usize) -> Self {
        Self::begin_over(site.connect(), body, sent)
    }

    /// The same, over an existing connection.
    fn begin_over(mut stream: TcpStream, body: &[u8], sent: impl FnOnce(usize) -> usize) -> Self {
        let head = format!(
            "PUT /files/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = sent(head.len());
        let request = [head.as_bytes(), body].concat();
        stream.write_all(&request[..sent]).unwrap();
        Self {
            stream,
            request,
            sent,
        }
    }

    /// Sends this many more bytes.
    fn send(&mut self, count: usize) {
        let end = self.sent + count;
        self.stream
            .write_all(&self.request[self.sent..end])
            .unwrap();
        self.sent = end;
    }

    /// Sends all missing bytes.
    fn send_rest(&mut self) {
        self.send(self.request.len() - self.sent);
    }

    /// The status of its answer.
    fn status(mut self) -> String {
        let mut line = [0; 12];
        self.stream.read_exact(&mut line).unwrap();
        String::from_utf8(line[9..].to_vec()).unwrap()
    }
}

#[test]
fn three_thousand_clients_that_trickle_are_waited_for_and_the_sidecar_sees_none_of_them() {
    let count = clients();
    let mut site = Site::without_mongodb();
    site.change_nginx(&PATIENCE);
    let client = site.client();
    let file = client.upload(b"content");
    let (before, idle) = (site.sidecar_handles(), site.sidecar_peak_kib());
    // This is more than nginx keeps in memory, so each has a spool file.
    let (small, large) = (noise(1, 10), noise(2, 60_000));
    let mut slow: Vec<_> = (0..count)
        .map(|number| match number % 2 {
            0 => Slow::begin(&site, &small, |_| 30),
            _ => Slow::begin(&site, &large, |head| head + 40_000),
        })
        .collect();
    wait_until("nginx spools what is there", || {
        site.names("spool").len() == count / 2
    });
    for _ in 0..3 {
        for client in &mut slow {
            client.send(1);
        }
        // Quick clients are served meanwhile, as fast as before.
        let other = client.upload(b"another's");
        assert!(client.get(&other.path).body == b"another's");
        assert!(client.get(&file.path).body == b"content");
    }
    wait_until(
        "nothing but what nginx keeps is left of the questions",
        || site.sidecar_handles() <= before + 128 * site.nginx_workers().len(),
    );
    assert_eq!(site.names("spool").len(), count / 2);
    while !slow.is_empty() {
        let mut ready = slow.split_off(slow.len().saturating_sub(FINISHING));
        ready.iter_mut().for_each(Slow::send_rest);
        for client in ready {
            assert_eq!(client.status(), "201");
        }
    }
    wait_until("the spool is empty", || site.names("spool").is_empty());
    assert_eq!(site.entries("incoming"), u64::try_from(count).unwrap() + 4);
    let growth = site.sidecar_growth_kib(idle);
    assert!(growth < GROWTH_KIB, "{growth} KiB");
}

/// Processes that are stopped. Dropping it lets them go on.
struct Frozen(Vec<u32>);

impl Frozen {
    fn freeze(ids: Vec<u32>) -> Self {
        let frozen = Self(ids);
        frozen.signal(Signal::STOP);
        frozen
    }

    fn signal(&self, to: Signal) {
        for id in &self.0 {
            signal(*id, to);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

/// Connections to the sidecar that it has not accepted yet.
fn waiting_for_the_sidecar(site: &Site) -> usize {
    const CONNECTING: &str = "02";
    let (table, socket) = (
        std::fs::read_to_string("/proc/net/unix").unwrap(),
        site.socket().display().to_string(),
    );
    let waiting = table.lines().filter(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(5) == Some(&CONNECTING) && words.last() == Some(&socket.as_str())
    });
    waiting.count()
}

#[test]
fn a_burst_of_uploads_waits_for_nginx_and_for_the_sidecar_and_every_one_of_them_is_taken() {
    let count = clients();
    let mut site = Site::without_mongodb();
    // First a socket that the sidecar binds, then one that it inherits.
    for is_kept_open in [false, true] {
        if is_kept_open {
            site.stop_sidecar();
            site.keep_socket_open();
            site.start_sidecar();
        }
        burst(&site, count);
    }
    let taken = u64::try_from(2 * count).unwrap();
    assert_eq!(site.entries("incoming"), taken);
}

/// More connections than the queues of nginx (511) and of older versions of systemd (128) hold. All of
/// them come to one worker of nginx, as the others are stopped.
fn burst(site: &Site, count: usize) {
    let sidecar = Frozen::freeze(vec![site.sidecar_id()]);
    // The first of nginx's children is a worker; the last ones manage the cache.
    let mut workers = site.nginx_workers();
    let busy = Frozen::freeze(workers.split_off(1));
    let nginx = Frozen::freeze(workers);
    let url = site.url();
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (small, large) = (noise(1, 10), noise(2, 40_000));
    let uploads: Vec<_> = (0..count)
        .map(|number| {
            // If the queue is full, a client gets no connection, however long it waits.
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(20));
            let stream = connected.unwrap_or_else(|err| panic!("connection {number}: {err}"));
            stream
                .set_read_timeout(Some(Duration::from_mins(2)))
                .unwrap();
            let body = [&small, &large][number % 2];
            Slow::begin_over(stream, body, |head| head + body.len())
        })
        .collect();
    drop(nginx);
    // All except those for which nginx already had a connection.
    wait_until("nginx has asked for all of them", || {
        waiting_for_the_sidecar(site) >= count - 200
    });
    drop(sidecar);
    for upload in uploads {
        assert_eq!(upload.status(), "201");
    }
    drop(busy);
}
