//! The processes, mounts and directories of the benchmark. All of them go at its end.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kit::{is_alive, loop_disk};
use rustix::process::Signal;

/// The longest time that a process may take to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// The things to remove at the end, also when a signal ends the run.
#[derive(Debug, Default)]
struct Leftovers {
    processes: Vec<u32>,
    mounts: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

static LEFTOVERS: Mutex<Option<Leftovers>> = Mutex::new(None);

fn with_leftovers<T>(act: impl FnOnce(&mut Leftovers) -> T) -> T {
    let mut guard = LEFTOVERS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    act(guard.get_or_insert_default())
}

/// Removes this directory when the run ends.
pub(crate) fn remove_at_end(directory: &Path) {
    with_leftovers(|left| left.directories.push(directory.to_owned()));
}

/// Unmounts this mount when the run ends.
pub(crate) fn unmount_at_end(mount: &Path) {
    with_leftovers(|left| left.mounts.push(mount.to_owned()));
}

/// Removes everything when it is dropped. `main` holds it.
#[derive(Debug)]
pub(crate) struct Cleaner;

impl Drop for Cleaner {
    fn drop(&mut self) {
        clean_up();
    }
}

/// Makes a signal end the run and remove everything. The thread lives as long as the process.
pub(crate) fn clean_up_on_signals() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
            let mut terminate = signal(SignalKind::terminate()).expect("signals");
            let mut hangup = signal(SignalKind::hangup()).expect("signals");
            let status = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => 129,
            };
            eprintln!("bench: stopped; cleaning up");
            clean_up();
            std::process::exit(status)
        });
    });
}

fn clean_up() {
    // The lock is held to the end, so nothing is started or ended meanwhile.
    with_leftovers(|left| {
        for id in &left.processes {
            signal(*id, Signal::CONT);
            signal(*id, Signal::TERM);
        }
        let begun = Instant::now();
        while left.processes.iter().any(|id| is_alive(*id)) && begun.elapsed().as_secs() < 10 {
            std::thread::sleep(Duration::from_millis(20));
        }
        for id in left.processes.drain(..) {
            signal(id, Signal::KILL);
        }
        for mount in left.mounts.drain(..) {
            while loop_disk::unmount(&mount).is_err() && begun.elapsed().as_secs() < 20 {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        for directory in left.directories.drain(..) {
            if let Err(err) = std::fs::remove_dir_all(&directory) {
                eprintln!("bench: {} stays: {err}", directory.display());
            }
        }
    });
}

/// Sends a signal to a process, which may be gone already.
fn signal(id: u32, signal: Signal) {
    kit::try_signal(id, signal).unwrap_or_default();
}

/// A child process. Its drop ends it by SIGTERM, so that an nginx ends its workers, too.
#[derive(Debug)]
pub(crate) struct Process {
    child: kit::Process,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        with_leftovers(|left| {
            let child = kit::Process::spawn(command);
            left.processes.push(child.id());
            Self { child }
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the ids of the process and of its children.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let id = self.id();
        let children = kit::children(id).unwrap_or_default();
        std::iter::once(id).chain(children).collect()
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.end()
    }

    /// Sends a signal that ends it, and waits for the end.
    pub(crate) fn end_by(&mut self, how: Signal) {
        if self.ended().is_none() {
            signal(self.id(), how);
        }
        self.child.ends_within(PATIENCE);
        // This does nothing to a process that has ended.
        self.child.end_by(Signal::KILL);
        let id = self.id();
        with_leftovers(|left| left.processes.retain(|known| *known != id));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_by(Signal::TERM);
    }
}

/// Waits until `probe` returns a value. Some rows measure this wait, so it probes often.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    kit::eventually_at(Duration::from_millis(5), what, probe)
}
