//! Sites that run another build of the sidecar, on a disk of their own, and how such a sidecar ends.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::{Builder, Process, Site};

impl Builder {
    /// Keeps its data there, and not in the scratch directory.
    pub fn data_in(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// Runs another build of the sidecar.
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }
}

impl Site {
    /// nginx's port for plain HTTP/1.1.
    pub fn port(&self) -> u16 {
        self.http_port
    }

    /// Starts the sidecar, and waits for nothing.
    pub fn spawn_sidecar(&mut self) {
        let log = File::create(self.run_dir().join("sidecar.log")).expect("a log");
        self.sidecar = Some(Process::spawn(self.command().stderr(log)));
    }

    /// Whether the sidecar ends by itself within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let sidecar = self.sidecar.as_mut().expect("a sidecar");
        sidecar.ends_within(time)
    }
}
