//! Asks another node for a message, or for the description of a file that a message refers to.

use awc::http::Method;

use super::ask::Question;
use super::{ANY_NODE, LOOK_TIMEOUT, PASS, Peers, Purpose, Unreachable};
use crate::file::{FileId, Sha256};

/// The most bytes of an answer: the package and the descriptions of the parts, in JSON.
const LONGEST_MESSAGE: usize = 8 * 1024 * 1024;

/// The character between the signature and the answer.
const SEPARATOR: char = '\n';

/// The owner's answer about a message, or about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The owner has it; this is its text.
    There(String),
    /// The owner does not have it; the store may.
    Absent,
    /// The owner has deleted it.
    Deleted,
}

impl Peers {
    /// Asks the owner for a message.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have it or not.
    pub async fn ask_for_message(&self, owner: u16, id: FileId) -> Result<Carried, Unreachable> {
        let path = format!("/messages/{id}");
        self.ask_for_words(Purpose::Message, &path, owner, id).await
    }

    /// Asks the owner to describe a file for a message that refers to it. With the digest of a
    /// subject, the owner reads only a file of that subject; an owner of an older version reads any.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have it or not.
    pub async fn ask_for_outline(
        &self,
        owner: u16,
        id: FileId,
        of: Option<Sha256>,
    ) -> Result<Carried, Unreachable> {
        let of = of.map(|subject| format!("?of={subject}"));
        let path = format!("/files/{id}/outline{}", of.unwrap_or_default());
        self.ask_for_words(Purpose::Outline, &path, owner, id).await
    }

    async fn ask_for_words(
        &self,
        purpose: Purpose,
        path: &str,
        owner: u16,
        id: FileId,
    ) -> Result<Carried, Unreachable> {
        let unreachable = |reason: &str| Unreachable::new(owner, reason);
        let pass = self.pass(purpose, owner, id);
        let question = Question {
            method: Method::GET,
            path,
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: LOOK_TIMEOUT,
            longest: LONGEST_MESSAGE,
        };
        let (status, body) = self.ask(owner, question).await?;
        match status {
            200 => {
                let opened = self.open(id, &body);
                let opened = opened.ok_or_else(|| unreachable("its word is not signed"));
                Ok(Carried::There(opened?.to_owned()))
            }
            404 => Ok(Carried::Absent),
            410 => Ok(Carried::Deleted),
            _ => Err(unreachable(&format!("answers at {path} with {status}"))),
        }
    }

    /// Signs this node's answer about a message, or about a file.
    pub fn seal(&self, id: FileId, message: &str) -> String {
        let pass = self.seal.sign(Purpose::Tell, ANY_NODE, &about(id, message));
        format!("{pass}{SEPARATOR}{message}")
    }

    /// Returns the message in a signed answer.
    pub(super) fn open<'a>(&self, id: FileId, answer: &'a str) -> Option<&'a str> {
        let (pass, message) = answer.split_once(SEPARATOR)?;
        let subject = about(id, message);
        let checked = self.seal.check(pass, Purpose::Tell, ANY_NODE, &subject);
        checked.ok().map(|()| message)
    }
}

fn about(id: FileId, message: &str) -> String {
    format!("{id} {message}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::peers;
    use super::*;

    #[tokio::test]
    async fn only_a_node_with_the_key_is_believed_and_only_about_the_message_that_was_asked_for() {
        let [id, other] = [7, 8].map(|byte| FileId::from_bytes([byte; FileId::BYTES]));
        let (here, stranger) = (peers("a"), peers("b"));
        let sealed = here.seal(id, "{}\n");
        assert_eq!(here.open(id, &sealed), Some("{}\n"));
        for (node, id, answer) in [
            (&here, other, sealed.clone()),
            (&stranger, id, sealed.clone()),
            (&here, id, format!("{sealed} ")),
            (&here, id, "{}".to_owned()),
            (&here, id, String::new()),
        ] {
            assert_eq!(node.open(id, &answer), None, "{answer:?}");
        }
    }
}
