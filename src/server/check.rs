//! Tries everything that the sidecar needs, while a sidecar may be running already.

use std::path::Path;

use super::{ServeError, require_owner};
use crate::bucket::Bucket;
use crate::config::Config;
use crate::journal::{Journal, LocalDisk};
use crate::peers::Peers;
use crate::store::Store as _;
use crate::token::Keyring;

/// One thing that the sidecar needs.
#[derive(Debug)]
pub struct Check {
    /// The thing that was tried.
    pub subject: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of one check.
#[derive(Debug)]
pub enum Outcome {
    /// It is there.
    Good,
    /// It is missing; the service manager makes it when it starts the sidecar.
    Later(String),
    /// It is missing, or cannot be used.
    Wrong(String),
}

impl Outcome {
    fn of<T>(tried: Result<T, impl ToString>) -> Self {
        match tried {
            Ok(_) => Self::Good,
            Err(err) => Self::Wrong(err.to_string()),
        }
    }
}

/// Tries everything as the user of this process, which must be the sidecar's user.
pub async fn check(config: &Config) -> Vec<Check> {
    let finding = |subject: String, outcome| Check { subject, outcome };
    let journal = require_owner(&config.data_dir)
        .and_then(|()| Journal::check(&config.data_dir, &LocalDisk).map_err(ServeError::Journal));
    let mut findings = vec![finding(
        format!(
            "{}: marker, directories, hard links from spool to journal",
            config.data_dir.display()
        ),
        Outcome::of(journal),
    )];
    if let Some(tokens) = &config.access.tokens {
        findings.push(finding(
            format!("{}: keys of tokens", tokens.keys.display()),
            Outcome::of(Keyring::load(&tokens.keys, &tokens.audience)),
        ));
    }
    if let Some(key) = &config.cluster.key {
        findings.push(finding(
            format!("{}: keys that nodes share", key.display()),
            Outcome::of(Peers::new(config.journal.node, &config.cluster)),
        ));
    }
    for socket in [&config.socket, &config.admin_socket] {
        findings.push(finding(
            format!("{}: directory", socket.display()),
            directory_of(socket),
        ));
    }
    let answer = match Bucket::new(&config.bucket, &config.data_dir).await {
        Ok(bucket) => {
            let answer = Outcome::of(bucket.ping().await);
            bucket.close().await;
            answer
        }
        Err(err) => Outcome::Wrong(err),
    };
    findings.push(finding(
        "MongoDB: answers, and has the bucket's indexes".to_owned(),
        answer,
    ));
    findings
}

/// Whether a socket has a directory. `/run` is empty after each boot: a service manager makes the
/// directories directly below it, for as long as their service or socket exists.
fn directory_of(socket: &Path) -> Outcome {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    match directory.metadata() {
        Ok(found) if found.is_dir() => Outcome::Good,
        Ok(_) => Outcome::Wrong("is no directory".to_owned()),
        Err(_) if directory.parent() == Some(Path::new("/run")) => Outcome::Later(format!(
            "{} is not there yet; the service makes it when it starts",
            directory.display()
        )),
        Err(err) => Outcome::Wrong(err.to_string()),
    }
}
