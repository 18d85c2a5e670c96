//! A file, apart from its place: its id, its name, its type, its length and its time.
//!
//! Pure values over std. This room must never know a disk, a database or a protocol library.

mod clock;
mod dots;
pub(crate) mod hex;
mod id;
mod key;
mod media_type;
mod meta;
mod metadata;
mod name;
mod sha256;
mod wall;
mod whole_digests;
mod window;

pub use clock::EvenClock;
pub use dots::has_dots_alone;
pub use id::{FileId, FileIds, InvalidFileId};
pub use key::FileKey;
pub use media_type::{InvalidMediaType, MediaType};
pub use meta::{FileMeta, Revision, UnixMillis};
pub use metadata::{InvalidMetadata, Metadata};
pub use name::FileName;
pub use sha256::Sha256;
#[cfg(test)]
pub(crate) use wall::WallClock;
pub use wall::{age_seconds, wall_time};
pub use whole_digests::{Sha512, WholeDigests};
pub use window::Window;
