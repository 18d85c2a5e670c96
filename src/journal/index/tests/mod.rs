//! The index against a simulated log: what was told holds, whatever comes in whatever order.

mod bug;
mod decisions;
mod journal;
mod log;
mod lots;
mod memory;
mod orderings;
mod steps;
mod sums;
mod trimming;
mod world;
