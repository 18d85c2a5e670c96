//! The records of accepted uploads: data, and its bytes. The journal moves to this form; until
//! then, no operation uses it.
//!
//! A frame is a head and a record. A *base* says all there is of an entry, and replaces all before
//! it; a *change* says what is new. An entry's state is the fold of its frames, in their order.
//! This module knows no file, no log and no index.
//!
//! # The life of an entry
//! 1. A base is queued: a file, a form (all its files in one frame), or an upload resource. When its
//!    group is synced, and not before, the client is told.
//! 2. An upload resource grows by `extent` changes, each told when it is synced. When it is whole,
//!    a base makes it a promised file.
//! 3. Each attempt to commit it that fails by its own fault is a change: `deferred` with a due time,
//!    or `held`. An admin's retry is the change `waiting`.
//! 4. A proven commit is the change `settled`. Its body stays for a grace time.
//! 5. It leaves: the body is unlinked, that is synced, then `gone` is queued.
//! 6. Or it is deleted, at any moment before: a tombstone is a base. When it is synced, the caller is
//!    told; when the body is unlinked and the store has nothing of it, `gone` is queued.
//! 7. Meanwhile the segment of its base may become the oldest: its whole present state is then a new
//!    base, a copy. Changes and `gone` are never copied: they end with their segment.
//!
//! | kind | number | says |
//! |---|---|---|
//! | `file` | 1 | base: a promised file with its state and the key that it answers |
//! | `form` | 2 | base of each of its files |
//! | `upload` | 3 | base: an upload that may still grow |
//! | `tombstone` | 4 | base: deleted |
//! | `answers` | 5 | base: what keyed requests were answered by entries that have left |
//! | | 6 to 15 | kept free for bases: claims of keys for other nodes, intents of links |
//! | `deferred`, `held`, `waiting`, `settled` | 16 to 19 | changes of a file |
//! | `extent` | 20 | change of an upload |
//! | `gone` | 21 | change: nothing is left |
//! | | 22 to 31 | kept free for changes: links |
//!
//! A frame of another kind or version is skipped if its writer flagged it so; otherwise a start is
//! refused.

mod bases;
mod bytes;
mod change;
mod description;
mod error;
mod fold;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod spelling;
#[cfg(test)]
pub(in crate::journal) mod tests;

pub use bases::{
    Answer, Answered, Base, Body, Entry, File, Form, KeyedRequest, Part, PartOf, State, Subject,
    Tombstone, Upload,
};
pub use change::{Change, LogTime, Settled, Why};
pub use error::RecordError;
pub(super) use fold::grow;
pub use frame::{Frame, Record};
