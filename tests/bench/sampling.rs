//! The use of processes, as /proc tells it: CPU seconds, peak memory, written bytes.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::stats::{MIB, float};

/// The kernel's clock ticks in a second, the same on every usual architecture.
const TICKS: f64 = 100.0;

/// The use of a process, or of several of one kind, during a measurement. The memory of several
/// processes is added up, though they share pages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    pub(crate) written_mib: f64,
}

impl Usage {
    pub(crate) fn json(self) -> Value {
        json!({
            "cpu_seconds": self.cpu_seconds,
            "peak_mib": self.peak_mib,
            "written_mib": self.written_mib,
        })
    }
}

/// A measurement in progress.
#[derive(Debug)]
pub(crate) struct Watch {
    processes: Vec<(String, Vec<(u32, Usage)>)>,
}

impl Watch {
    /// Begins a measurement. Peaks of memory count from here.
    pub(crate) fn start(processes: &[(&str, Vec<u32>)]) -> Self {
        let look = |id: &u32| {
            // The system may refuse this; then the peak is that of the process's whole life.
            fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap_or_default();
            (*id, usage(*id))
        };
        let processes = processes
            .iter()
            .map(|(name, ids)| ((*name).to_owned(), ids.iter().map(look).collect()))
            .collect();
        Self { processes }
    }

    /// Returns the use since the start, by the name of the processes.
    pub(crate) fn finish(&self) -> BTreeMap<String, Usage> {
        let all = self.processes.iter().map(|(name, processes)| {
            let mut sum = Usage::default();
            for (id, before) in processes {
                let now = usage(*id);
                sum.cpu_seconds += (now.cpu_seconds - before.cpu_seconds).max(0.0);
                sum.peak_mib += now.peak_mib;
                sum.written_mib += (now.written_mib - before.written_mib).max(0.0);
            }
            (name.clone(), sum)
        });
        all.collect()
    }
}

/// Returns the use since the start of a process; zero if the process is gone.
fn usage(id: u32) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
    let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    Usage {
        cpu_seconds: ticks / TICKS,
        peak_mib: status_kib(id, "VmHWM:") / 1024.0,
        written_mib: number_behind(&io, "write_bytes:") / MIB,
    }
}

/// Returns the MiB that processes have in memory now.
pub(crate) fn resident_mib(ids: &[u32]) -> f64 {
    ids.iter()
        .map(|id| status_kib(*id, "VmRSS:") / 1024.0)
        .sum()
}

/// Returns the most MiB that processes had in memory since a [`Watch`] began.
pub(crate) fn peak_mib(ids: &[u32]) -> f64 {
    ids.iter()
        .map(|id| status_kib(*id, "VmHWM:") / 1024.0)
        .sum()
}

fn status_kib(id: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    number_behind(&status, name)
}

fn number_behind(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// Returns how many connections the owner of a unix socket has accepted and not closed.
pub(crate) fn connections_at(socket: &str) -> f64 {
    const CONNECTED: &str = "03";
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let held = table.lines().filter(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(5) == Some(&CONNECTED) && words.last() == Some(&socket)
    });
    float(held.count())
}
