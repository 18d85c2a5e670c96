//! The journal that comes next, on a disk that fails and loses.

mod adoption;
mod bounds;
mod cuts;
mod damage;
mod faults;
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
mod waiting;
mod words;
