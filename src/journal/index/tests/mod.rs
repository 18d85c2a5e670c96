//! The index with a simulated log: the answers to callers hold, in any order of events.

mod bug;
mod decisions;
mod growing;
mod journal;
mod links;
mod listing;
pub(in crate::journal) mod log;
pub(in crate::journal) mod lots;
mod memory;
mod orderings;
mod steps;
mod sums;
mod trimming;
pub(in crate::journal) mod world;
