//! Passes: each proves that a request comes from a node with the key, for one purpose and one minute.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

use crate::file::hex;
use crate::message::links::Reason;
use crate::token::{KeysError, read_private};

/// The greatest age of a pass, and the greatest difference between the clocks of two nodes, in seconds.
const LIFETIME_SECONDS: u64 = 60;

/// Begins the signed text: the form of passes.
const FORM: &str = "gridspool hop 1";

/// The character between the time of a pass and its signature.
const SEPARATOR: char = '-';

/// HMAC-SHA-256 has this many bytes.
const MIN_KEY_CHARACTERS: usize = 32;

/// The purpose of a pass. It allows nothing about any other file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading a file.
    Read,
    /// Reading a file's description, with the reason why it waits.
    Explain,
    /// Deleting a file.
    Delete,
    /// Reading a message.
    Message,
    /// Deleting a message.
    DeleteMessage,
    /// Telling a message, to the node that asked for it.
    Tell,
    /// Describing a file for a message that refers to it.
    Outline,
    /// Linking a file to a message.
    Link,
    /// Unlinking a file from a deleted message.
    Unlink,
    /// Unlinking a file from a message that was never promised.
    UndoLink,
    /// Reading a part of a file that is put together.
    Part,
    /// Voting on an idempotency key.
    Vote,
    /// Asking for the answer to an idempotency key.
    Answer,
    /// Learning which process answers.
    Introduce,
    /// Telling an address in the list of nodes. It holds for any time.
    Register,
    /// Telling the client of a request that is sent on. It holds for any time.
    SendOn,
}

impl Purpose {
    /// The purpose of taking a link away.
    pub fn of_unlink(reason: Reason) -> Self {
        match reason {
            Reason::Deleted => Self::Unlink,
            Reason::NeverPromised => Self::UndoLink,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Explain => "explain",
            Self::Delete => "delete",
            Self::Message => "message",
            Self::DeleteMessage => "delete message",
            Self::Tell => "tell",
            Self::Outline => "outline",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::UndoLink => "undo link",
            Self::Part => "part",
            Self::Vote => "vote",
            Self::Answer => "answer",
            Self::Introduce => "introduce",
            Self::Register => "register",
            Self::SendOn => "send on",
        }
    }
}

/// The reason why a pass is not valid. For the log: the bearer only learns that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPass {
    /// This node shares no key.
    #[error("there is no peer_key")]
    NoKey,
    /// There is no pass, or it cannot be read.
    #[error("no pass")]
    Form,
    /// It is too old, or from the future: a replay, or clocks that differ.
    #[error("made {0} s from now: a replay, or clocks that differ")]
    Time(u64),
    /// It was signed by another key, or for another node, file or purpose.
    #[error("not signed by our key for this")]
    Signature,
}

/// The keys that nodes share.
#[derive(Debug, Default)]
pub(super) struct Seal(Vec<hmac::Key>);

