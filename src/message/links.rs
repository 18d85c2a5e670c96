//! Links between files and messages. This file says which questions a link, an unlink and a removal
//! ask the store, and in which order. The store does each question as a whole or not at all. A test
//! tries all orders of all questions, with a cut after each.
//!
//! A link ties a file to a message. A file that has lost its last link is *dying*: nobody can link
//! to it any more, and it is removed. So:
//!
//! | | why |
//! |---|---|
//! | no file is removed that has a link | a document is deleted only if it is dying. Only the question that takes the last link makes it dying, and nothing undoes that; a link is added only to a file that is not dying |
//! | no link is promised to a file that is gone | after a link is added, its maker looks for a tombstone. A tombstone is written before a document is deleted |
//! | no file without a link stays | a dying file is found by its mark, and its chunks by a tombstone that is not cleared. If one process stops half-way, another one goes on from there |
//! | a file that was uploaded plainly stays as it was after a message with it was not promised | a link of such a message makes the file dying only if a promised message had the file before ([`Reason`]) |

/// The reason why a link is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The message was deleted. The file goes with its last link; with other links it is noted that the file had
    /// a promised link.
    Deleted,
    /// The message was never promised. The file goes only if it has no other link and had a promised link before;
    /// a file that nobody ever linked stays.
    NeverPromised,
}

/// A question to the store about one file. It also names a message if it is about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Adds the link to the file's document, unless the file is dying or has too many links.
    Add,
    /// Takes the link away. If it was the last one, the document is dying from then on, as far as the reason
    /// allows it.
    Take(Reason),
    /// Reads the document.
    LookAtFile,
    /// Reads the tombstone.
    LookForTombstone,
    /// Writes a tombstone.
    Entomb,
    /// Deletes the document if it is dying.
    DeleteDying,
    /// Deletes the chunks.
    DeleteChunks,
    /// Notes in the tombstone that nothing is left.
    NoteCleared,
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done, and the file is dying.
    DoneLast,
    /// There was nothing to change.
    NotDone,
    /// The document or the tombstone does not exist.
    Absent,
    /// The document or the tombstone exists.
    There,
    /// The document exists and has the link.
    Linked,
    /// The document exists and is dying.
    Dying,
    /// The document exists and has the most links that a file may have.
    Full,
    /// The document exists and another writer made it.
    NotOurs,
}

/// The step after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next<S, O> {
    /// Another question follows.
    Go(S),
    /// The work ends with this outcome.
    End(O),
}

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linking {
    /// The link must be added.
    Add,
    /// The link exists, unless the file is being removed.
    LookBehind,
    /// The file is being removed, so the link must be taken back.
    TakeBack,
    /// The link was not added; the document tells the reason.
    LookAtFile,
}

/// The outcome of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linked {
    /// The link exists.
    Linked,
    /// The file is being removed, or is gone.
    Gone,
    /// The file has the most links that a file may have.
    Full,
    /// The store has no such file.
    Absent,
}

/// The state of an unlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlinking {
    /// The link must be taken away.
    Take(Reason),
    /// There was no link; an earlier try may have taken it.
    LookAtFile(Reason),
}

/// The outcome of an unlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlinked {
    /// The file stays: it has other links, or it had no promised one.
    Stays,
    /// The file had no other link: it is dying and must be removed.
    Last,
    /// There is no such link.
    NotLinked,
    /// The store has no such file.
    Absent,
}

/// The state of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removing {
    /// The document tells whether the file is dying.
    LookFirst,
    /// The file is dying and needs a tombstone.
    Entomb,
    /// The file has no document; a tombstone tells whether it is gone.
    LookForTombstone,
    /// The file has a tombstone.
    DeleteDying,
    /// The document was deleted if it was dying; it may have stayed.
    LookAtFile,
    /// Only the chunks are left.
    DeleteChunks,
    /// Nothing is left.
    NoteCleared,
}

/// The outcome of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removed {
    /// Nothing is left of the file.
    Removed,
    /// The file is not dying, and all of it stays.
    Kept,
    /// The store knows nothing of it.
    Absent,
}

