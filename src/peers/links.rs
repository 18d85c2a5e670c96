//! Asks another node to link a file to a message, or to unlink it.

use awc::http::Method;

use super::ask::Question;
use super::{BadPass, LONGEST_ANSWER, LOOK_TIMEOUT, PASS, Peers, Purpose, Unreachable};
use crate::file::FileId;
use crate::message::links::{Linked, Reason, Unlinked};

/// The words for the outcome of a link, between nodes.
const LINKED: [(Linked, &str); 4] = [
    (Linked::Linked, "linked"),
    (Linked::Gone, "gone"),
    (Linked::Full, "full"),
    (Linked::Absent, "absent"),
];

/// The query of an unlink from a message that was never promised.
pub const NEVER_PROMISED: &str = "never-promised";

/// The words for the outcome of an unlink, between nodes.
const UNLINKED: [(Unlinked, &str); 4] = [
    (Unlinked::Stays, "has others"),
    (Unlinked::Last, "last"),
    (Unlinked::NotLinked, "not linked"),
    (Unlinked::Absent, "absent"),
];

impl Peers {
    /// Asks the owner to link a file that waits there for its commit to a message.
    ///
    /// # Errors
    /// [`Unreachable`]; the link may exist or not.
    pub async fn link(
        &self,
        owner: u16,
        file: FileId,
        message: FileId,
    ) -> Result<Linked, Unreachable> {
        self.ask_about_link(Method::POST, Purpose::Link, owner, file, message, &LINKED)
            .await
    }

    /// Asks the owner to unlink a file that waits there for its commit.
    ///
    /// # Errors
    /// [`Unreachable`]; the link may exist or not.
    pub async fn unlink(
        &self,
        owner: u16,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> Result<Unlinked, Unreachable> {
        self.ask_about_link(
            Method::DELETE,
            Purpose::of_unlink(reason),
            owner,
            file,
            message,
            &UNLINKED,
        )
        .await
    }

    /// Checks that a pass allows its bearer this link.
    ///
    /// # Errors
    /// [`BadPass`] if it does not.
    pub fn check_link(
        &self,
        pass: &str,
        purpose: Purpose,
        file: FileId,
        message: FileId,
    ) -> Result<(), BadPass> {
        let subject = both(file, message);
        self.seal.check(pass, purpose, self.node, &subject)
    }

    /// Signs this node's answer about a link.
    pub fn seal_linked(&self, file: FileId, message: FileId, linked: Linked) -> String {
        self.seal_end(Purpose::Link, file, message, linked, &LINKED)
    }

    /// Signs this node's answer about an unlink.
    pub fn seal_unlinked(
        &self,
        purpose: Purpose,
        file: FileId,
        message: FileId,
        unlinked: Unlinked,
    ) -> String {
        self.seal_end(purpose, file, message, unlinked, &UNLINKED)
    }

    fn seal_end<T: Copy + PartialEq>(
        &self,
        purpose: Purpose,
        file: FileId,
        message: FileId,
        end: T,
        words: &[(T, &str)],
    ) -> String {
        let found = words.iter().find(|(one, _)| *one == end);
        let word = found.map_or("", |(_, word)| *word);
        self.seal(file, &told(purpose, message, word))
    }

    async fn ask_about_link<T: Copy>(
        &self,
        method: Method,
        purpose: Purpose,
        owner: u16,
        file: FileId,
        message: FileId,
        words: &[(T, &str)],
    ) -> Result<T, Unreachable> {
        let unreachable = |reason: &str| Unreachable::new(owner, reason);
        let pass = self.seal.sign(purpose, owner, &both(file, message));
        let mut path = format!("/files/{file}/links/{message}");
        if purpose == Purpose::UndoLink {
            path.extend(["?", NEVER_PROMISED]);
        }
        let question = Question {
            method,
            path: &path,
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: LOOK_TIMEOUT,
            longest: LONGEST_ANSWER,
        };
        let (status, body) = self.ask(owner, question).await?;
        if status != 200 {
            return Err(unreachable(&format!("answers for a link with {status}")));
        }
        let opened = self.open(file, &body);
        let opened = opened.ok_or_else(|| unreachable("its word is not signed"))?;
        let end = words
            .iter()
            .find(|(_, word)| told(purpose, message, word) == opened);
        end.map(|(end, _)| *end)
            .ok_or_else(|| unreachable("answers for a link in words that are not known"))
    }
}

fn both(file: FileId, message: FileId) -> String {
    format!("{file} {message}")
}

fn told(purpose: Purpose, message: FileId, word: &str) -> String {
    format!("{} {message}: {word}", purpose.name())
}
