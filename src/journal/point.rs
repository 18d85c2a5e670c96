//! Points at which the proof kills this process, one between any two steps of what the journal does,
//! or has a thread panic. They are there in builds with the feature `failpoints` alone, which no
//! release build may have.

/// Names a point in what the journal does, or in what others do with it.
macro_rules! point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name);
    };
}

pub(crate) use point;

/// Has the process killed when it comes by a point for the so manieth time, as `NAME=COUNT` says. With
/// `NAME=COUNT:panic` the thread panics that comes by then, and nobody after it.
///
/// # Errors
/// When it says nothing of the kind.
///
/// # Panics
/// At that point, if it says so.
#[cfg(feature = "failpoints")]
pub fn strike_at(order: &str) -> Result<(), String> {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    let wrong = || format!("neither NAME=COUNT nor NAME=COUNT:panic: {order}");
    let (name, count) = order.split_once('=').ok_or_else(wrong)?;
    let (count, panics) = match count.split_once(':') {
        None => (count, false),
        Some((count, "panic")) => (count, true),
        Some(_) => return Err(wrong()),
    };
    let count: u32 = count.parse().map_err(|_| wrong())?;
    let passed = AtomicU32::new(0);
    fail::cfg_callback(name, move || {
        let number = passed.fetch_add(1, Ordering::SeqCst) + 1;
        if panics {
            assert!(number != count, "as the failpoint says");
        } else if number >= count
            && let Err(err) = kill_process(getpid(), Signal::KILL)
        {
            log::error!("not killed: {err}");
        }
    })
}
