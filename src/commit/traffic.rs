//! The load that clients put on this node: their requests, and this process's waits for a
//! processor.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::throttle::Counts;

/// The threads of this process. `schedstat` tells, in nanoseconds, how long each ran and how long it
/// was ready to run and did not (proc(5)).
const THREADS: &str = "/proc/self/task";

/// Counts the requests of clients. Shared by reference.
#[derive(Debug, Default)]
pub struct Traffic(AtomicU64);

impl Traffic {
    /// Counts a request.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of requests.
    pub fn requests(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The counts up to now.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            requests: self.requests(),
            waited: waited(),
        }
    }
}

/// `None` where the kernel does not count it.
fn waited() -> Option<Duration> {
    let threads = fs::read_dir(THREADS).ok()?;
    let each = threads.filter_map(|thread| {
        // A thread that ends meanwhile is skipped.
        let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().nth(1)?.parse().ok()
    });
    let each: Vec<u64> = each.collect();
    (!each.is_empty()).then(|| Duration::from_nanos(each.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_so_is_how_long_threads_have_waited_where_the_kernel_tells() {
        let traffic = Traffic::default();
        traffic.count();
        traffic.count();
        let counts = traffic.counts();
        assert_eq!(counts.requests, 2);
        // A kernel built without it must give `None`, and not a wait of zero.
        let is_counted = fs::exists("/proc/thread-self/schedstat").unwrap();
        assert_eq!(counts.waited.is_some(), is_counted);
    }
}