impl Linking {
    /// Returns the question of this state.
    pub fn ask(self) -> Ask {
        match self {
            Self::Add => Ask::Add,
            Self::LookBehind => Ask::LookForTombstone,
            Self::TakeBack => Ask::Take(Reason::Deleted),
            Self::LookAtFile => Ask::LookAtFile,
        }
    }

    /// Returns the next state or the outcome, by the answer.
    pub fn next(self, answer: Answer) -> Next<Self, Linked> {
        match (self, answer) {
            (Self::Add, Answer::Done) => Next::Go(Self::LookBehind),
            (Self::Add, _) => Next::Go(Self::LookAtFile),
            (Self::LookBehind, Answer::Absent) => Next::End(Linked::Linked),
            (Self::LookBehind, _) => Next::Go(Self::TakeBack),
            (Self::TakeBack, _) | (Self::LookAtFile, Answer::Dying) => Next::End(Linked::Gone),
            (Self::LookAtFile, Answer::Absent | Answer::NotOurs) => Next::End(Linked::Absent),
            (Self::LookAtFile, Answer::Full) => Next::End(Linked::Full),
            // The file came in between.
            (Self::LookAtFile, _) => Next::Go(Self::Add),
        }
    }
}

impl Unlinking {
    /// Returns the question of this state.
    pub fn ask(self) -> Ask {
        match self {
            Self::Take(reason) => Ask::Take(reason),
            Self::LookAtFile(_) => Ask::LookAtFile,
        }
    }

    /// Returns the next state or the outcome, by the answer.
    pub fn next(self, answer: Answer) -> Next<Self, Unlinked> {
        match (self, answer) {
            (Self::Take(_), Answer::Done) => Next::End(Unlinked::Stays),
            (Self::Take(_), Answer::DoneLast) | (Self::LookAtFile(_), Answer::Dying) => {
                Next::End(Unlinked::Last)
            }
            (Self::Take(reason), _) => Next::Go(Self::LookAtFile(reason)),
            // The file came in between.
            (Self::LookAtFile(reason), Answer::Linked) => Next::Go(Self::Take(reason)),
            (Self::LookAtFile(_), Answer::Absent) => Next::End(Unlinked::Absent),
            (Self::LookAtFile(_), _) => Next::End(Unlinked::NotLinked),
        }
    }
}

impl Removing {
    /// Returns the question of this state.
    pub fn ask(self) -> Ask {
        match self {
            Self::LookFirst | Self::LookAtFile => Ask::LookAtFile,
            Self::LookForTombstone => Ask::LookForTombstone,
            Self::Entomb => Ask::Entomb,
            Self::DeleteDying => Ask::DeleteDying,
            Self::DeleteChunks => Ask::DeleteChunks,
            Self::NoteCleared => Ask::NoteCleared,
        }
    }

    /// Returns the next state or the outcome, by the answer.
    pub fn next(self, answer: Answer) -> Next<Self, Removed> {
        match (self, answer) {
            (Self::LookFirst, Answer::Dying) => Next::Go(Self::Entomb),
            (Self::LookFirst, Answer::Absent) => Next::Go(Self::LookForTombstone),
            (Self::Entomb, _) | (Self::LookAtFile, Answer::Dying) => Next::Go(Self::DeleteDying),
            (Self::DeleteDying, _) => Next::Go(Self::LookAtFile),
            (Self::LookForTombstone, Answer::There) | (Self::LookAtFile, Answer::Absent) => {
                Next::Go(Self::DeleteChunks)
            }
            // The file is on its way in, or nobody knows it.
            (Self::LookForTombstone, _) => Next::End(Removed::Absent),
            (Self::LookFirst | Self::LookAtFile, _) => Next::End(Removed::Kept),
            (Self::DeleteChunks, _) => Next::Go(Self::NoteCleared),
            (Self::NoteCleared, _) => Next::End(Removed::Removed),
        }
    }
}

#[cfg(test)]
mod model;
