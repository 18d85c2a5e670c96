//! Asking another node for a message.

use std::sync::Arc;

use tokio::time::timeout;

use super::{ANY_NODE, LOOK_TIMEOUT, PASS, Peers, Purpose, Question, Unreachable};
use crate::file::FileId;

/// The longest answer, in bytes: the package and all that is said of the parts, in JSON.
const LONGEST_MESSAGE: u64 = 8 * 1024 * 1024;

/// Between the signature of an answer and the answer.
const SEPARATOR: char = '\n';

/// The owner's answer about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The message, in words that the caller knows.
    There(String),
    /// The owner does not have it; the store may.
    Absent,
    /// It was deleted.
    Deleted,
}

impl Peers {
    /// Asks the owner for a message.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have it or not.
    pub async fn ask_for_message(&self, owner: u16, id: FileId) -> Result<Carried, Unreachable> {
        let unreachable = |reason: String| Unreachable {
            node: owner,
            reason,
        };
        let permit = Arc::clone(&self.questions).acquire_owned();
        // Many receivers may come at once, and each waits for a short while only.
        let permit = timeout(LOOK_TIMEOUT, permit).await;
        let permit = permit.map_err(|_| unreachable("too many wait for answers".to_owned()))?;
        let permit = permit.map_err(|err| unreachable(err.to_string()))?;
        let pass = self.pass(Purpose::Message, owner, id);
        let path = format!("/messages/{id}");
        let question = Question {
            method: "GET",
            path: &path,
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: LOOK_TIMEOUT,
            longest: LONGEST_MESSAGE,
        };
        let (status, body) = self.ask_with(permit, owner, question).await?;
        match status {
            200 => {
                let opened = self.open(id, &body);
                let opened = opened.ok_or_else(|| unreachable("its word is not signed".to_owned()));
                Ok(Carried::There(opened?.to_owned()))
            }
            404 => Ok(Carried::Absent),
            410 => Ok(Carried::Deleted),
            _ => Err(unreachable(format!(
                "answers a question for a message with {status}"
            ))),
        }
    }

    /// Signs this node's answer about a message.
    pub fn seal(&self, id: FileId, message: &str) -> String {
        let pass = self.seal.sign(Purpose::Tell, ANY_NODE, &about(id, message));
        format!("{pass}{SEPARATOR}{message}")
    }

    /// The message in a signed answer.
    fn open<'a>(&self, id: FileId, answer: &'a str) -> Option<&'a str> {
        let (pass, message) = answer.split_once(SEPARATOR)?;
        let subject = about(id, message);
        let checked = self.seal.check(pass, Purpose::Tell, ANY_NODE, &subject);
        checked.ok().map(|()| message)
    }
}

fn about(id: FileId, message: &str) -> String {
    format!("{id} {message}")
}
