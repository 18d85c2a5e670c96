//! What processes use, as /proc tells it: CPU seconds, peak memory, bytes written.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::stats::{MIB, float};

/// The kernel's clock ticks in a second, of every architecture that matters.
const TICKS: f64 = 100.0;

/// What a process, or several of one kind, used during a measurement. The memory of several is
/// added up, though they share pages.
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
    /// Begins: peaks of memory count from here.
    pub(crate) fn start(processes: &[(&str, Vec<u32>)]) -> Self {
        let look = |id: &u32| {
            // Not everyone may: then the peak is that of the whole life.
            fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap_or_default();
            (*id, usage(*id))
        };
        let processes = processes
            .iter()
            .map(|(name, ids)| ((*name).to_owned(), ids.iter().map(look).collect()))
            .collect();
        Self { processes }
    }

    /// What was used since.
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

/// Since the start of a process; nothing of one that is gone.
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

/// What a process has in memory now.
pub(crate) fn resident_mib(ids: &[u32]) -> f64 {
    ids.iter()
        .map(|id| status_kib(*id, "VmRSS:") / 1024.0)
        .sum()
}

/// The most that processes had in memory since a [`Watch`] began.
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

/// Connections that a unix socket's owner has accepted and not closed.
pub(crate) fn connections_at(socket: &str) -> f64 {
    const CONNECTED: &str = "03";
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let held = table.lines().filter(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(5) == Some(&CONNECTED) && words.last() == Some(&socket)
    });
    float(held.count())
}
