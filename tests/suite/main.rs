//! The integration suite: real nginx, real mongod, real files, real sockets.
//!
//! Each test has a scratch directory, a MongoDB and free ports of its own. `scripts/test` brings
//! what they need; by hand, `GRIDSPOOL_MONGOD` names a mongod and `GRIDSPOOL_PYTHON` a Python with
//! pymongo.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod cache;
mod delete;
mod download;
mod form;
mod gaps;
mod group;
mod handover;
mod hazard;
mod hostile;
mod interop;
mod log;
mod operations;
mod outage;
mod poison;
mod ranges;
mod refusal;
mod restart;
mod support;
mod token;
mod upkeep;
mod upload;
