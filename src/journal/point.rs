//! Points in the journal's code, one between any two steps, at which the proof kills this process or
//! lets a thread panic. They exist only in builds with the feature `failpoints`, which a release build
//! cannot have.

/// Names a point, in the journal or in code that uses it.
macro_rules! point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name);
    };
}

pub(crate) use point;

/// Reads `NAME=COUNT`: the process is killed when it passes this point for the COUNTth time. With
/// `NAME=COUNT:panic` the thread that passes it then panics, and no later one.
///
/// # Errors
/// When the text has another form.
///
/// # Panics
/// At that point, if the text says so.
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
