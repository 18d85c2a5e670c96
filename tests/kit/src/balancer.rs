//! A balancer in front of nodes: the example, on an nginx of its own.

use std::process::Command;

use tempfile::TempDir;

use crate::process::{free_port, on_path};
use crate::{CHECKOUT, Client, Cluster, Process, Site, eventually};

/// The number of nodes in the example.
const NAMED: usize = 3;

/// Its host, and the address at which it listens.
#[derive(Debug)]
pub struct Balancer {
    pub host: Site,
    /// A client of the port without TLS.
    pub client: Client,
    /// `https://127.0.0.1:PORT`: TLS, HTTP/1.1 and HTTP/2.
    pub url: String,
}

impl Balancer {
    /// A balancer for nodes at these addresses, which are numbered from 1.
    pub fn before(addresses: &[String]) -> Self {
        let mut host = Site::without_mongodb();
        let [plain, tls] = [(); 2].map(|()| Site::free_port());
        let listen = format!("listen 127.0.0.1:{plain};\n  listen 127.0.0.1:{tls} ssl");
        let mut changes = vec![("listen 127.0.0.1:8443 ssl".to_owned(), listen)];
        for number in addresses.len() + 1..=NAMED {
            let server = format!("  server 10.0.0.{number}:8080");
            let upstream = format!("upstream gridspool_node_{number}");
            for gone in [
                format!("{server} max_fails=2 fail_timeout=10s;\n"),
                format!("{server} max_fails=1 fail_timeout=5s;\n"),
                format!("{server} max_fails=0;\n"),
                format!("{upstream} {{\n{server};\n}}\n\n"),
                format!("  {number} gridspool_node_{number};\n"),
                format!(
                    "  \"~*^/uploads/[0-9a-f]{{8}}000{number}[0-9a-f]{{12}}$\" gridspool_node_{number};\n"
                ),
            ] {
                changes.push((gone, String::new()));
            }
        }
        for (address, number) in addresses.iter().zip(1..) {
            changes.push((format!("10.0.0.{number}:8080"), address.clone()));
        }
        let changes: Vec<_> = changes
            .iter()
            .map(|(old, new)| (old.as_str(), new.clone()))
            .collect();
        host.add_example("balancer.conf", "balancer.conf", &changes);
        Self {
            host,
            client: Client::new(plain),
            url: format!("https://127.0.0.1:{tls}"),
        }
    }
}

impl Cluster {
    /// A balancer for all nodes.
    pub fn balancer(&self) -> Balancer {
        Balancer::before(&self.addresses())
    }

    /// `HOST:PORT` of each node's nginx.
    pub fn addresses(&self) -> Vec<String> {
        let urls = self.nodes.iter().map(Site::url);
        urls.map(|url| url.replace("http://", "")).collect()
    }
}

/// An nginx that gives each request to the next node, whichever node has the upload.
#[derive(Debug)]
pub struct RoundRobin {
    _process: Process,
    scratch: TempDir,
    /// `http://localhost:PORT`
    pub url: String,
}

impl RoundRobin {
    /// A balancer for nodes at these addresses. It tells the whole address of an upload: aiotus 1.1.0 takes no
    /// other.
    pub fn before(addresses: &[String]) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().display();
        let port = free_port();
        let servers: Vec<_> = addresses
            .iter()
            .map(|address| format!("server {address} max_fails=0;"))
            .collect();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|part| format!("{part}_temp_path {path}/{part};"));
        let conf = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;
            events {{}}
            http {{
              {}
              log_format given '$status $upstream_addr $request';
              access_log {path}/access.log given;
              upstream nodes {{ {} }}
              server {{
                listen 127.0.0.1:{port};
                client_max_body_size 0;
                location / {{
                  proxy_pass http://nodes;
                  proxy_set_header Host $http_host;
                  proxy_request_buffering off;
                  proxy_redirect /uploads/ http://$http_host/uploads/;
                }}
              }}
            }}",
            paths.join("\n"),
            servers.join(" ")
        );
        let file = scratch.path().join("nginx.conf");
        std::fs::write(&file, conf).expect("its configuration");
        let mut command = Command::new("nginx");
        let log = scratch.path().join("error.log");
        let process = Process::spawn(command.arg("-e").arg(log).arg("-c").arg(file));
        eventually("nginx answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            _process: process,
            scratch,
            url: format!("http://localhost:{port}"),
        }
    }

    /// The requests that it has answered: the status, the nodes that were asked, and the first line of each.
    pub fn given(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.scratch.path().join("access.log"));
        log.expect("its log").lines().map(str::to_owned).collect()
    }
}

/// haproxy with its example, for two nodes.
#[derive(Debug)]
pub struct Haproxy {
    pub process: Process,
    _scratch: TempDir,
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// A port without TLS.
    pub plain: u16,
}

impl Haproxy {
    /// haproxy before the cluster's nodes, at these addresses. `None` where there is no haproxy.
    pub fn before(cluster: &Cluster, addresses: &[String]) -> Option<Self> {
        let program = on_path("haproxy")?;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let at = |name: &str| scratch.path().join(name).display().to_string();
        let [port, plain] = [(); 2].map(|()| free_port());
        let example = format!("{CHECKOUT}/nginx.conf.d/examples/haproxy.cfg");
        let mut text = std::fs::read_to_string(example).expect("the example");
        for (old, new) in [
            (
                "bind 127.0.0.1:8443",
                format!("bind 127.0.0.1:{plain}\n  bind 127.0.0.1:{port}"),
            ),
            ("/etc/gridspool/tls/haproxy.pem", at("both.pem")),
            ("/run/haproxy/admin.sock", at("admin.sock")),
            ("10.0.0.1:8080", addresses[0].clone()),
            ("10.0.0.2:8080", addresses[1].clone()),
            ("  server node3 10.0.0.3:8080\n", String::new()),
            (
                "  server node3 10.0.0.3:8080 track gridspool_reads/node3\n",
                String::new(),
            ),
            (
                "  use-server node3 if { path_reg -i ^/uploads/[0-9a-f]{8}0003 }\n",
                String::new(),
            ),
        ] {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, &new);
        }
        std::fs::write(at("haproxy.cfg"), text).expect("its configuration");
        std::fs::write(at("both.pem"), cluster.nodes[0].certificate_and_key()).expect("a file");
        let mut command = Command::new(program);
        let process = Process::spawn(command.args(["-db", "-q", "-f", &at("haproxy.cfg")]));
        let url = format!("https://127.0.0.1:{port}");
        eventually("haproxy answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self {
            process,
            _scratch: scratch,
            url,
            plain,
        })
    }
}
