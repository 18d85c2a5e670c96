//! The journal that comes next, on a disk that fails and loses.

mod adoption;
mod cuts;
mod keys;
mod log;
mod races;
mod random;
mod scratch;
mod stage;
mod starts;
