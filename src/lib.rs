//! crate front page: to be written
pub mod accel;
pub mod bucket;
pub mod commit;
pub mod config;
pub mod delivery;
pub mod file;
pub mod http;
pub mod journal;
pub mod server;
pub mod spool;
pub mod store;
