//! The integration suite: real nginx, real mongod, real files, real sockets.
//!
//! Each test has a scratch directory, a MongoDB and free ports of its own. `scripts/test` brings
//! the other programs. By hand, `GRIDSPOOL_MONGOD` names a mongod, `GRIDSPOOL_PYTHON` a Python with
//! pymongo, `GRIDSPOOL_HTTP_PYTHON` one with the clients of `scripts/requirements/http-clients.txt`, and
//! `GRIDSPOOL_NPM_PACKAGES` a directory with the packages of `scripts/requirements/npm.txt`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod balancer;
mod balancer_faults;
mod browser;
mod cache;
mod cache_purge;
mod cluster;
mod cluster_keys;
mod commit_progress;
mod commit_retries;
mod conditional;
mod delete;
mod deletes_without_owner;
mod digest;
mod download;
mod draft_conformity;
mod draft_uploads;
mod driver_stream;
mod errors;
mod existing_site;
mod extended_json;
mod external_auth;
mod failover;
mod failpoints;
mod foreign_files;
mod form;
mod group_commits;
mod haproxy;
mod headers;
mod hostile;
mod http_clients;
mod idempotency;
mod inbox;
mod indexes;
mod interop;
mod limits;
mod links;
mod live_reading;
mod malformed_heads;
mod messages;
mod meta;
mod metrics;
mod mongodb_tls;
mod nodes;
mod odd_appends;
mod operations;
mod outage;
mod panics;
mod partial_uploads;
mod partition;
mod peers;
mod poison;
mod prefer;
mod ranges;
mod receivers;
mod recovery;
mod refusal;
mod request_coalescing;
mod rescue;
mod response_filters;
mod restart;
mod rolling_restart;
mod route_change;
mod secondary_reads;
mod sharding;
mod slow_clients;
mod small_uploads;
mod smuggling;
mod spoofing;
mod spread_clients;
mod spread_parts;
mod standalone;
mod standstill;
mod subjects;
mod syscall_faults;
mod token;
mod tus_uploads;
mod upkeep;
mod upload;
mod upload_by_key;
mod upload_clients;
mod upload_races;
mod upload_rights;
mod upload_routing;
mod upload_salvage;
