//! The table of settings, and the command line that is made from it.

use clap::{Arg, Command};

use super::order;

/// The unit of a boolean setting.
const SWITCH: &str = "BOOL";

/// One setting, as `--help`, the environment and the file know it.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) default: &'static str,
    pub(super) meaning: &'static str,
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
pub(super) const SETTINGS: &[Setting] = &[
    setting("data_dir", "DIR", "/var/lib/gridspool", "holds spool, journal and nginx's cache: one file system"),
    setting("socket", "PATH", "/run/gridspool/gridspool.sock", "unix socket for nginx"),
    setting("admin_socket", "PATH", "/run/gridspool/admin.sock", "unix socket for scripts, mode 0600"),
    setting("token_keys", "FILE", "none", "keys that tokens are signed with, a JWK set; none: insecure_no_auth is needed"),
    setting("token_audience", "TEXT", "gridspool", "what the claim aud of a token must hold"),
    setting("insecure_no_auth", "BOOL", "false", "true: serve everybody who reaches the socket, as something else checks requests"),
    setting("max_body_bytes", "BYTES", "17179869184", "uploads larger than this get 413"),
    setting("subject_uploads_per_minute", "COUNT", "0", "uploads of one subject above which it gets 429; 0: no limit"),
    setting("subject_pending_bytes", "BYTES", "0", "pending bytes of one subject above which it gets 429; 0: no limit"),
    setting("node", "NUMBER", "1", "this node's number in file ids, 1 to 65535, another on each node"),
    setting("advertise", "URL", "none", "where other nodes reach this one's nginx, as http://10.0.0.1:8080; none: only by their peers"),
    setting("peers", "LIST", "none", "other nodes, for when MongoDB does not tell, as 2=http://10.0.0.2:8080 3=http://10.0.0.3:8080"),
    setting("peer_key", "FILE", "none", "keys that all nodes share, one a line: the first signs, all are believed"),
    setting("memory", "WORD", "normal", "normal; low: lower defaults for all that takes memory"),
    setting("workers", "THREADS", "2", "threads that speak with nginx"),
    setting("mongodb_uri", "URI", "mongodb://127.0.0.1:27017", "where MongoDB is, with its credentials"),
    setting("mongodb_timeout_ms", "MS", "10000", "bound of each single MongoDB operation"),
    setting("mongodb_standalone", "BOOL", "false", "true: commit to a standalone mongod too, whose acknowledgements prove less"),
    setting("mongodb_read_preference", "WORD", "primary", "primary; nearest: read bytes of files from secondaries too"),
    setting("database", "NAME", "gridspool", "database of the bucket"),
    setting("bucket", "NAME", "fs", "GridFS bucket: its collections are NAME.files and NAME.chunks"),
    setting("chunk_size_bytes", "BYTES", "261120", "size of GridFS chunks that are written"),
    setting("commit_entries", "COUNT", "4", "commits side by side, at most: large files, and groups of small ones"),
    setting("commit_pace", "WORD", "adaptive", "adaptive: fewer while readers of MongoDB or clients of this node have to wait; fixed: never fewer"),
    setting("commit_bytes", "BYTES", "8388608", "bytes of bodies in memory for commits, all together"),
    setting("commit_attempts", "COUNT", "10", "failed attempts, none of which brought in more of an entry, after which it is held for an admin"),
    setting("delete_watch_seconds", "SECONDS", "60", "how long a file deleted during its commit is watched for late writes"),
    setting("retry_first_ms", "MS", "500", "pause after a first failure; it doubles with each further one"),
    setting("retry_max_ms", "MS", "30000", "longest such pause"),
    setting("durability", "WORD", "disk", "disk: a 201 survives a power cut; os: DANGEROUS, no fsync, a power cut loses what was answered"),
    setting("log_body_bytes", "BYTES", "65536", "longest body that goes into the journal's log, not into a file of its own; 0: none"),
    setting("journal_max_bytes", "BYTES", "17179869184", "pending bytes above which uploads get 503"),
    setting("journal_max_entries", "COUNT", "1000000", "pending entries above which uploads get 503"),
    setting("min_free_bytes", "BYTES", "268435456", "free disk space below which uploads get 507"),
    setting("min_free_inodes", "COUNT", "1000", "free inodes of the disk below which uploads get 507"),
    setting("settled_grace_seconds", "SECONDS", "60", "how long a body stays after its commit"),
    setting("settled_max_bytes", "BYTES", "1073741824", "bytes of such bodies that may stay; the oldest go first"),
    setting("idempotency_seconds", "SECONDS", "86400", "how long an upload sent again with its Idempotency-Key gets the first answer; 0: never"),
    setting("idempotency_files", "COUNT", "300000", "files of which such answers are kept, and votes of other nodes; the oldest of the sender that has most go first"),
    setting("idempotency_when_unsure", "WORD", "refuse", "keyed uploads while too few nodes can tell whether they were taken before: refuse: 503; accept: take them, perhaps twice"),
    setting("upload_lifetime_seconds", "SECONDS", "86400", "how long a resumable upload may stand still before it ends"),
    setting("max_open_uploads", "COUNT", "10000", "resumable uploads that are not complete above which new ones get 503; a tenth of it for one subject"),
    setting("live_wait_seconds", "SECONDS", "60", "how long a reader of an upload that is not complete waits for more bytes, 1 to 300"),
    setting("max_live_readers", "COUNT", "2000", "readers of such uploads at once, above which they get 503"),
    setting("receiver_max_waiting", "COUNT", "10000", "messages in the list of a receiver above which it gets no more (409); 0: no limit"),
    setting("max_waiting_lists", "COUNT", "1000", "receivers who wait for messages at once, above which they get 503"),
    setting("message_cache_bytes", "BYTES", "8388608", "bytes of messages in memory that were read a moment ago"),
    setting("cache_check_seconds", "SECONDS", "600", "how often nginx's cache is looked through for files that are gone"),
    setting("spool_orphan_seconds", "SECONDS", "60", "age at which a spool file that no process has open is removed"),
    setting("stop_grace_seconds", "SECONDS", "20", "how long SIGTERM waits for running requests and commits"),
    setting("log", "FILTER", "info,mongodb=warn,actix_server=warn,actix_http=off", "what is logged, in env_logger's words"),
];

/// Values that replace some defaults when `memory` is `low`.
pub(super) const LOW_MEMORY: &[(&str, &str)] = &[
    ("workers", "1"),
    ("commit_entries", "2"),
    ("commit_bytes", "3145728"),
    ("idempotency_files", "60000"),
    ("message_cache_bytes", "2097152"),
    ("max_live_readers", "500"),
];

/// The command line, built from the table.
pub(super) fn command() -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .global(true)
        .help("TOML file with settings [env: GRIDSPOOL_CONFIG]");
    let task = Arg::new("task")
        .value_parser(["run", "init", "check"])
        .default_value("run")
        .help("run: serve until SIGTERM; init: make the data directory; check: try all that running needs");
    let settings = SETTINGS.iter().map(|setting| {
        let argument = Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .value_name(setting.unit)
            .global(true);
        // A boolean option may have no value; the next word must not be taken for it, as it is the
        // task.
        let argument = if setting.unit == SWITCH {
            argument
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
        } else {
            argument
        };
        argument.help(format!(
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
        .subcommands(order::commands())
}

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("GRIDSPOOL_{}", name.to_uppercase())
}
