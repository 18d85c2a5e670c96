//! The journal on scratch directories: what it promises, and what becomes of the promises when a
//! call to the disk fails, the process is killed or the power is cut.

mod adoption;
mod answers;
mod answers_bounds;
mod answers_cuts;
mod backlog;
mod cuts;
pub(super) mod disk;
mod failing;
mod faults;
mod forms;
mod listing;
mod log;
mod log_cuts;
mod moves;
mod operations;
mod panics;
mod random;
mod recovery;
mod scratch;
mod sharing;
pub(super) mod unsynced;
mod waiting;
mod words;
