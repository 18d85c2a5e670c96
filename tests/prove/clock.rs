//! The wall clock of the sidecar, by libfaketime: it may jump while the sidecar runs. The monotonic
//! clock runs on evenly, as after `settimeofday`.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Clock {
    /// Read again at each question for the time.
    file: PathBuf,
}

impl Clock {
    /// The right time.
    pub(crate) const RIGHT: &'static str = "+0";

    pub(crate) fn new(scratch: &Path) -> Self {
        let clock = Self {
            file: scratch.join("clock"),
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
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
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
