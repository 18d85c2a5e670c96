//! A site: an nginx with the project's own files, and a sidecar.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Process, children, free_port};
use crate::{Host, Mongo, eventually, is_alive, program, wait_until};

/// A URI at which no MongoDB answers.
const NO_MONGODB: &str = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500";

/// The settings that a site is started with.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    wrapper: Vec<String>,
    pub(crate) nginx: Vec<String>,
    pub(crate) is_nginx_daemon: bool,
    /// Whether other nodes learn of this one by the list in MongoDB.
    is_listed: bool,
    pub data: Option<PathBuf>,
    pub program: Option<PathBuf>,
    /// The host of nginx and sidecar.
    pub host: Host,
}

impl Builder {
    /// A setting of the sidecar, by its name in the TOML file.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass literals")]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        let variable = format!("GRIDSPOOL_{}", name.to_uppercase());
        self.settings.push((variable, value.to_string()));
        self
    }

    /// An option of `scripts/nginx-conf`, with its value.
    pub fn nginx(mut self, option: &str, value: &str) -> Self {
        self.nginx.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// A node that others find by the list in MongoDB, and whose nodes share this key.
    pub fn listed(mut self, number: u16, key: &Path) -> Self {
        self.is_listed = true;
        self.set("node", number).set("peer_key", key.display())
    }

    /// Lets nginx leave its parent, like a service: otherwise it ignores an upgrade.
    pub fn nginx_daemon(mut self) -> Self {
        self.is_nginx_daemon = true;
        self
    }

    /// Runs the sidecar by way of another program with these arguments. Signals go to that program:
    /// it must become the sidecar itself, as `strace -D` does.
    pub fn wrap(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(ToString::to_string).collect();
        self
    }

    /// Makes nginx spool every upload to a file, even a small one.
    pub fn without_log() -> Self {
        Self::default().set("log_body_bytes", 0)
    }

    /// Starts nginx and sidecar without a MongoDB, so that uploads stay pending.
    pub fn start_without_mongodb(self) -> Site {
        self.start_with_uri(NO_MONGODB)
    }

    /// Starts nginx and sidecar, with `mongo` behind them.
    pub fn start(self, mongo: &Mongo) -> Site {
        self.start_with_uri(&mongo.uri())
    }

    /// Starts nginx and sidecar with any connection string; nothing need answer there.
    pub fn start_with_uri(self, uri: &str) -> Site {
        let scratch = tempfile::Builder::new()
            .prefix("gridspool")
            .tempdir()
            .expect("a scratch directory");
        let mut site = Site {
            scratch,
            builder: self.set("mongodb_uri", uri),
            sidecar: None,
            nginx: None,
            inherited: None,
            http_port: 0,
            https_port: 0,
        };
        std::fs::create_dir(site.run_dir()).expect("a directory");
        let made = site.command().arg("init").status().expect("gridspool init");
        assert!(made.success());
        site.make_certificate();
        if site.builder.is_listed {
            (site.http_port, site.https_port) = (free_port(), free_port());
            site.configure_nginx();
            let url = site.url();
            site.reconfigure(|builder| builder.set("advertise", url));
        }
        site.start_sidecar();
        site.start_nginx();
        site
    }
}

#[derive(Debug)]
pub struct Site {
    pub(crate) scratch: TempDir,
    pub(crate) builder: Builder,
    pub sidecar: Option<Process>,
    pub nginx: Option<Process>,
    /// The inherited socket of the sidecar, kept open like by a service manager.
    pub(crate) inherited: Option<UnixListener>,
    pub http_port: u16,
    pub(crate) https_port: u16,
}

impl Site {
    /// A site with the default settings.
    pub fn start(mongo: &Mongo) -> Self {
        Builder::default().start(mongo)
    }

    /// Starts a site with the default settings and no MongoDB, so that uploads stay pending.
    pub fn without_mongodb() -> Self {
        Builder::default().start_without_mongodb()
    }

    /// A client of this site.
    pub fn client(&self) -> Client {
        Client::of(self.url(), None)
    }

