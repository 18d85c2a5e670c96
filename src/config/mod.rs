//! Every setting: its name, default, unit and meaning, once.
//!
//! A setting is looked up on the command line (`--journal-max-bytes`), then in the environment
//! (`GRIDSPOOL_JOURNAL_MAX_BYTES`), then in the TOML file (`journal_max_bytes`), then in the
//! table. Everything is read before anything is opened, and all that is wrong is told at once.
//! This room must never open a socket or a directory of the journal.

mod source;
mod table;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use source::Source;
use table::command;

/// What the process is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Serve until SIGTERM.
    Run,
    /// Make the data directory, and its marker.
    Init,
    /// Try everything that running needs, and say what is wrong.
    Check,
}

/// Where commits go.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The connection string; holds credentials.
    pub uri: Secret,
    /// Bound of each operation.
    pub timeout: Duration,
    /// Database name.
    pub database: String,
    /// Bucket name: the prefix of its two collections.
    pub bucket: String,
    /// Size in bytes of the chunks that are written.
    pub chunk_size_bytes: u32,
    /// Bytes of bodies in memory, all commits together.
    pub bytes_in_flight: u32,
}

/// Whether the number of commits at once adapts to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPace {
    /// As many as leave readers of the store their speed.
    Adaptive,
    /// Always as many as there may be.
    Fixed,
}

/// Which entries are committed together.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Bytes of the largest entry that goes in a group.
    pub small_bytes: u64,
    /// Entries of a group.
    pub entries: usize,
    /// Bytes of a group.
    pub bytes: u64,
    /// Larger entries side by side.
    pub large: usize,
}

/// How promises are moved.
#[derive(Debug, Clone)]
pub struct CommitConfig {
    /// Commits side by side: large entries, and groups of small ones.
    pub commits: usize,
    /// Whether always that many.
    pub pace: CommitPace,
    /// What goes together.
    pub group: GroupConfig,
    /// Failed attempts before an entry is held.
    pub attempts: u32,
    /// How long a file that was deleted during its commit is watched for writes that come late.
    pub delete_watch: Duration,
    /// Pause after a first failure.
    pub retry_first: Duration,
    /// Longest pause.
    pub retry_max: Duration,
}

/// What makes a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Its last fsync: it survives a power cut.
    Disk,
    /// The operating system's memory: it survives a kill of this process and nothing else.
    Os,
}

impl Durability {
    /// The word in settings and status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
        }
    }
}

/// What the journal may take.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The node number in ids.
    pub node: u16,
    /// What makes a promise.
    pub durability: Durability,
    /// Pending bytes.
    pub max_bytes: u64,
    /// Pending entries.
    pub max_entries: u64,
    /// Free bytes that must stay.
    pub min_free_bytes: u64,
    /// How long a settled body stays.
    pub settled_grace: Duration,
    /// Bytes of settled bodies that may stay.
    pub settled_max_bytes: u64,
    /// Age at which a spool file that no process has open is taken for left behind.
    pub spool_orphan: Duration,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Holds spool, journal and cache.
    pub data_dir: PathBuf,
    /// The socket for nginx.
    pub socket: PathBuf,
    /// The socket for admins.
    pub admin_socket: PathBuf,
    /// Threads of the HTTP server.
    pub workers: usize,
    /// Where commits go.
    pub bucket: BucketConfig,
    /// How they go.
    pub commit: CommitConfig,
    /// What the journal may take.
    pub journal: JournalConfig,
    /// How long a stop may take.
    pub stop_grace: Duration,
    /// `env_logger`'s filter.
    pub log: String,
}

/// A text that must not reach a log: it shows as `***`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line asks for help or the version, or cannot be read; the text to print.
    Usage(clap::Error),
    /// Every wrong setting, a line each.
    Wrong(Vec<String>),
}

