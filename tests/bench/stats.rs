//! Numbers: samples, medians, ratios and their spread.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sampling::Usage;

pub(crate) const MIB: f64 = 1024.0 * 1024.0;
pub(crate) const GIB: f64 = 1024.0 * MIB;

/// Converts a count to a number to divide by.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts here are far below 2^53"
)]
pub(crate) fn float<T: TryInto<u64>>(count: T) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// Returns the rates of a server that does both works, one after the other, and nothing else.
pub(crate) fn one_after_the_other(one: &[f64], other: &[f64]) -> Vec<f64> {
    let both = one.iter().zip(other);
    both.map(|(one, other)| 1.0 / (1.0 / one + 1.0 / other))
        .collect()
}

/// The results of one repetition of one contestant: numbers by name, and the use of each process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) usage: BTreeMap<String, Usage>,
}

impl Sample {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.set(name, value);
        self
    }

    /// Sets `p50`, `p99` and `max`, in milliseconds.
    pub(crate) fn set_latencies(&mut self, latencies: &[Duration]) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            self.set(name, quantile(latencies, share).as_secs_f64() * 1e3);
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    pub(crate) fn json(&self) -> Value {
        let usage: BTreeMap<_, _> = self
            .usage
            .iter()
            .map(|(name, usage)| (name, usage.json()))
            .collect();
        json!({ "values": self.values, "processes": usage })
    }
}

/// Returns the latency that this share of all requests does not exceed.
pub(crate) fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let micros = |at: usize| sorted.get(at).copied().unwrap_or_default();
    let rank = float(sorted.len()) * share;
    let passed = sorted
        .iter()
        .enumerate()
        .find(|(place, _)| float(place + 1) >= rank);
    passed.map_or_else(Duration::default, |(place, _)| micros(place))
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => sorted.get(middle).copied(),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The median of the ratios of single repetitions, with the least and the greatest of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Ratio {
    /// Compares repetitions in pairs; `None` without a pair.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .filter(|(_, theirs)| **theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Some(Self {
            median: median(&ratios)?,
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: ratios.iter().copied().fold(0.0, f64::max),
        })
    }
}
