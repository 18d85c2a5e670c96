//! Processes that the benchmark starts, the place where they write, and that nothing of it stays.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is there to be taken away, also when a signal ends the run.
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

/// A directory that goes with the run.
pub(crate) fn remove_at_end(directory: &Path) {
    with_leftovers(|left| left.directories.push(directory.to_owned()));
}

/// A mount that goes with the run.
pub(crate) fn unmount_at_end(mount: &Path) {
    with_leftovers(|left| left.mounts.push(mount.to_owned()));
}

/// Takes everything away at the end of its life: hold one in main.
#[derive(Debug)]
pub(crate) struct Cleaner;

impl Drop for Cleaner {
    fn drop(&mut self) {
        clean_up();
    }
}

/// Has a signal end the run as its end does. The thread lives as long as the process.
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
    // Held to the end: nothing is started or ended meanwhile.
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
            while !run(Command::new("umount").arg(&mount)) && begun.elapsed().as_secs() < 20 {
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

fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    // It may be gone already.
    id.map_or(Ok(()), |id| kill_process(id, signal))
        .unwrap_or_default();
}

fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    !stat.is_empty() && !behind_name.starts_with(['Z', 'X'])
}

/// Runs a command without its output; whether it went well.
pub(crate) fn run(command: &mut Command) -> bool {
    let done = command.output();
    done.is_ok_and(|output| output.status.success())
}

/// A child process. Dropping it ends it by SIGTERM, so that an nginx takes its workers along.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        with_leftovers(|left| {
            let child = command.spawn();
            let child = child.unwrap_or_else(|err| panic!("{command:?}: {err}"));
            left.processes.push(child.id());
            Self { child }
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// It and its children.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let id = self.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(id).chain(children).collect()
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Sends a signal that ends it, and waits for the end.
    pub(crate) fn end_by(&mut self, how: Signal) {
        if self.ended().is_none() {
            signal(self.id(), how);
        }
        let begun = Instant::now();
        while self.ended().is_none() {
            if begun.elapsed() > PATIENCE {
                signal(self.id(), Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = self.id();
        with_leftovers(|left| left.processes.retain(|known| *known != id));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_by(Signal::TERM);
    }
}

/// Waits until `probe` gives something.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    listener.local_addr().expect("its address").port()
}
