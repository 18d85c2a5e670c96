//! The sidecar. The benchmark starts it with the settings of a row, asks for its progress and ends
//! it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::disk::empty;
use crate::process::{Process, eventually};

/// A URI at which no MongoDB is. It looks like a stopped one.
pub(crate) const NO_MONGODB: &str = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500";

/// The settings of a row, as on the command line without the dashes.
pub(crate) type Settings = [(&'static str, String)];

/// The progress of commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) is_up: bool,
    pub(crate) pending: u64,
    pub(crate) held: u64,
    /// In MongoDB, and read from the journal still.
    pub(crate) settled: u64,
    pub(crate) committed: u64,
    pub(crate) committed_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Sidecar {
    data: PathBuf,
    pub(crate) socket: PathBuf,
    admin: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Sidecar {
    /// Lays out the data directory. It starts nothing yet.
    pub(crate) fn prepare(data: &Path, sockets: &Path, scratch: &Path) -> Self {
        let made = Command::new(kit::program())
            .arg("init")
            .arg("--data-dir")
            .arg(data)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "gridspool init");
        Self {
            data: data.to_owned(),
            socket: sockets.join("gridspool.sock"),
            admin: sockets.join("admin.sock"),
            log: scratch.join("sidecar.log"),
            process: None,
        }
    }

    /// Starts the sidecar and waits until it answers. It must not run already.
    ///
    /// # Errors
    /// A text, if this sidecar does not know a setting or its value.
    pub(crate) fn start(&mut self, uri: &str, settings: &Settings) -> Result<(), String> {
        let log = File::create(&self.log).expect("a log");
        let mut command = Command::new(kit::program());
        command
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--socket")
            .arg(&self.socket)
            .arg("--admin-socket")
            .arg(&self.admin)
            .arg("--insecure-no-auth")
            .args(["--mongodb-uri", uri])
            .args(["--log", "warn,mongodb=error,actix_server=error"])
            // The benchmark's disk is small.
            .args(["--min-free-bytes", "0"])
            .stdin(Stdio::null())
            .stderr(log);
        for (name, value) in settings {
            command.arg(format!("--{name}")).arg(value);
        }
        let process = self.process.insert(Process::spawn(&mut command));
        let ended = eventually("the sidecar answers", || match process.ended() {
            Some(status) => Some(Err(status)),
            None => ask(&self.admin).map(Ok),
        });
        match ended {
            Ok(_) => Ok(()),
            Err(status) => {
                self.stop();
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let named = settings.iter().find(|(name, _)| log.contains(name));
                match (status.code(), named) {
                    (Some(64 | 78), Some((name, _))) => {
                        Err(format!("not supported: there is no such --{name}"))
                    }
                    _ => panic!("the sidecar ended with {status}: {log}"),
                }
            }
        }
    }

    /// Kills the sidecar.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end_by(Signal::KILL);
        }
    }

    /// Deletes all uploads. The sidecar must not run.
    pub(crate) fn forget(&self) {
        empty(&self.data.join("spool"));
        let rooms = std::fs::read_dir(self.data.join("journal")).expect("the journal");
        for room in rooms {
            let path = room.expect("an entry").path();
            if path.is_dir() {
                empty(&path);
            }
        }
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.process.iter().map(Process::id).collect()
    }

    /// Asks for the progress of commits.
    pub(crate) fn progress(&self) -> Progress {
        let status = ask(&self.admin).expect("a running sidecar answers");
        let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let entries = |room: &str| number(&format!("/journal/rooms/{room}/entries"));
        Progress {
            is_up: status.pointer("/mongodb/state").and_then(Value::as_str) == Some("up"),
            pending: entries("incoming") + entries("deferred") + number("/commit/in_flight"),
            held: entries("hold"),
            settled: entries("settled"),
            committed: number("/commit/committed_entries"),
            committed_bytes: number("/commit/committed_bytes"),
        }
    }

    /// Waits until the sidecar has seen MongoDB.
    pub(crate) fn wait_until_up(&self) -> Progress {
        eventually("the sidecar sees MongoDB", || {
            Some(self.progress()).filter(|progress| progress.is_up)
        })
    }
}

/// Asks for `GET /status`; `None` while nobody answers.
fn ask(admin: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(admin).ok()?;
    let request = b"GET /status HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}
