//! Looks up settings in each place, and collects their errors.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ArgMatches;

use super::table::{LOW_MEMORY, SETTINGS, variable};
use super::{
    AccessConfig, BucketConfig, CommitConfig, CommitPace, Config, Durability, GroupConfig,
    JournalConfig, ListConfig, LiveConfig, Secret, TokenConfig, WhenUnsure,
};

/// The largest entry that is committed in a group.
const SMALL_BYTES: u64 = 256 * 1024;

/// The most entries in a group.
const GROUP_ENTRIES: usize = 384;
const GROUP_BYTES: u64 = 3 * 1024 * 1024;

/// The places of settings, and the errors found so far.
pub(super) struct Source<'a> {
    matches: &'a ArgMatches,
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: toml::Table,
    is_low_on_memory: bool,
    pub(super) wrong: Vec<String>,
}

impl<'a> Source<'a> {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read: what it would have said is not known.
    pub(super) fn new(
        matches: &'a ArgMatches,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut source = Self {
            matches,
            environment,
            file: toml::Table::new(),
            is_low_on_memory: false,
            wrong: Vec::new(),
        };
        let path = matches
            .get_one::<String>("config")
            .cloned()
            .or_else(|| environment("GRIDSPOOL_CONFIG"));
        if let Some(path) = path {
            source.read_file(&path)?;
        }
        source.is_low_on_memory = source.word("memory", ["normal", "low"]) == "low";
        Ok(source)
    }

    fn read_file(&mut self, path: &str) -> Result<(), String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|err| format!("config file {path}: {err}"))?;
        self.file = text.parse().map_err(|err: toml::de::Error| {
            // Its own text has the whole line, and with it perhaps a password.
            let before = err.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            format!("config file {path}, line {line}: {}", err.message())
        })?;
        for key in self.file.keys() {
            if !SETTINGS.iter().any(|setting| setting.name == key) {
                self.wrong
                    .push(format!("config file {path}: there is no setting {key}"));
            }
        }
        Ok(())
    }

    /// The text of a setting, from the first place that has it.
    pub(super) fn text(&self, name: &str) -> String {
        let from_file = || {
            let value = self.file.get(name)?;
            // A string without its quotes; a number as it is written.
            Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        };
        let low = || {
            let found = LOW_MEMORY.iter().find(|(known, _)| *known == name);
            found.filter(|_| self.is_low_on_memory)
        };
        let default = || {
            let setting = SETTINGS.iter().find(|setting| setting.name == name);
            let default = setting.map_or("", |setting| setting.default);
            low().map_or(default, |&(_, low)| low).to_owned()
        };
        self.matches
            .get_one::<String>(name)
            .cloned()
            .or_else(|| (self.environment)(&variable(name)))
            .or_else(from_file)
            .unwrap_or_else(default)
    }

    /// A number within bounds; the lower bound replaces a wrong one.
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

    /// One of two words; the first replaces a wrong one.
    fn word(&mut self, name: &str, [first, second]: [&'static str; 2]) -> &'static str {
        match self.text(name) {
            text if text == first => first,
            text if text == second => second,
            text => {
                self.wrong
                    .push(format!("{name}: {text:?} is neither {first} nor {second}"));
                first
            }
        }
    }

    fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.number(name, 1..=86_400_000))
    }

    fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.number(name, 0..=31_536_000))
    }

    pub(super) fn absolute_path(&mut self, name: &str) -> PathBuf {
        let path = PathBuf::from(self.text(name));
        if !path.is_absolute() {
            self.wrong.push(format!(
                "{name}: {} is not an absolute path",
                path.display()
            ));
        }
        path
    }

    /// A socket's path: the kernel allows 107 bytes at most.
    fn socket_path(&mut self, name: &str) -> PathBuf {
        let path = self.absolute_path(name);
        if path.as_os_str().len() > 107 {
            self.wrong
                .push(format!("{name}: a socket's path has at most 107 bytes"));
        }
        path
    }

    /// The name of a database or a bucket, in characters that MongoDB allows everywhere.
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

    fn durability(&mut self) -> Durability {
        let text = self.text("durability");
        let known = [Durability::Disk, Durability::Os];
        let found = known.into_iter().find(|known| known.name() == text);
        found.unwrap_or_else(|| {
            self.wrong
                .push(format!("durability: {text:?} is neither disk nor os"));
            Durability::Disk
        })
    }

    pub(super) fn config(&mut self, check_uri: &dyn Fn(&str) -> Result<(), String>) -> Config {
        let bucket = self.bucket(check_uri);
        let node = self.number("node", 1..=u16::MAX);
        let config = Config {
            data_dir: self.absolute_path("data_dir"),
            socket: self.socket_path("socket"),
            admin_socket: self.socket_path("admin_socket"),
            workers: self.number("workers", 1..=256),
            access: self.access(),
            cluster: self.cluster(node),
            when_unsure: match self.word("idempotency_when_unsure", ["refuse", "accept"]) {
                "accept" => WhenUnsure::Accept,
                _ => WhenUnsure::Refuse,
            },
            commit: self.commit(bucket.bytes_in_flight.into()),
            bucket,
            journal: JournalConfig {
                node,
                durability: self.durability(),
                log_body_bytes: self.number("log_body_bytes", 0..=1024 * 1024),
                max_bytes: self.number("journal_max_bytes", 0..=u64::MAX),
                max_entries: self.number("journal_max_entries", 0..=u64::MAX),
                min_free_bytes: self.number("min_free_bytes", 0..=u64::MAX),
                min_free_inodes: self.number("min_free_inodes", 0..=u64::MAX),
                settled_grace: self.seconds("settled_grace_seconds"),
                settled_max_bytes: self.number("settled_max_bytes", 0..=u64::MAX),
                answer_lifetime: self.seconds("idempotency_seconds"),
                max_answers: self.number("idempotency_files", 0..=10_000_000),
                spool_orphan: self.seconds("spool_orphan_seconds"),
                upload_lifetime: self.seconds("upload_lifetime_seconds"),
                max_open_uploads: self.number("max_open_uploads", 0..=10_000_000),
            },
            lists: ListConfig {
                max_waiting: self.number("max_waiting_lists", 0..=100_000),
                receiver_max_waiting: self.number("receiver_max_waiting", 0..=1_000_000_000),
                cache_bytes: self.number("message_cache_bytes", 0..=1024 * 1024 * 1024),
            },
            live: LiveConfig {
                max_readers: self.number("max_live_readers", 0..=100_000),
                patience: Duration::from_secs(self.number("live_wait_seconds", 1..=300)),
            },
            stop_grace: self.seconds("stop_grace_seconds"),
            cache_check: self
                .seconds("cache_check_seconds")
                .max(Duration::from_secs(1)),
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

    /// `bytes` is the bound on bytes in flight.
    fn commit(&mut self, bytes: u64) -> CommitConfig {
        let commits = self.number("commit_entries", 1..=256);
        CommitConfig {
            commits,
            pace: match self.word("commit_pace", ["adaptive", "fixed"]) {
                "fixed" => CommitPace::Fixed,
                _ => CommitPace::Adaptive,
            },
            group: GroupConfig {
                small_bytes: SMALL_BYTES.min(bytes),
                entries: GROUP_ENTRIES,
                bytes: GROUP_BYTES.min(bytes / 8 * 3),
                // The other commits are for groups: no small entry waits for the end of a large one.
                large: (commits / 2).max(1),
            },
            attempts: self.number("commit_attempts", 1..=1_000_000),
            delete_watch: self.seconds("delete_watch_seconds"),
            retry_first: self.millis("retry_first_ms"),
            retry_max: self.millis("retry_max_ms"),
        }
    }

    fn access(&mut self) -> AccessConfig {
        let has_keys = self.text("token_keys") != "none";
        let keys = has_keys.then(|| self.absolute_path("token_keys"));
        let is_open = self.switch("insecure_no_auth");
        if is_open && has_keys {
            self.wrong.push(
                "insecure_no_auth: token_keys is set too; one of them is a mistake".to_owned(),
            );
        }
        AccessConfig {
            tokens: keys.map(|keys| TokenConfig {
                keys,
                audience: self.text("token_audience"),
            }),
            is_open,
            max_body_bytes: self.number("max_body_bytes", 0..=u64::MAX),
            subject_uploads_per_minute: self.number("subject_uploads_per_minute", 0..=u32::MAX),
            subject_pending_bytes: self.number("subject_pending_bytes", 0..=u64::MAX),
        }
    }

    fn switch(&mut self, name: &str) -> bool {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| {
            self.wrong
                .push(format!("{name}: {text:?} is neither true nor false"));
            false
        })
    }

    fn bucket(&mut self, check_uri: &dyn Fn(&str) -> Result<(), String>) -> BucketConfig {
        let uri = self.text("mongodb_uri");
        if let Err(reason) = check_uri(&uri) {
            self.wrong.push(format!("mongodb_uri: {reason}"));
        }
        // A chunk is one document of at most 16 MiB, and a batch has at least one chunk. The next group
        // is read before its permit comes, and must leave room for a batch: otherwise both would wait
        // for ever.
        let chunk_size_bytes = self.number("chunk_size_bytes", 1024..=15 * 1024 * 1024);
        let bytes_in_flight = self.number("commit_bytes", 1024..=1024 * 1024 * 1024);
        if bytes_in_flight / 2 < chunk_size_bytes {
            self.wrong
                .push("commit_bytes: smaller than two chunks of chunk_size_bytes".to_owned());
        }
        BucketConfig {
            uri: Secret(uri),
            timeout: self.millis("mongodb_timeout_ms"),
            allows_standalone: self.switch("mongodb_standalone"),
            reads_nearest: self.word("mongodb_read_preference", ["primary", "nearest"])
                == "nearest",
            database: self.mongodb_name("database"),
            bucket: self.mongodb_name("bucket"),
            chunk_size_bytes,
            bytes_in_flight,
        }
    }
}
