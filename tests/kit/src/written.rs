//! The writes of a site's processes, as the system counts them (proc(5), /proc/PID/io).

use crate::Site;

/// Bytes that the processes have written since they began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    /// Handed to the system, sockets and logs included.
    pub told: u64,
    /// The bytes of those that are on their way to a disk; none where files are in memory.
    pub reached_disk: u64,
}

impl Site {
    /// Returns the writes of nginx and sidecar together.
    pub fn written(&self) -> Written {
        let workers = self.nginx_workers();
        let processes = [self.sidecar_id(), self.nginx_id()].into_iter();
        processes
            .chain(workers)
            .map(written_by)
            .fold(Written::default(), |sum, one| Written {
                told: sum.told + one.told,
                reached_disk: sum.reached_disk + one.reached_disk,
            })
    }
}

fn written_by(process: u32) -> Written {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).expect("its counters");
    let count = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| *key == name).expect("a counter");
        found.1.parse().expect("a number")
    };
    Written {
        told: count("wchar"),
        reached_disk: count("write_bytes"),
    }
}
