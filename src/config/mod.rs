//! Every setting: its name, default, unit and meaning, once.
//!
//! A setting is looked up on the command line (`--journal-max-bytes`), then in the environment
//! (`GRIDSPOOL_JOURNAL_MAX_BYTES`), then in the TOML file (`journal_max_bytes`), then in the table.
//! Everything is read before anything is opened, and all errors are reported at once. This room must
//! never open a socket or a directory of the journal.

mod access;
mod cluster;
mod order;
mod source;
mod table;
mod upkeep;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use source::Source;
use table::command;

pub use access::{AccessConfig, TokenConfig};
pub use cluster::{ClusterConfig, PeerConfig};
pub use order::{KeyKind, KeyOrder, TokenOrder};
pub use upkeep::{FsckOrder, GcOrder, JournalOrder, JournalTask, NodeOrder};

/// The task of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Serve until SIGTERM.
    Run,
    /// Make the data directory, and its marker.
    Init,
    /// Try everything that the sidecar needs, and report what is missing.
    Check,
    /// Print a token, signed with a key of `token_keys`.
    Mint(TokenOrder),
    /// Print a new key.
    NewKey(KeyOrder),
    /// Check every file, and report faults.
    Fsck(FsckOrder),
    /// Remove chunks that belong to no file.
    Gc(GcOrder),
    /// Look into the journal.
    Journal(JournalOrder),
    /// Look after the list of nodes.
    Nodes(NodeOrder),
}

/// The store.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The connection string; holds credentials.
    pub uri: Secret,
    /// The bound on each operation.
    pub timeout: Duration,
    /// Whether a standalone mongod is accepted.
    pub allows_standalone: bool,
    /// Whether chunks are read from the nearest member, primary or secondary.
    pub reads_nearest: bool,
    /// Database name.
    pub database: String,
    /// Bucket name: the prefix of its two collections.
    pub bucket: String,
    /// Size in bytes of new chunks.
    pub chunk_size_bytes: u32,
    /// The bound on bytes of bodies in memory, over all commits.
    pub bytes_in_flight: u32,
}

/// Whether commits adapt to the store and to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPace {
    /// As many as do not slow down readers of the store and clients of this node.
    Adaptive,
    /// Always the greatest number.
    Fixed,
}

/// The entries that are committed together.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Bytes of the largest entry in a group.
    pub small_bytes: u64,
    /// The most entries in a group.
    pub entries: usize,
    /// The most bytes in a group.
    pub bytes: u64,
    /// Larger entries that are committed side by side.
    pub large: usize,
}

/// The pace of commits.
#[derive(Debug, Clone)]
pub struct CommitConfig {
    /// Commits side by side: large entries, and groups of small ones.
    pub commits: usize,
    /// Whether that number is adapted.
    pub pace: CommitPace,
    /// The entries that share a group.
    pub group: GroupConfig,
    /// Failed attempts before an entry is held.
    pub attempts: u32,
    /// The time for which late writes may come for a file that was deleted during its commit.
    pub delete_watch: Duration,
    /// Pause after the first failure.
    pub retry_first: Duration,
    /// Longest pause.
    pub retry_max: Duration,
}

/// The fate of a keyed upload while too few nodes answer to tell whether it was taken in before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenUnsure {
    /// It is refused, and its sender tries again.
    #[default]
    Refuse,
    /// It is taken in, and may be there twice then.
    Accept,
}

/// The condition of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The fsync: the promise survives a power cut.
    Disk,
    /// The operating system's memory: the promise survives a kill of this process only.
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

