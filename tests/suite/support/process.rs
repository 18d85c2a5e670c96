//! Child processes that end with the test.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Output};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|err| panic!("{command:?}: {err}"));
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal a child");
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_none()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(&mut self, signal: Signal) -> ExitStatus {
        if self.is_running() {
            self.signal(signal);
        }
        eventually("the end of a child", || {
            self.child.try_wait().expect("wait for a child")
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("a child could not be ended");
        }
    }
}

/// Runs a command that should end by itself, and kills it if it does not.
pub(crate) fn finish(command: &mut Command) -> Output {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = |name: &str| File::create(scratch.path().join(name)).expect("a file");
    let read = |name: &str| std::fs::read(scratch.path().join(name)).expect("a file");
    let mut process = Process::spawn(command.stdout(file("out")).stderr(file("err")));
    let status = eventually("the end of a command", || {
        process.child.try_wait().expect("wait for a child")
    });
    Output {
        status,
        stdout: read("out"),
        stderr: read("err"),
    }
}

/// Whether a process is there and no corpse, which its parent need not have collected.
pub(crate) fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    !stat.is_empty() && !behind_name.starts_with(['Z', 'X'])
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    listener.local_addr().expect("its address").port()
}
