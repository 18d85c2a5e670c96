//! Every setting: its name, default, unit and meaning, once.
//!
//! A setting is looked up on the command line (`--journal-max-bytes`), then in the environment
//! (`GRIDSPOOL_JOURNAL_MAX_BYTES`), then in the TOML file (`journal_max_bytes`), then in the table
//! below. Everything is read before anything is opened, and all that is wrong is told at once.
//! This room must never open a socket or a directory of the journal.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

/// One setting, as `--help`, the environment and the file know it.
struct Setting {
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    meaning: &'static str,
}

const fn setting(
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        name,
        unit,
        default,
        meaning,
    }
}

#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    setting("data_dir", "DIR", "/var/lib/gridspool", "holds spool, journal and nginx's cache: one file system"),
    setting("socket", "PATH", "/run/gridspool/gridspool.sock", "unix socket for nginx"),
    setting("admin_socket", "PATH", "/run/gridspool/admin.sock", "unix socket for scripts, mode 0600"),
    setting("node", "NUMBER", "1", "this node's number in file ids, 1 to 65535, another on each node"),
    setting("workers", "THREADS", "2", "threads that speak with nginx"),
    setting("mongodb_uri", "URI", "mongodb://127.0.0.1:27017", "where MongoDB is, with its credentials"),
    setting("mongodb_timeout_ms", "MS", "10000", "bound of each single MongoDB operation"),
    setting("database", "NAME", "gridspool", "database of the bucket"),
    setting("bucket", "NAME", "fs", "GridFS bucket: its collections are NAME.files and NAME.chunks"),
    setting("chunk_size_bytes", "BYTES", "261120", "size of GridFS chunks that are written"),
    setting("commit_entries", "COUNT", "4", "entries committed side by side"),
    setting("commit_bytes", "BYTES", "4194304", "bytes of bodies in memory for commits, all together"),
    setting("commit_attempts", "COUNT", "10", "failed attempts after which an entry is held for an admin"),
    setting("retry_first_ms", "MS", "500", "pause after a first failure; it doubles with each further one"),
    setting("retry_max_ms", "MS", "30000", "longest such pause"),
    setting("journal_max_bytes", "BYTES", "17179869184", "pending bytes above which uploads get 503"),
    setting("journal_max_entries", "COUNT", "1000000", "pending entries above which uploads get 503"),
    setting("min_free_bytes", "BYTES", "268435456", "free disk space below which uploads get 503"),
    setting("settled_grace_seconds", "SECONDS", "60", "how long a body stays after its commit"),
    setting("settled_max_bytes", "BYTES", "1073741824", "bytes of such bodies that may stay; the oldest go first"),
    setting("spool_orphan_seconds", "SECONDS", "900", "age at which a spool file that nginx left behind is removed"),
    setting("stop_grace_seconds", "SECONDS", "20", "how long SIGTERM waits for running requests and commits"),
    setting("log", "FILTER", "info,mongodb=warn,actix_server=warn", "what is logged, in env_logger's words"),
];

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

/// How promises are moved.
#[derive(Debug, Clone)]
pub struct CommitConfig {
    /// Entries side by side.
    pub entries: usize,
    /// Failed attempts before an entry is held.
    pub attempts: u32,
    /// Pause after a first failure.
    pub retry_first: Duration,
    /// Longest pause.
    pub retry_max: Duration,
}

/// What the journal may take.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The node number in ids.
    pub node: u16,
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
    /// Age of a spool file that nobody will claim any more.
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

/// The command line, made from the table.
fn command() -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("TOML file with settings [env: GRIDSPOOL_CONFIG]");
    let task = Arg::new("task")
        .value_parser(["run", "init", "check"])
        .default_value("run")
        .help("run: serve until SIGTERM; init: make the data directory; check: try all that running needs");
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .value_name(setting.unit)
            .help(format!(
                "{} [env: {}] [default: {}]",
                setting.meaning,
                variable(setting.name),
                setting.default
            ))
    });
    Command::new("gridspool")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .arg(task)
        .arg(file)
        .args(settings)
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("GRIDSPOOL_{}", name.to_uppercase())
}

/// Where settings are looked up, and what was found wrong.
struct Source<'a> {
    matches: &'a ArgMatches,
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: toml::Table,
    wrong: Vec<String>,
}

