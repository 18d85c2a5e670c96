//! Child processes that end with the test.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Child(Child),
    /// A process that a child has started before it ended.
    Heir(u32),
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|err| panic!("{command:?}: {err}"));
        let handle = Handle::Child(child);
        Self { handle }
    }

    /// Takes over a process that a child has started, and that goes on without the child.
    pub fn heir(id: u32) -> Self {
        let handle = Handle::Heir(id);
        Self { handle }
    }

    pub fn id(&self) -> u32 {
        match &self.handle {
            Handle::Child(child) => child.id(),
            Handle::Heir(id) => *id,
        }
    }

    pub fn signal(&self, signal: Signal) {
        self::signal(self.id(), signal);
    }

    /// Returns how the process ended; `None` if it runs. An heir tells only whether it has ended.
    pub fn end(&mut self) -> Option<ExitStatus> {
        match &mut self.handle {
            Handle::Child(child) => child.try_wait().expect("wait for a child"),
            Handle::Heir(id) => (!is_alive(*id)).then(ExitStatus::default),
        }
    }

    /// Returns whether the process has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.end().is_none()
    }

    /// Sends a signal and waits for the end.
    pub fn end_by(&mut self, signal: Signal) -> ExitStatus {
        if self.is_running() {
            self.signal(signal);
        }
        eventually("the end of a child", || self.end())
    }

    /// Returns whether the process ends by itself within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if !self.is_running() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        match &mut self.handle {
            Handle::Child(child) => {
                if child.kill().and_then(|()| child.wait()).is_err() {
                    eprintln!("a child could not be ended");
                }
            }
            Handle::Heir(id) if is_alive(*id) => self.signal(Signal::KILL),
            Handle::Heir(_) => {}
        }
    }
}

/// Runs a command that should end by itself, and kills it if it does not.
pub fn finish(command: &mut Command) -> Output {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = |name: &str| File::create(scratch.path().join(name)).expect("a file");
    let read = |name: &str| std::fs::read(scratch.path().join(name)).expect("a file");
    let mut process = Process::spawn(command.stdout(file("out")).stderr(file("err")));
    let status = eventually("the end of a command", || process.end());
    Output {
        status,
        stdout: read("out"),
        stderr: read("err"),
    }
}

/// Sends a signal to a process that has not ended. After a STOP it waits until the process stands
/// still: a busy machine takes its time to stop each of the threads.
pub fn signal(id: u32, signal: Signal) {
    try_signal(id, signal).expect("a process");
}

/// Sends a signal to a process that may end by itself at this moment.
///
/// # Errors
/// An error, if the process has ended, also before a STOP had stopped it.
pub fn try_signal(id: u32, signal: Signal) -> io::Result<()> {
    let process = i32::try_from(id).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process id"), signal)?;
    if signal != Signal::STOP {
        return Ok(());
    }
    let is_stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| state(&stat) == Some('T'))
    };
    eventually("all threads of a process have stopped", || {
        if !is_alive(id) {
            return Some(Err(rustix::io::Errno::SRCH.into()));
        }
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
        threads.flatten().all(is_stopped).then_some(Ok(()))
    })
}

/// Returns the state of a process or a thread from its `stat` (proc(5)).
fn state(stat: &str) -> Option<char> {
    stat.rsplit(") ").next()?.chars().next()
}

/// Returns whether a process exists and is no zombie: its parent need not have collected it. A zombie
/// with a thread that is still ending is alive, as it has its files and listens.
pub fn is_alive(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        state(&stat).is_some_and(|state| !matches!(state, 'Z' | 'X'))
    })
}

/// Returns the process ids of a process's children.
pub fn children(id: u32) -> io::Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let ids = children.split_whitespace();
    Ok(ids.map(|id| id.parse().expect("a process id")).collect())
}

/// Returns the path of a program.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Returns a port that was free a moment ago, and that stays free while its server is down. No
/// other test of this process gets it, and another process hardly does; Linux gives none of these
/// ports to a connection (its `ip_local_port_range` begins at 32768).
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    const PORTS: Range<u16> = 20_000..32_768;
    eventually("a port is free", || {
        let place = RandomState::new().hash_one(()) % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(place).expect("a port");
        let is_new = GIVEN.lock().expect("a list").insert(port);
        (is_new && TcpListener::bind(("127.0.0.1", port)).is_ok()).then_some(port)
    })
}
