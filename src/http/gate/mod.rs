//! The checks that every request passes before its route, and every answer on its way out.

pub(super) mod access;
mod catch_panic;
pub(super) mod changes;
mod connection;
mod drain;
mod listed;
pub(super) mod messages;
pub(super) mod references;
mod refused;
mod slice_limiter;
mod waits;

pub use access::Access;
pub use catch_panic::catch_panic;
pub use connection::Connection;
pub(super) use drain::Drain;
pub use refused::{check_path, count_refusal};
pub(super) use slice_limiter::SliceLimiter;
pub(super) use waits::Waits;
