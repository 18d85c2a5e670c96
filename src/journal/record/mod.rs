//! The records of accepted uploads: values, and their bytes.
//!
//! A frame is a head and a record. A *base* is the whole state of an entry, and replaces all frames
//! before it; a *change* is the news of an entry. The state of an entry is the fold of its frames, in
//! their order. This module knows no file, no log and no index.
//!
//! # The life of an entry
//! 1. A base is queued: a file, a form (all its files in one frame), or an upload that may still grow.
//!    The client is told only after its group is synced.
//! 2. Such an upload grows by `grown` changes; the client is told of each after it is synced. When the
//!    upload is complete, a base makes it a promised file.
//! 3. Each attempt to commit it that fails by its own fault is a change: `deferred` with a due time, or
//!    `held`. An admin's retry is the change `waiting`.
//! 4. A proven commit is the change `settled`. The body stays for a grace time.
//! 5. The entry leaves: the body is unlinked, the directory is fsynced, then `gone` is queued.
//! 6. Or the entry is deleted at any moment before: a tombstone is a base. The caller is told after it
//!    is synced. When the body is unlinked and the store holds nothing of the file, `gone` is queued.
//! 7. Meanwhile the segment of its base may become the oldest: then the whole present state is written
//!    as a new base, a copy. Changes and `gone` are never copied: they end with their segment.
//!
//! | kind | number | meaning |
//! |---|---|---|
//! | `file` | 1 | base: a promised file with its state and the key that it answers |
//! | `form` | 2 | base of each of its files |
//! | `upload` | 3 | base: an upload that may still grow |
//! | `tombstone` | 4 | base: deleted |
//! | `answers` | 5 | base: answers to keyed requests, from entries that have left |
//! | `intent` | 6 | base: links that are made for a message before its promise |
//! | | 7 to 15 | reserved for bases: claims of keys for other nodes |
//! | `deferred`, `held`, `waiting`, `settled` | 16 to 19 | changes of a promised file |
//! | `grown` | 20 | change of an upload: its bytes so far |
//! | `gone` | 21 | change: nothing is left |
//! | | 22 to 31 | reserved for changes |
//!
//! A link to a file that waits for its commit is a base with the file's whole present state.
//!
//! A file or a form has version 2 if it belongs to messages, or to a sender with a known name; so
//! has the tombstone of a message. Any other has version 1, so that an earlier program reads a
//! journal without messages. A file that a deleted message had, while others had it, too, has version 3.
//!
//! An upload and its growth have version 2: an earlier program, which had another form for them,
//! refuses them. An upload whose sender stated a SHA-512 has version 3. One that becomes the files of
//! a form or a message has version 4, and so has its last growth, which names their answer.
//!
//! A frame of another kind or version is skipped if its writer set that flag; otherwise the start is
//! refused.

mod bases;
mod becomes;
mod belonging;
mod bytes;
mod change;
mod description;
mod error;
mod fold;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod intent;
mod reading;
mod spelling;
#[cfg(test)]
pub(in crate::journal) mod tests;
mod upload;

pub use bases::{
    Answer, Answered, Base, Body, Entry, File, Form, KeyedRequest, Part, PartOf, State, Subject,
    Tombstone, Upload,
};
pub use becomes::Becomes;
pub use change::{Change, Growth, LogTime, Settled, Why};
pub use error::RecordError;
pub use frame::{Frame, Record};
pub use intent::Intent;
