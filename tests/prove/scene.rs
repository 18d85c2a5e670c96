//! The state of the machine at the first violation: the resources that the proof itself may have
//! used up, and the logs of nginx and the sidecar.

use std::path::PathBuf;
use std::process::Command;

/// The most bytes that are shown of each thing: its end.
const MOST_BYTES: usize = 4096;

/// The places to look at.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// The disks of journals, nginx's spools and its caches.
    pub(crate) disks: Vec<PathBuf>,
    /// The directories of the logs.
    pub(crate) logs: Vec<PathBuf>,
}

impl Scene {
    /// Returns the state as a text of bounded length.
    pub(crate) fn text(&self) -> String {
        let disks: Vec<_> = self
            .disks
            .iter()
            .map(|disk| disk.to_string_lossy())
            .collect();
        let of_disks = |words: &[&'static str]| {
            let disks = disks.iter().map(|disk| &**disk);
            words
                .iter()
                .copied()
                .chain(disks)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let of_machine = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let looks = [
            of_disks(&["df", "--block-size=M", "/tmp"]),
            of_disks(&["df", "--inodes", "/tmp"]),
            of_disks(&["du", "--inodes", "--max-depth=2"]),
            of_machine(&["ss", "-s"]),
            of_machine(&["cat", "/proc/loadavg"]),
            of_machine(&["free", "-m"]),
        ];
        let mut text = String::new();
        for words in looks {
            let output = Command::new(&words[0]).args(&words[1..]).output();
            let seen = match output {
                Ok(output) => [output.stdout, output.stderr].concat(),
                Err(err) => err.to_string().into_bytes(),
            };
            text += &told(&words.join(" "), &seen);
        }
        for logs in &self.logs {
            for log in ["error.log", "sidecar.log"] {
                let log = logs.join(log);
                let seen = std::fs::read(&log);
                let seen = seen.unwrap_or_else(|err| err.to_string().into_bytes());
                text += &told(&log.to_string_lossy(), &seen);
            }
        }
        text
    }
}

fn told(name: &str, seen: &[u8]) -> String {
    let end = &seen[seen.len().saturating_sub(MOST_BYTES)..];
    format!("--- {name}\n{}\n", String::from_utf8_lossy(end).trim_end())
}
