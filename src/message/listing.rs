//! The rules of a receiver's list: the steps that give an entry its place, and the reach of a reader. The
//! store asks the questions and measures their time; a test tries all orders of them.
//!
//! An entry's place is a time that MongoDB writes. An *unsure* entry may still get a later place. A reader
//! goes on only when all quick writes up to a place are visible. So:
//!
//! | | reason |
//! |---|---|
//! | no reader misses a message | a place becomes sure only if its write was quick, and readers stop before an unsure entry |
//! | no message comes twice under one cursor | only sure entries are listed, and a sure entry keeps its place |
//! | a dead process stops no list | a reader gives an unsure entry a new place and makes it sure, as a commit does |
//!
//! Each write of places has a mark of its own. Its entries keep the mark while they are unsure, and become
//! sure by it. So a process never makes a place sure that another write has given, not even an earlier
//! try of its own.

use super::Cursor;

/// A question to the store about the entries of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entering {
    /// Insert them, unsure. Entries that exist stay as they are.
    Insert,
    /// Give the unsure entries new places, and the mark of this question.
    Place,
    /// Make the entries sure that have the mark of the last question. It holds their number.
    Confirm(u64),
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Done {
    /// The number of entries that it changed.
    pub count: u64,
    /// Whether its places are good: it was quick, and an insert met no existing entry.
    pub is_quick: bool,
}

impl Entering {
    /// Returns the next question, or `None` if all entries are sure.
    pub fn next(self, done: Done) -> Option<Self> {
        match self {
            Self::Place if done.count == 0 => None,
            Self::Confirm(placed) if done.count >= placed => None,
            Self::Insert | Self::Place if done.is_quick => Some(Self::Confirm(done.count)),
            // After a confirmation: another process has placed an entry meanwhile, or made it sure.
            Self::Insert | Self::Place | Self::Confirm(_) => Some(Self::Place),
        }
    }
}

/// An entry that a reader has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The place behind it.
    pub cursor: Cursor,
    /// Whether it keeps that place.
    pub is_sure: bool,
}

/// The reach of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reach {
    /// The number of entries to list, from the first on.
    pub listed: usize,
    /// The place behind them, from which the reader goes on.
    pub next: Cursor,
}

/// Returns the reach of a reader that has asked for the entries up to a place and found these, in order. With
/// `is_full` there may be more of them.
pub fn reach(seen: &[Seen], until: Cursor, is_full: bool) -> Reach {
    let sure = seen.iter().take_while(|seen| seen.is_sure);
    let listed = sure.count();
    let last = seen.last().map(|last| last.cursor);
    let next = match seen.get(listed) {
        Some(unsure) => Cursor(unsure.cursor.0.saturating_sub(1)),
        None => last.filter(|_| is_full).unwrap_or(until),
    };
    Reach { listed, next }
}

#[cfg(test)]
mod model;