/// The limits of the journal.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The node number in ids.
    pub node: u16,
    /// The condition of a promise.
    pub durability: Durability,
    /// Longest body in the log; 0 for none.
    pub log_body_bytes: u32,
    /// The most pending bytes.
    pub max_bytes: u64,
    /// The most pending entries.
    pub max_entries: u64,
    /// Bytes of the disk that stay free.
    pub min_free_bytes: u64,
    /// Inodes of the disk that stay free.
    pub min_free_inodes: u64,
    /// The time that a settled body is kept.
    pub settled_grace: Duration,
    /// The most bytes of settled bodies.
    pub settled_max_bytes: u64,
    /// The time that the answer to a request with an idempotency key is kept.
    pub answer_lifetime: Duration,
    /// Kept answers, at most, counted in files.
    pub max_answers: usize,
    /// Age from which a spool file that no process has open counts as left behind.
    pub spool_orphan: Duration,
    /// The time after which an upload ends that has stood still.
    pub upload_lifetime: Duration,
    /// The most uploads that may still grow; a tenth of it for one subject.
    pub max_open_uploads: u64,
}

/// The bounds of lists of receivers.
#[derive(Debug, Clone)]
pub struct ListConfig {
    /// The most receivers that wait for messages at once.
    pub max_waiting: usize,
    /// The most messages that wait for one receiver; 0 means no limit.
    pub receiver_max_waiting: u64,
    /// Bytes of messages in memory, at most.
    pub cache_bytes: usize,
}

/// The bounds of readers of uploads that are not complete.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// The most readers at once.
    pub max_readers: usize,
    /// The time that a reader waits for more bytes.
    pub patience: Duration,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of spool, journal and cache.
    pub data_dir: PathBuf,
    /// The socket for nginx.
    pub socket: PathBuf,
    /// The socket for admins.
    pub admin_socket: PathBuf,
    /// Threads of the HTTP server.
    pub workers: usize,
    /// The rights of callers.
    pub access: AccessConfig,
    /// The other nodes.
    pub cluster: ClusterConfig,
    /// The fate of a keyed upload if nobody knows whether it was taken in before.
    pub when_unsure: WhenUnsure,
    /// The store.
    pub bucket: BucketConfig,
    /// The pace of commits.
    pub commit: CommitConfig,
    /// The limits of the journal.
    pub journal: JournalConfig,
    /// The lists of receivers.
    pub lists: ListConfig,
    /// The readers of uploads that are not complete.
    pub live: LiveConfig,
    /// The bound on a stop.
    pub stop_grace: Duration,
    /// The interval between two walks through nginx's cache.
    pub cache_check: Duration,
    /// `env_logger`'s filter.
    pub log: String,
}

/// A text that must not reach a log: it is displayed as `***`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for its only user.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The reason why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line asks for help or the version, or is wrong; the text to print.
    Usage(clap::Error),
    /// Every wrong setting, a line each.
    Wrong(Vec<String>),
}

impl Config {
    /// Reads the task and all settings.
    ///
    /// `environment` looks up a variable. `check_uri` checks a MongoDB URI, and must not repeat it.
    ///
    /// # Errors
    /// [`ConfigError`] with all errors.
    pub fn load(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<String>,
        check_uri: impl Fn(&str) -> Result<(), String>,
    ) -> Result<(Task, Self), ConfigError> {
        let matches = command()
            .try_get_matches_from(arguments)
            .map_err(ConfigError::Usage)?;
        let task = match matches.subcommand() {
            Some(order) => order::read(order),
            None => match matches.get_one::<String>("task").map(String::as_str) {
                Some("init") => Task::Init,
                Some("check") => Task::Check,
                _ => Task::Run,
            },
        };
        let mut matches = &matches;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        let source = Source::new(matches, &environment);
        let mut source = source.map_err(|err| ConfigError::Wrong(vec![err]))?;
        let config = source.config(&check_uri);
        let is_guarded = config.access.tokens.is_some();
        if matches!(task, Task::Mint(_)) && !is_guarded {
            source
                .wrong
                .push("token_keys: no key to sign with".to_owned());
        }
        let is_serving = matches!(task, Task::Run | Task::Check);
        if is_serving && !is_guarded && !config.access.is_open {
            source.wrong.push(access::NO_KEYS.to_owned());
        }
        if source.wrong.is_empty() {
            Ok((task, config))
        } else {
            Err(ConfigError::Wrong(source.wrong))
        }
    }
}

#[cfg(test)]
mod tests;
