//! A message, without its place: sender, receivers, parts, and the sender's statements about the
//! parts.
//!
//! The platform's own words are the *package*. They are kept as they came, and no code here reads
//! them. A *part* is a file that goes with them; the message has a descriptor of the part, and
//! never its bytes. Package and parts are files, and a message has the id of its package.
//!
//! | part | is |
//! |---|---|
//! | [`Party`], [`Receivers`], [`ChosenName`] | names that others chose, bounded |
//! | [`Stated`], [`BlurHash`], [`ThumbHash`], [`Waveform`] | what a sender states of a part: checked for form and size, never computed |
//! | [`Request`], [`PartRequest`] | what a sender asks for: the grammar |
//! | [`Message`], [`Part`] | what was promised |
//! | [`Told`], [`Wording`], [`Receipt`] | a message as its receivers see it, and the words of that; what its sender is told of it |
//! | [`Belonging`] | how a file belongs to messages |
//!
//! Pure values. This room must never know a disk, a database or HTTP.

mod belonging;
mod blurhash;
mod cursor;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod kind;
pub mod links;
pub mod listing;
mod names;
mod only_object;
mod part;
mod receivers;
mod request;
#[cfg(test)]
mod search;
mod stated;
#[cfg(test)]
mod tests;
mod thumbhash;
mod told;

pub use belonging::Belonging;
pub use blurhash::BlurHash;
pub use cursor::Cursor;
pub use error::MessageError;
pub use kind::Kind;
pub use names::{ChosenName, Party};
pub use part::{Message, Part};
pub use receivers::Receivers;
pub use request::{PackageRequest, PartRequest, Request, Source};
pub use stated::{Stated, Waveform};
pub use thumbhash::ThumbHash;
pub use told::{Receipt, Told, Wording};

/// The most bytes of a package.
pub const MOST_PACKAGE_BYTES: usize = 64 * 1024;

/// The most parts of a message.
pub const MOST_PARTS: usize = 256;

/// The most receivers of a message.
pub const MOST_RECEIVERS: usize = 1000;

/// The most messages that one file may belong to.
pub const MOST_LINKS: usize = 1000;
