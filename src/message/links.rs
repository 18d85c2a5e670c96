//! Links between files and messages: which questions to the store a link, an unlink and a removal are made
//! of, and in which order. The store carries each question out whole or not at all; a test tries all orders
//! of all of them, with an end after each.
//!
//! A link ties a file to a message. A file that has lost its last link is *dying*: nobody can link to it any
//! more, and it is removed. So:
//!
//! | | why |
//! |---|---|
//! | no file is removed that has a link | a document is deleted only where it is dying. It becomes dying only by the question that takes its last link, and never comes back from that; a link is added only where it is not dying |
//! | no link is told to a file that is gone | whoever adds one looks for a tombstone behind it. A tombstone is written before a document is deleted |
//! | no file without a link stays | one that is dying is found by that mark, and its chunks by a tombstone that does not say that they are cleared away: whoever ends half-way, another goes on from there |

/// A question to the store about one file, and one message if it speaks of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Add the link to the file's document, unless it is dying or has too many links.
    Add,
    /// Take the link away; if it was the last one, the document is dying from then on.
    Take,
    /// Look at the document.
    LookAtFile,
    /// Look for a tombstone.
    LookForTombstone,
    /// Write a tombstone.
    Entomb,
    /// Delete the document if it is dying.
    DeleteDying,
    /// Delete the chunks.
    DeleteChunks,
    /// Note in the tombstone that nothing is left.
    NoteCleared,
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is done, and the file is dying.
    DoneLast,
    /// There was nothing to do it to.
    NotDone,
    /// There is none.
    Absent,
    /// There is one.
    There,
    /// There is a document, and it has the link.
    Linked,
    /// There is a document, and it is dying.
    Dying,
    /// There is a document, and it has as many links as there may be.
    Full,
    /// There is a document of another writer.
    NotOurs,
}

/// What comes after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next<S, O> {
    /// Another question.
    Go(S),
    /// Nothing.
    End(O),
}

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linking {
    /// It is to be added.
    Add,
    /// It is there, unless the file goes.
    LookBehind,
    /// The file goes.
    TakeBack,
    /// It was not added: why?
    LookAtFile,
}

/// The end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linked {
    /// It is there.
    Linked,
    /// The file goes, or has gone.
    Gone,
    /// The file has as many links as there may be.
    Full,
    /// The store has no such file.
    Absent,
}

/// How far an unlink has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlinking {
    /// The link is to be taken away.
    Take,
    /// There was none: is that since an earlier try?
    LookAtFile,
}

/// The end of an unlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlinked {
    /// The file has other links.
    HasOthers,
    /// It was the last: the file is dying, and is to be removed.
    Last,
    /// There is no such link.
    NotLinked,
    /// The store has no such file.
    Absent,
}

/// How far a removal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removing {
    /// Is the file dying?
    LookFirst,
    /// It is.
    Entomb,
    /// It has no document: has it gone?
    LookForTombstone,
    /// It has a tombstone.
    DeleteDying,
    /// Its document has gone, unless it was not dying.
    LookAtFile,
    /// Its chunks are left.
    DeleteChunks,
    /// Nothing is left.
    NoteCleared,
}

/// The end of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removed {
    /// Nothing is left of the file.
    Removed,
    /// It is not dying: all of it stays.
    Kept,
    /// The store knows nothing of it.
    Absent,
}

impl Linking {
    /// The question.
    pub fn ask(self) -> Ask {
        match self {
            Self::Add => Ask::Add,
            Self::LookBehind => Ask::LookForTombstone,
            Self::TakeBack => Ask::Take,
            Self::LookAtFile => Ask::LookAtFile,
        }
    }

    /// What comes after its answer.
    pub fn next(self, answer: Answer) -> Next<Self, Linked> {
        match (self, answer) {
            (Self::Add, Answer::Done) => Next::Go(Self::LookBehind),
            (Self::Add, _) => Next::Go(Self::LookAtFile),
            (Self::LookBehind, Answer::Absent) => Next::End(Linked::Linked),
            (Self::LookBehind, _) => Next::Go(Self::TakeBack),
            (Self::TakeBack, _) | (Self::LookAtFile, Answer::Dying) => Next::End(Linked::Gone),
            (Self::LookAtFile, Answer::Absent | Answer::NotOurs) => Next::End(Linked::Absent),
            (Self::LookAtFile, Answer::Full) => Next::End(Linked::Full),
            // It came in between.
            (Self::LookAtFile, _) => Next::Go(Self::Add),
        }
    }
}

impl Unlinking {
    /// The question.
    pub fn ask(self) -> Ask {
        match self {
            Self::Take => Ask::Take,
            Self::LookAtFile => Ask::LookAtFile,
        }
    }

    /// What comes after its answer.
    pub fn next(self, answer: Answer) -> Next<Self, Unlinked> {
        match (self, answer) {
            (Self::Take, Answer::Done) => Next::End(Unlinked::HasOthers),
            (Self::Take, Answer::DoneLast) | (Self::LookAtFile, Answer::Dying) => {
                Next::End(Unlinked::Last)
            }
            (Self::Take, _) => Next::Go(Self::LookAtFile),
            // The file came in between.
            (Self::LookAtFile, Answer::Linked) => Next::Go(Self::Take),
            (Self::LookAtFile, Answer::Absent) => Next::End(Unlinked::Absent),
            (Self::LookAtFile, _) => Next::End(Unlinked::NotLinked),
        }
    }
}

impl Removing {
    /// The question.
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

    /// What comes after its answer.
    pub fn next(self, answer: Answer) -> Next<Self, Removed> {
        match (self, answer) {
            (Self::LookFirst, Answer::Dying) => Next::Go(Self::Entomb),
            (Self::LookFirst, Answer::Absent) => Next::Go(Self::LookForTombstone),
            (Self::Entomb, _) | (Self::LookAtFile, Answer::Dying) => Next::Go(Self::DeleteDying),
            (Self::DeleteDying, _) => Next::Go(Self::LookAtFile),
            (Self::LookForTombstone, Answer::There) | (Self::LookAtFile, Answer::Absent) => {
                Next::Go(Self::DeleteChunks)
            }
            // It is on its way in, or is not known at all.
            (Self::LookForTombstone, _) => Next::End(Removed::Absent),
            (Self::LookFirst | Self::LookAtFile, _) => Next::End(Removed::Kept),
            (Self::DeleteChunks, _) => Next::Go(Self::NoteCleared),
            (Self::NoteCleared, _) => Next::End(Removed::Removed),
        }
    }
}

#[cfg(test)]
mod model;
