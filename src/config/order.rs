//! The tasks that have options of their own. `token` and `key` are hidden: `scripts/token` calls them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Task, upkeep};

/// A token to be minted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOrder {
    /// The name of the signing key; without it the first that can sign.
    pub kid: Option<String>,
    /// The words of its scope.
    pub scope: Vec<String>,
    /// Its lifetime.
    pub seconds: u64,
    /// Its subject.
    pub subject: Option<String>,
    /// The only file that it is for.
    pub file: Option<String>,
    /// Bytes of the largest upload.
    pub max_bytes: Option<u64>,
    /// Types that may be uploaded.
    pub types: Vec<String>,
    /// Metadata that is kept with each upload.
    pub metadata: BTreeMap<String, String>,
    /// The only sender of messages.
    pub from: Option<String>,
    /// The only receivers of messages.
    pub to: Vec<String>,
    /// The receiver of the messages that may be read.
    pub receiver: Option<String>,
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOrder {
    /// Its algorithm.
    pub kind: KeyKind,
    /// Its name.
    pub kid: String,
    /// The file to write it to; without it the key is printed.
    pub out: Option<PathBuf>,
}

/// The algorithms that tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// HMAC with SHA-256: a host that can verify can also mint.
    Hs256,
    /// Ed25519: a host that verifies needs the public key only.
    EdDsa,
}

/// The tasks, as the command line knows them.
pub(super) fn commands() -> Vec<Command> {
    let one = |name: &'static str, unit: &'static str| Arg::new(name).long(name).value_name(unit);
    let token = Command::new("token").hide(true).args([
        one("scope", "WORDS").required(true),
        one("kid", "KEY"),
        one("seconds", "SECONDS")
            .value_parser(value_parser!(u64))
            .default_value("600"),
        one("sub", "SUBJECT"),
        one("file", "ID"),
        one("max-bytes", "BYTES").value_parser(value_parser!(u64)),
        one("type", "TYPE").action(ArgAction::Append),
        one("meta", "NAME=TEXT")
            .action(ArgAction::Append)
            .value_parser(pair),
        one("from", "NAME"),
        one("to", "NAME").action(ArgAction::Append),
        one("receiver", "NAME"),
    ]);
    let key = Command::new("key").hide(true).args([
        one("algorithm", "HS256|EdDSA")
            .value_parser(["HS256", "EdDSA"])
            .default_value("HS256"),
        one("kid", "KEY").required(true),
        one("out", "FILE"),
    ]);
    let mut commands = vec![token, key];
    commands.extend(upkeep::commands());
    commands
}

/// Reads the task that was ordered.
pub(super) fn read((name, matches): (&str, &ArgMatches)) -> Task {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    if name == "fsck" {
        return Task::Fsck(upkeep::read_fsck(matches));
    }
    if name == "gc" {
        return Task::Gc(upkeep::read_gc(matches));
    }
    if name == "journal" {
        return Task::Journal(upkeep::read_journal(matches));
    }
    if name == "node" {
        return Task::Nodes(upkeep::read_node(matches));
    }
    if name == "key" {
        let is_pair = text("algorithm").as_deref() == Some("EdDSA");
        return Task::NewKey(KeyOrder {
            kind: if is_pair {
                KeyKind::EdDsa
            } else {
                KeyKind::Hs256
            },
            kid: text("kid").unwrap_or_default(),
            out: text("out").map(PathBuf::from),
        });
    }
    let many = |name: &str| matches.get_many::<String>(name).into_iter().flatten();
    let scope = text("scope").unwrap_or_default();
    let pairs = matches.get_many::<(String, String)>("meta");
    Task::Mint(TokenOrder {
        kid: text("kid"),
        scope: scope.split_whitespace().map(str::to_owned).collect(),
        seconds: matches.get_one("seconds").copied().unwrap_or_default(),
        subject: text("sub"),
        file: text("file"),
        max_bytes: matches.get_one("max-bytes").copied(),
        types: many("type").cloned().collect(),
        metadata: pairs.into_iter().flatten().cloned().collect(),
        from: text("from"),
        to: many("to").cloned().collect(),
        receiver: text("receiver"),
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=TEXT is needed")?;
    Ok((name.to_owned(), value.to_owned()))
}
