//! What the proof does to a site and its MongoDB, and no test of the suite does.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use mongodb::bson::doc;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Builder, Mongo, Process, Site, is_alive, wait_until};

impl Builder {
    /// Keeps its data there, and not in the scratch directory.
    pub(crate) fn data_in(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// Runs another build of the sidecar.
    pub(crate) fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }
}

impl Site {
    /// nginx's port for plain HTTP/1.1.
    pub(crate) fn port(&self) -> u16 {
        self.http_port
    }

    /// Starts the sidecar, and waits for nothing.
    pub(crate) fn spawn_sidecar(&mut self) {
        let log = File::create(self.run_dir().join("sidecar.log")).expect("a log");
        self.sidecar = Some(Process::spawn(self.command().stderr(log)));
    }

    /// Whether the sidecar ends by itself within this time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let sidecar = self.sidecar.as_mut().expect("a sidecar");
        let begun = Instant::now();
        while begun.elapsed() < time {
            if !sidecar.is_running() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Ends nginx by SIGKILL, its workers too, and the sidecar: as a power cut does.
    pub(crate) fn kill_all(&mut self) {
        self.kill_nginx();
        self.kill_sidecar();
    }

    /// Ends nginx by SIGKILL, its workers too.
    pub(crate) fn kill_nginx(&mut self) {
        let workers = self.nginx_workers();
        self.nginx.take().expect("an nginx").end_by(Signal::KILL);
        // They go on without their master, until they are told.
        for worker in workers {
            let pid = i32::try_from(worker).ok();
            let pid = pid.and_then(Pid::from_raw);
            // It may be gone already.
            let killed = kill_process(pid.expect("a process id"), Signal::KILL);
            killed.unwrap_or_default();
            wait_until("a worker is gone", || !is_alive(worker));
        }
    }
}

impl Mongo {
    /// Has it give up being primary for so many seconds, though nobody else can be.
    pub(crate) fn step_down(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).expect("a small number");
        let command = doc! { "replSetStepDown": seconds, "force": true };
        let admin = self.database().client().database("admin");
        // The answer is lost if all connections are closed before it.
        let answer = self.block_on(async { admin.run_command(command).await });
        answer.map(drop).unwrap_or_default();
    }
}