impl Seal {
    /// Reads a file with one key per line. Other users must not be able to read the file.
    pub(super) fn read(path: &Path) -> Result<Self, KeysError> {
        let wrong = |number: usize, reason| KeysError::Key {
            path: path.to_owned(),
            kid: format!("in line {number}"),
            reason,
        };
        let text = read_private(path)?;
        let lines = text.lines().map(str::trim).zip(1..);
        let keys = lines
            .filter(|(line, _)| !line.is_empty())
            .map(|(line, number)| {
                if line.len() < MIN_KEY_CHARACTERS {
                    return Err(wrong(number, "shorter than 32 characters"));
                }
                Ok(hmac::Key::new(hmac::HMAC_SHA256, line.as_bytes()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeysError::Empty(path.to_owned()));
        }
        Ok(Self(keys))
    }

    /// A pass for `subject` at node `owner`; empty without a key.
    pub(super) fn sign(&self, purpose: Purpose, owner: u16, subject: &str) -> String {
        self.sign_at(now(), purpose, owner, subject)
    }

    fn sign_at(&self, seconds: u64, purpose: Purpose, owner: u16, subject: &str) -> String {
        let Some(key) = self.0.first() else {
            return String::new();
        };
        let signature = hmac::sign(key, message(seconds, purpose, owner, subject).as_bytes());
        let digits = std::fmt::from_fn(|formatter| hex::write(signature.as_ref(), formatter));
        format!("{seconds}{SEPARATOR}{digits}")
    }

    /// Checks that a holder of a key made the pass a short while ago, for exactly this.
    pub(super) fn check(
        &self,
        pass: &str,
        purpose: Purpose,
        owner: u16,
        subject: &str,
    ) -> Result<(), BadPass> {
        let apart = self.age(pass, purpose, owner, subject)?;
        if apart > LIFETIME_SECONDS {
            return Err(BadPass::Time(apart));
        }
        Ok(())
    }

    /// Whether a holder of a key has ever signed exactly this.
    pub(super) fn has_signed(
        &self,
        pass: &str,
        purpose: Purpose,
        owner: u16,
        subject: &str,
    ) -> bool {
        self.age(pass, purpose, owner, subject).is_ok()
    }

    /// Whether there is a key.
    pub(super) fn has_key(&self) -> bool {
        !self.0.is_empty()
    }

    /// The seconds between now and the time at which a holder of a key signed this.
    fn age(&self, pass: &str, purpose: Purpose, owner: u16, subject: &str) -> Result<u64, BadPass> {
        if self.0.is_empty() {
            return Err(BadPass::NoKey);
        }
        let (seconds, signature) = pass.split_once(SEPARATOR).ok_or(BadPass::Form)?;
        let seconds: u64 = seconds.parse().map_err(|_| BadPass::Form)?;
        let signature = hex::read(signature).ok_or(BadPass::Form)?;
        let message = message(seconds, purpose, owner, subject);
        let is_ours = |key| hmac::verify(key, message.as_bytes(), &signature).is_ok();
        if self.0.iter().any(is_ours) {
            Ok(seconds.abs_diff(now()))
        } else {
            Err(BadPass::Signature)
        }
    }
}

/// The signed text. No part can be taken for another, as no part contains a line feed.
fn message(seconds: u64, purpose: Purpose, owner: u16, subject: &str) -> String {
    let purpose = purpose.name();
    format!("{FORM}\n{purpose}\n{owner}\n{subject}\n{seconds}")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seal(lines: &[&str], mode: u32) -> Result<Seal, KeysError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        Seal::read(file.path())
    }

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn a_pass_is_good_for_one_purpose_at_one_node_for_one_file() {
        let seal = seal(&[NEW], 0o600).unwrap();
        let pass = seal.sign(Purpose::Read, 2, "a");
        assert_eq!(seal.check(&pass, Purpose::Read, 2, "a"), Ok(()));
        for (purpose, owner, subject) in [
            (Purpose::Delete, 2, "a"),
            (Purpose::Read, 3, "a"),
            (Purpose::Read, 2, "b"),
            (Purpose::Read, 2, ""),
        ] {
            let checked = seal.check(&pass, purpose, owner, subject);
            assert_eq!(checked, Err(BadPass::Signature));
        }
        for pass in ["", "-", "x", "1", "1-0", &pass[..20], &format!("+{pass}x")] {
            assert!(seal.check(pass, Purpose::Read, 2, "a").is_err(), "{pass}");
        }
    }

    #[test]
    fn no_bit_of_a_pass_can_be_changed() {
        let seal = seal(&[NEW], 0o600).unwrap();
        let pass = seal.sign(Purpose::Read, 2, "a");
        for place in 0..pass.len() {
            for bit in 0..8 {
                let mut bytes = pass.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                // A signature may differ in the case of its digits.
                if !changed.eq_ignore_ascii_case(&pass) {
                    let checked = seal.check(&changed, Purpose::Read, 2, "a");
                    assert!(checked.is_err(), "{changed}");
                }
            }
        }
    }

    #[test]
    fn a_pass_ends_after_a_minute_and_one_from_the_future_has_not_begun() {
        let seal = seal(&[NEW], 0o600).unwrap();
        for (seconds, is_good) in [
            (now() - 50, true),
            (now() + 50, true),
            (now() - 70, false),
            (now() + 70, false),
            (0, false),
            (u64::MAX, false),
        ] {
            let pass = seal.sign_at(seconds, Purpose::Read, 2, "a");
            let checked = seal.check(&pass, Purpose::Read, 2, "a");
            assert_eq!(checked.is_ok(), is_good, "{seconds}");
        }
    }

    #[test]
    fn keys_are_changed_without_a_moment_in_which_two_nodes_do_not_understand_each_other() {
        let old = seal(&[OLD], 0o600).unwrap();
        let both = seal(&[OLD, "", NEW], 0o640).unwrap();
        let turned = seal(&[NEW, OLD], 0o600).unwrap();
        let new = seal(&[NEW], 0o600).unwrap();
        let understands = |reader: &Seal, writer: &Seal| {
            let pass = writer.sign(Purpose::Delete, 1, "a");
            reader.check(&pass, Purpose::Delete, 1, "a").is_ok()
        };
        for [one, other] in [[&old, &both], [&both, &turned], [&turned, &new]] {
            assert!(understands(one, other) && understands(other, one));
        }
        assert!(!understands(&old, &new) && !understands(&new, &old));
    }

    #[test]
    fn without_a_good_key_nothing_is_believed() {
        let none = Seal::default();
        let pass = none.sign(Purpose::Read, 2, "a");
        assert_eq!(
            none.check(&pass, Purpose::Read, 2, "a"),
            Err(BadPass::NoKey)
        );
        assert!(seal(&["short"], 0o600).is_err());
        assert!(seal(&["", " "], 0o600).is_err());
        assert!(seal(&[NEW], 0o604).is_err(), "everybody may read it");
    }
}
