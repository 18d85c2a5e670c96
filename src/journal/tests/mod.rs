//! The journal on a disk that fails and loses.

mod adoption;
mod bounds;
mod clock;
mod cuts;
mod damage;
pub(in crate::journal) mod disk;
pub(in crate::journal) mod fault;
mod faults;
mod grace;
mod keys;
mod listing;
mod lives;
mod log;
mod marks;
mod moves;
mod panics;
mod races;
mod random;
mod received;
mod recovery;
mod scratch;
mod sharing;
mod stage;
mod starts;
pub(in crate::journal) mod unsynced;
mod waiting;
mod words;
