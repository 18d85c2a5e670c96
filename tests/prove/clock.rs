//! The wall clock of the sidecar, by libfaketime: it may jump while the sidecar runs. The monotonic
//! clock runs on evenly, as after `settimeofday`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Clock {
    /// Read again at each question for the time.
    file: PathBuf,
    /// The processes that ran with it, one a line.
    processes: PathBuf,
}

/// The directory of shared memory, and the beginnings of the names that libfaketime makes there of a process's id.
/// A process that is killed leaves both.
const SHARED: &str = "/dev/shm";
const NAMES: [&str; 2] = ["faketime_shm_", "sem.faketime_sem_"];

/// Notes the process, and becomes another command.
const NOTING: &str = r#"echo "$$" >>"$0"; exec "$@""#;

impl Clock {
    /// The right time.
    pub(crate) const RIGHT: &'static str = "+0";

    pub(crate) fn new(scratch: &Path) -> Self {
        let clock = Self {
            file: scratch.join("clock"),
            processes: scratch.join("clock-processes"),
        };
        clock.set(Self::RIGHT);
        clock
    }

    /// Sets the wall clock to this difference from now on.
    pub(crate) fn set(&self, difference: &str) {
        // The file is replaced in one step, because it may be read at any moment.
        let new = self.file.with_extension("new");
        let written = std::fs::write(&new, difference);
        written
            .and_then(|()| std::fs::rename(&new, &self.file))
            .expect("to set the clock");
    }

    /// Runs another command with this clock, and becomes it.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let library = library().expect("libfaketime, of the Debian package faketime");
        vec![
            "sh".to_owned(),
            "-c".to_owned(),
            NOTING.to_owned(),
            self.processes.display().to_string(),
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}

impl Drop for Clock {
    /// Clears away what libfaketime has left of killed processes.
    fn drop(&mut self) {
        // No process ran with it, if no fault moves it.
        let processes = std::fs::read_to_string(&self.processes).unwrap_or_default();
        for process in processes.lines() {
            for name in NAMES {
                let path = Path::new(SHARED).join(format!("{name}{process}"));
                match std::fs::remove_file(&path) {
                    Err(err) if err.kind() != ErrorKind::NotFound => {
                        eprintln!("prove: {} stays: {err}", path.display());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Returns the library, in a directory that the architecture names.
fn library() -> Option<PathBuf> {
    let directories = std::fs::read_dir("/usr/lib").ok()?;
    let mut libraries = directories
        .flatten()
        .map(|found| found.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists())
}
