//! The index against a simulated log: what was told holds, whatever comes in whatever order.

mod bug;
mod decisions;
mod journal;
mod listing;
pub(in crate::journal) mod log;
pub(in crate::journal) mod lots;
mod memory;
mod orderings;
mod steps;
mod sums;
mod trimming;
pub(in crate::journal) mod world;