impl<'a> Source<'a> {
    fn new(matches: &'a ArgMatches, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut source = Self {
            matches,
            environment,
            file: toml::Table::new(),
            wrong: Vec::new(),
        };
        let path = matches
            .get_one::<String>("config")
            .cloned()
            .or_else(|| environment("GRIDSPOOL_CONFIG"));
        if let Some(path) = path {
            source.read_file(&path);
        }
        source
    }

    fn read_file(&mut self, path: &str) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) => return self.wrong.push(format!("config file {path}: {err}")),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => self.file = table,
            Err(err) => return self.wrong.push(format!("config file {path}: {err}")),
        }
        for key in self.file.keys() {
            if !SETTINGS.iter().any(|setting| setting.name == key) {
                self.wrong
                    .push(format!("config file {path}: there is no setting {key}"));
            }
        }
    }

    /// The text of a setting, from the first place that has it.
    fn text(&self, name: &str) -> String {
        let from_file = || {
            let value = self.file.get(name)?;
            // A string without its quotes; a number as it is written.
            Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        };
        let default = || {
            let setting = SETTINGS.iter().find(|setting| setting.name == name);
            setting.map_or_else(String::new, |setting| setting.default.to_owned())
        };
        self.matches
            .get_one::<String>(name)
            .cloned()
            .or_else(|| (self.environment)(&variable(name)))
            .or_else(from_file)
            .unwrap_or_else(default)
    }

    /// A number within bounds; the lower bound stands in for a wrong one.
    fn number<T>(&mut self, name: &str, bounds: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let text = self.text(name);
        match text.parse() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                self.wrong.push(format!(
                    "{name}: {text:?} is not a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                ));
                *bounds.start()
            }
        }
    }

    fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.number(name, 1..=86_400_000))
    }

    fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.number(name, 0..=31_536_000))
    }

    fn absolute_path(&mut self, name: &str) -> PathBuf {
        let path = PathBuf::from(self.text(name));
        if !path.is_absolute() {
            self.wrong.push(format!(
                "{name}: {} is not an absolute path",
                path.display()
            ));
        }
        path
    }

    /// A socket's path: the kernel takes no more than 107 bytes.
    fn socket_path(&mut self, name: &str) -> PathBuf {
        let path = self.absolute_path(name);
        if path.as_os_str().len() > 107 {
            self.wrong
                .push(format!("{name}: a socket's path has at most 107 bytes"));
        }
        path
    }

    /// The name of a database or a bucket, in characters that MongoDB takes everywhere.
    fn mongodb_name(&mut self, name: &str) -> String {
        let text = self.text(name);
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        let is_bucket_dot = |char: char| name == "bucket" && char == '.';
        let is_good = (1..=60).contains(&text.len())
            && text
                .chars()
                .all(|char| is_plain(char) || is_bucket_dot(char))
            && !text.starts_with('.')
            && !text.ends_with('.');
        if !is_good {
            self.wrong.push(format!(
                "{name}: {text:?} is not a name of 1 to 60 letters, digits, _ and -"
            ));
        }
        text
    }

    fn config(&mut self, check_uri: &dyn Fn(&str) -> Result<(), String>) -> Config {
        let config = Config {
            data_dir: self.absolute_path("data_dir"),
            socket: self.socket_path("socket"),
            admin_socket: self.socket_path("admin_socket"),
            workers: self.number("workers", 1..=256),
            bucket: self.bucket(check_uri),
            commit: CommitConfig {
                entries: self.number("commit_entries", 1..=256),
                attempts: self.number("commit_attempts", 1..=1_000_000),
                retry_first: self.millis("retry_first_ms"),
                retry_max: self.millis("retry_max_ms"),
            },
            journal: JournalConfig {
                node: self.number("node", 1..=u16::MAX),
                max_bytes: self.number("journal_max_bytes", 0..=u64::MAX),
                max_entries: self.number("journal_max_entries", 0..=u64::MAX),
                min_free_bytes: self.number("min_free_bytes", 0..=u64::MAX),
                settled_grace: self.seconds("settled_grace_seconds"),
                settled_max_bytes: self.number("settled_max_bytes", 0..=u64::MAX),
                spool_orphan: self.seconds("spool_orphan_seconds"),
            },
            stop_grace: self.seconds("stop_grace_seconds"),
            log: self.text("log"),
        };
        if config.commit.retry_first > config.commit.retry_max {
            self.wrong
                .push("retry_first_ms: larger than retry_max_ms".to_owned());
        }
        if config.socket == config.admin_socket {
            self.wrong
                .push("admin_socket: the same as socket".to_owned());
        }
        config
    }

    fn bucket(&mut self, check_uri: &dyn Fn(&str) -> Result<(), String>) -> BucketConfig {
        let uri = self.text("mongodb_uri");
        if let Err(reason) = check_uri(&uri) {
            self.wrong.push(format!("mongodb_uri: {reason}"));
        }
        // A chunk is one document of at most 16 MiB, and a batch has at least one chunk.
        let chunk_size_bytes = self.number("chunk_size_bytes", 1024..=15 * 1024 * 1024);
        let bytes_in_flight = self.number("commit_bytes", 1024..=1024 * 1024 * 1024);
        if bytes_in_flight < chunk_size_bytes {
            self.wrong
                .push("commit_bytes: smaller than chunk_size_bytes".to_owned());
        }
        BucketConfig {
            uri: Secret(uri),
            timeout: self.millis("mongodb_timeout_ms"),
            database: self.mongodb_name("database"),
            bucket: self.mongodb_name("bucket"),
            chunk_size_bytes,
            bytes_in_flight,
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
    fn a_secret_does_not_show() {
        let (_, config) = load(&["--mongodb-uri", "mongodb://user:password@host/"], &[]).unwrap();
        assert!(!format!("{config:?}").contains("password"));
        assert!(config.bucket.uri.reveal().contains("password"));
    }
}