impl Config {
    /// Reads the task and all settings.
    ///
    /// `environment` looks a variable up; `check_uri` judges a MongoDB URI, and must not repeat it.
    ///
    /// # Errors
    /// [`ConfigError`], with everything that is wrong.
    pub fn load(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<String>,
        check_uri: impl Fn(&str) -> Result<(), String>,
    ) -> Result<(Task, Self), ConfigError> {
        let matches = command()
            .try_get_matches_from(arguments)
            .map_err(ConfigError::Usage)?;
        let task = match matches.get_one::<String>("task").map(String::as_str) {
            Some("init") => Task::Init,
            Some("check") => Task::Check,
            _ => Task::Run,
        };
        let mut source = Source::new(&matches, &environment);
        let config = source.config(&check_uri);
        if source.wrong.is_empty() {
            Ok((task, config))
        } else {
            Err(ConfigError::Wrong(source.wrong))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(Task, Config), ConfigError> {
        let arguments = std::iter::once("gridspool").chain(arguments.iter().copied());
        let lookup = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let check_uri = |uri: &str| {
            uri.starts_with("mongodb://")
                .then_some(())
                .ok_or_else(|| "not a MongoDB URI".to_owned())
        };
        Config::load(arguments.map(OsString::from), lookup, check_uri)
    }

    fn wrong(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        match load(arguments, environment) {
            Err(ConfigError::Wrong(lines)) => lines,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_right_as_they_stand() {
        let (task, config) = load(&[], &[]).unwrap();
        assert_eq!(task, Task::Run);
        assert_eq!(config.bucket.chunk_size_bytes, 255 * 1024);
        assert_eq!(config.bucket.bucket, "fs");
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "node = 2\nworkers = 3\nbucket = \"media\"\n").unwrap();
        let path = file.path().to_str().unwrap();
        let environment = [
            ("GRIDSPOOL_CONFIG", path),
            ("GRIDSPOOL_NODE", "4"),
            ("GRIDSPOOL_WORKERS", "5"),
        ];
        let (_, config) = load(&["--node", "6"], &environment).unwrap();
        assert_eq!(config.journal.node, 6);
        assert_eq!(config.workers, 5);
        assert_eq!(config.bucket.bucket, "media");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "colour = 1\nworkers = \"many\"\n").unwrap();
        let lines = wrong(
            &[
                "--config",
                file.path().to_str().unwrap(),
                "--node",
                "0",
                "--data-dir",
                "here",
            ],
            &[
                ("GRIDSPOOL_MONGODB_URI", "http://user:password@host/"),
                ("GRIDSPOOL_BUCKET", "a$b"),
            ],
        );
        for name in [
            "colour",
            "workers",
            "node",
            "data_dir",
            "mongodb_uri",
            "bucket",
        ] {
            assert_eq!(
                lines.iter().filter(|line| line.contains(name)).count(),
                1,
                "{name}: {lines:?}"
            );
        }
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(!lines.concat().contains("password"), "{lines:?}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_wrong() {
        let lines = wrong(
            &[
                "--retry-first-ms",
                "9",
                "--retry-max-ms",
                "8",
                "--commit-bytes",
                "2048",
            ],
            &[("GRIDSPOOL_SOCKET", "/a"), ("GRIDSPOOL_ADMIN_SOCKET", "/a")],
        );
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn promises_are_fsynced_unless_the_setting_says_otherwise_in_so_many_words() {
        let durability = |arguments: &[&str]| load(arguments, &[]).unwrap().1.journal.durability;
        assert_eq!(durability(&[]), Durability::Disk);
        assert_eq!(durability(&["--durability", "disk"]), Durability::Disk);
        assert_eq!(durability(&["--durability", "os"]), Durability::Os);
        for word in ["", "OS", "none", "false"] {
            assert_eq!(wrong(&["--durability", word], &[]).len(), 1, "{word}");
        }
    }

    #[test]
    fn little_memory_lowers_defaults_and_nothing_that_is_set() {
        let (_, normal) = load(&[], &[]).unwrap();
        let (_, low) = load(&["--memory", "low"], &[("GRIDSPOOL_WORKERS", "7")]).unwrap();
        assert!(low.bucket.bytes_in_flight < normal.bucket.bytes_in_flight);
        assert!(low.commit.commits < normal.commit.commits);
        assert_eq!(low.workers, 7);
        let lines = wrong(&["--memory", "none", "--commit-pace", "slow"], &[]);
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[test]
    fn a_secret_does_not_show() {
        let (_, config) = load(&["--mongodb-uri", "mongodb://user:password@host/"], &[]).unwrap();
        assert!(!format!("{config:?}").contains("password"));
        assert!(config.bucket.uri.reveal().contains("password"));
    }
}
