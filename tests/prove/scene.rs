//! The state of the machine at the first violation: the resources that the proof itself may have
//! used up, and the logs of nginx and the sidecar.

use std::path::PathBuf;
use std::process::Command;

/// The most bytes that are shown of each thing: its end.
const MOST_BYTES: usize = 4096;

/// The places to look at.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// The journal's disk, nginx's spool and its cache.
    pub(crate) disk: PathBuf,
    /// The directory of the logs.
    pub(crate) logs: PathBuf,
}

impl Scene {
    /// Returns the state as a text of bounded length.
    pub(crate) fn text(&self) -> String {
        let disk = self.disk.to_string_lossy().into_owned();
        let looks: [&[&str]; 6] = [
            &["df", "--block-size=M", &disk, "/tmp"],
            &["df", "--inodes", &disk, "/tmp"],
            &["du", "--inodes", "--max-depth=2", &disk],
            &["ss", "-s"],
            &["cat", "/proc/loadavg"],
            &["free", "-m"],
        ];
        let mut text = String::new();
        for words in looks {
            let output = Command::new(words[0]).args(&words[1..]).output();
            let seen = match output {
                Ok(output) => [output.stdout, output.stderr].concat(),
                Err(err) => err.to_string().into_bytes(),
            };
            text += &told(&words.join(" "), &seen);
        }
        for log in ["error.log", "sidecar.log"] {
            let seen = std::fs::read(self.logs.join(log));
            text += &told(
                log,
                &seen.unwrap_or_else(|err| err.to_string().into_bytes()),
            );
        }
        text
    }
}

fn told(name: &str, seen: &[u8]) -> String {
    let end = &seen[seen.len().saturating_sub(MOST_BYTES)..];
    format!("--- {name}\n{}\n", String::from_utf8_lossy(end).trim_end())
}
