//! The integration suite: real nginx, real mongod, real files, real sockets.
//!
//! Each test has a scratch directory, a MongoDB and free ports of its own. `scripts/test` brings
//! what they need; by hand, `GRIDSPOOL_MONGOD` names a mongod, `GRIDSPOOL_PYTHON` a Python with
//! pymongo, `GRIDSPOOL_HTTP_PYTHON` one with the clients of `scripts/requirements/http-clients.txt`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod balancer;
mod balancer_faults;
mod blame;
mod browser;
mod cache;
mod cleared;
mod cluster;
mod conditional;
mod delete;
mod digest;
mod download;
mod driver_stream;
mod errors;
mod external_auth;
mod failover;
mod foreign;
mod form;
mod group;
mod haproxy;
mod headers;
mod hop;
mod hostile;
mod http_clients;
mod idempotency;
mod interop;
mod limits;
mod log;
mod meta;
mod metrics;
mod operations;
mod outage;
#[cfg(feature = "failpoints")]
mod panics;
mod partition;
mod points;
mod poison;
mod prefer;
mod progress;
mod ranges;
mod recovery;
mod refusal;
mod restart;
mod rolling;
mod route_change;
mod secondary;
mod secured;
mod sharding;
mod slow_clients;
mod smuggling;
mod spellings;
mod spoofing;
mod standalone;
mod stock;
mod syscall_faults;
mod together;
mod token;
mod unreadable;
mod untouched;
mod upkeep;
mod upload;
mod whole;