    /// `http://HOST:PORT`, plain HTTP/1.1.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.builder.host.address, self.http_port)
    }

    /// `https://127.0.0.1:PORT`, TLS with a certificate of its own, HTTP/1.1 and HTTP/2.
    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https_port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.builder
            .data
            .clone()
            .unwrap_or(self.scratch.path().join("data"))
    }

    /// The names in a directory below the data directory, such as `spool` or `journal/body`.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let path = self.data_dir().join(directory);
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .unwrap_or_else(|err| panic!("{}: {err}", path.display()))
            .map(|found| found.expect("a name").file_name())
            .map(|name| name.into_string().expect("a text"))
            .collect();
        names.sort();
        names
    }

    /// The sidecar's log since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.run_dir().join("sidecar.log")).expect("the log")
    }

    /// The sidecar's process id.
    pub fn sidecar_id(&self) -> u32 {
        self.sidecar.as_ref().expect("a sidecar").id()
    }

    /// The files and connections that the sidecar has open.
    pub fn sidecar_handles(&self) -> usize {
        let path = format!("/proc/{}/fd", self.sidecar_id());
        let handles = std::fs::read_dir(path).expect("the sidecar's handles");
        handles.count()
    }

    /// Returns the greatest memory that the sidecar ever had, in KiB, without pages of its program:
    /// a build for tests has several times as many of these as a release.
    pub fn sidecar_peak_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.sidecar_id());
        let status = std::fs::read_to_string(path).expect("the sidecar's status");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|kib| kib.parse().ok())
                .unwrap_or_else(|| panic!("no {name}"))
        };
        let (peak, program): (u64, u64) = (kib("VmHWM:"), kib("RssFile:"));
        peak - program
    }

    /// Returns by how many KiB that peak has grown since it was `before`. It is none where the program
    /// has more pages in memory since, as all of them are taken off the same peak.
    pub fn sidecar_growth_kib(&self, before: u64) -> u64 {
        self.sidecar_peak_kib().saturating_sub(before)
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.run_dir().join("admin.sock")
    }

    pub fn socket(&self) -> PathBuf {
        self.run_dir().join("gridspool.sock")
    }

    /// `GET /status`, or `None` while the sidecar does not answer.
    pub fn try_status(&self) -> Option<Value> {
        match self.ask_admin("GET", "/status") {
            (200, body) => serde_json::from_str(&body).ok(),
            _ => None,
        }
    }

    /// Asks on the admin socket; returns status (0 for no answer) and body.
    pub fn ask_admin(&self, method: &str, path: &str) -> (u16, String) {
        let answer = Command::new("curl")
            .args(["-s", "--max-time", "10", "-w", "\n%{http_code}"])
            .args(["-X", method, "--unix-socket"])
            .arg(self.admin_socket())
            .arg(format!("http://admin{path}"))
            .output()
            .expect("curl");
        let answer = String::from_utf8(answer.stdout).expect("a text");
        let (body, status) = answer.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), body.to_owned())
    }

    /// `GET /status`.
    pub fn status(&self) -> Value {
        self.try_status().expect("a status")
    }

    /// Waits until this node takes uploads.
    pub fn wait_until_open(&self) {
        wait_until("the node takes uploads", || {
            self.client().get("/healthz").status == 200
        });
    }

    /// Changes the settings of the sidecar's next start.
    pub fn reconfigure(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }

    /// Starts the sidecar, and waits until it answers.
    pub fn start_sidecar(&mut self) {
        let log = File::create(self.run_dir().join("sidecar.log")).expect("a log");
        let mut command = self.command();
        if let Some(socket) = &self.inherited {
            let socket = socket.try_clone().expect("a handle");
            command.stdin(OwnedFd::from(socket));
        }
        self.sidecar = Some(Process::spawn(command.stderr(log)));
        // This costs less than a question.
        eventually("the sidecar listens", || {
            UnixStream::connect(self.admin_socket()).ok()
        });
        eventually("the sidecar answers", || self.try_status());
    }

    /// Ends the sidecar by SIGTERM; returns how it ended.
    pub fn stop_sidecar(&mut self) -> ExitStatus {
        self.sidecar.take().expect("a sidecar").end_by(Signal::TERM)
    }

    /// Ends the sidecar by SIGKILL.
    pub fn kill_sidecar(&mut self) {
        self.sidecar.take().expect("a sidecar").end_by(Signal::KILL);
    }

    /// Starts nginx, and waits until it answers.
    pub fn start_nginx(&mut self) {
        // If a free port is taken by the time nginx binds it, use the next ones.
        for _ in 0..10 {
            if self.http_port == 0 {
                (self.http_port, self.https_port) = (free_port(), free_port());
                self.configure_nginx();
            }
            let mut nginx = self.spawn_nginx();
            let client = self.client();
            let answers = eventually("nginx answers or ends", || {
                if nginx.is_running() {
                    client.try_get("/healthz").map(|_| true)
                } else {
                    Some(false)
                }
            });
            if answers {
                self.nginx = Some(nginx);
                return;
            }
            self.http_port = 0;
        }
        panic!("nginx does not start");
    }

    /// Ends nginx in the middle of its requests.
    pub fn stop_nginx(&mut self) {
        self.nginx.take().expect("an nginx").end_by(Signal::TERM);
    }

    /// Ends nginx with its workers by SIGKILL, and the sidecar, as a power cut does.
    pub fn kill_all(&mut self) {
        self.kill_nginx();
        self.kill_sidecar();
    }

    /// Ends nginx and its workers by SIGKILL.
    pub fn kill_nginx(&mut self) {
        let workers = self.nginx_workers();
        self.nginx.take().expect("an nginx").end_by(Signal::KILL);
        // Workers go on without their master until they get a signal.
        for worker in workers {
            let pid = i32::try_from(worker).ok();
            let pid = pid.and_then(Pid::from_raw);
            // The process may be gone already.
            let killed = kill_process(pid.expect("a process id"), Signal::KILL);
            killed.unwrap_or_default();
            wait_until("a worker is gone", || !is_alive(worker));
        }
    }

    /// The process id of nginx's master.
    pub fn nginx_id(&self) -> u32 {
        self.nginx.as_ref().expect("an nginx").id()
    }

    /// The process ids of nginx's workers.
    pub fn nginx_workers(&self) -> Vec<u32> {
        children(self.nginx_id()).expect("the children of nginx")
    }

    pub fn nginx_conf(&self) -> PathBuf {
        self.scratch.path().join("nginx/nginx.conf")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    /// The sidecar's binary with this site's settings, to run any of its tasks.
    pub fn command(&self) -> Command {
        let sidecar = self
            .builder
            .program
            .clone()
            .unwrap_or_else(|| program().to_owned());
        let mut command = match self.builder.wrapper.split_first() {
            None => self.builder.host.command(&sidecar),
            Some((program, arguments)) => {
                let mut command = self.builder.host.command(program);
                command.args(arguments).arg(&sidecar);
                command
            }
        };
        let mut settings = self.builder.settings.iter();
        let is_open = !settings.any(|(name, _)| name == "GRIDSPOOL_TOKEN_KEYS");
        command
            .env("GRIDSPOOL_DATA_DIR", self.data_dir())
            .env("GRIDSPOOL_SOCKET", self.socket())
            .env("GRIDSPOOL_ADMIN_SOCKET", self.admin_socket())
            .env("GRIDSPOOL_DELETE_WATCH_SECONDS", "1")
            .env("GRIDSPOOL_INSECURE_NO_AUTH", is_open.to_string())
            .env(
                "GRIDSPOOL_LOG",
                "debug,mongodb=warn,ureq=warn,ureq_proto=warn",
            )
            .envs(self.builder.settings.iter().cloned())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The master ends its workers only if it gets time to.
        if let Some(mut nginx) = self.nginx.take() {
            nginx.end_by(Signal::TERM);
        }
        if std::thread::panicking() {
            eprintln!("--- the sidecar's log:\n{}", self.log());
        }
    }
}
