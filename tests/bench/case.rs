//! A case is one work and the contestants that do it in turns. It keeps their repetitions and
//! compares them.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::{Value, json};

use crate::stats::{Ratio, Sample, median};

/// A number of a sample. Contestants are compared by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

impl Metric {
    pub(crate) const fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit }
    }
}

pub(crate) const RATE: Metric = Metric::new("rate", "/s");
pub(crate) const MIB_PER_SECOND: Metric = Metric::new("mib", " MiB/s");
pub(crate) const P99: Metric = Metric::new("p99", " ms p99");

pub(crate) const MEMORY: Metric = Metric::new("sidecar_peak_mib", " MiB of the sidecar");

/// The bound on the sidecar's memory, in MiB.
pub(crate) const MOST_MEMORY: Goal = Goal::AtMost(96.0);

const FAILURES: Metric = Metric::new("failures", "");

/// The goal of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// The ratio differs from one by at most this share.
    Within(f64),
    /// There is no goal: the report only shows the ratio.
    None,
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::Within(share) => format!("1 +- {share}"),
            Self::None => "-".to_owned(),
        }
    }

    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::Within(share) => Some((value - 1.0).abs() <= share),
            Self::None => None,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) ratio: String,
    pub(crate) goal: String,
    pub(crate) met: &'static str,
}

/// One work, with the repetitions of each contestant and the rows of the table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) work: String,
    samples: BTreeMap<String, Vec<Sample>>,
    /// The reason why a contestant failed, by contestant.
    notes: BTreeMap<String, String>,
    pub(crate) lines: Vec<Line>,
}

impl Case {
    pub(crate) fn new(work: &str) -> Self {
        Self {
            work: work.to_owned(),
            samples: BTreeMap::new(),
            notes: BTreeMap::new(),
            lines: Vec::new(),
        }
    }

    /// Measures one repetition of a contestant, unless an earlier one failed.
    pub(crate) fn round(
        &mut self,
        contestant: &str,
        measure: impl FnOnce() -> Result<Sample, String>,
    ) {
        if self.notes.contains_key(contestant) {
            return;
        }
        let number = self
            .samples
            .get(contestant)
            .map_or(1, |done| done.len() + 1);
        progress(&format!("{}: {contestant}, {number}", self.work));
        match measure() {
            Ok(sample) => self
                .samples
                .entry(contestant.to_owned())
                .or_default()
                .push(sample),
            Err(note) => {
                progress(&format!("{}: {contestant}: {note}", self.work));
                self.notes.insert(contestant.to_owned(), note);
            }
        }
    }

    /// Returns a number of each repetition; an empty list if the contestant failed once.
    pub(crate) fn series(&self, contestant: &str, metric: Metric) -> Vec<f64> {
        if self.notes.contains_key(contestant) {
            return Vec::new();
        }
        let samples = self.samples.get(contestant).map_or(&[][..], Vec::as_slice);
        let values = samples
            .iter()
            .filter_map(|sample| sample.value(metric.name));
        values.collect()
    }

    /// Adds a row that compares a contestant with another.
    pub(crate) fn compare(&mut self, ours: &str, theirs: &str, metric: Metric, goal: Goal) {
        let values = self.series(theirs, metric);
        self.compare_with(ours, theirs, &values, metric, goal);
    }

    /// Adds a row that compares a contestant with `values`; the row calls them `theirs`.
    pub(crate) fn compare_with(
        &mut self,
        ours: &str,
        theirs: &str,
        values: &[f64],
        metric: Metric,
        goal: Goal,
    ) {
        let own = self.series(ours, metric);
        let ratio = Ratio::of(&own, values);
        let has_failed = [ours, theirs].map(|name| self.notes.contains_key(name));
        if ratio.is_none() && matches!(goal, Goal::None) && has_failed == [false; 2] {
            // One of the two did not take part.
            return;
        }
        let met = ratio.and_then(|ratio| goal.is_met(ratio.median));
        self.lines.push(Line {
            ours: self.cell(ours, &own, metric),
            theirs: self.cell(theirs, values, metric),
            ratio: ratio.map_or_else(String::new, |ratio| {
                let [median, least, greatest] =
                    [ratio.median, ratio.least, ratio.greatest].map(number);
                format!("{median} ({least}..{greatest})")
            }),
            goal: goal.words(),
            met: verdict(met, matches!(goal, Goal::None)),
        });
    }

    /// Adds a row that compares a number of a contestant with a bound.
    pub(crate) fn judge(&mut self, contestant: &str, metric: Metric, goal: Goal) {
        let own = self.series(contestant, metric);
        let met = median(&own).and_then(|value| goal.is_met(value));
        self.lines.push(Line {
            ours: self.cell(contestant, &own, metric),
            theirs: String::new(),
            ratio: String::new(),
            goal: goal.words(),
            met: verdict(met, matches!(goal, Goal::None)),
        });
    }

    fn cell(&self, contestant: &str, values: &[f64], metric: Metric) -> String {
        match (median(values), self.notes.get(contestant)) {
            (Some(value), _) => {
                let failures: f64 = self.series(contestant, FAILURES).iter().sum();
                let failed = if failures > 0.0 {
                    format!(" ({failures} failed)")
                } else {
                    String::new()
                };
                format!("{contestant}: {}{}{failed}", number(value), metric.unit)
            }
            (None, Some(note)) => format!("{contestant}: {note}"),
            (None, None) => format!("{contestant}: -"),
        }
    }

    /// Returns each contestant with a sample of the medians of its repetitions.
    pub(crate) fn typical(&self) -> impl Iterator<Item = (&str, Sample)> {
        self.samples.iter().map(|(name, samples)| {
            let mut typical = samples.first().cloned().unwrap_or_default();
            for (key, value) in &mut typical.values {
                let all: Vec<_> = samples.iter().filter_map(|one| one.value(key)).collect();
                *value = median(&all).unwrap_or(*value);
            }
            for (process, usage) in &mut typical.usage {
                let all: Vec<_> = samples
                    .iter()
                    .filter_map(|one| one.usage.get(process))
                    .collect();
                let middle = |read: fn(&crate::sampling::Usage) -> f64| {
                    median(&all.iter().map(|usage| read(usage)).collect::<Vec<_>>())
                };
                usage.cpu_seconds = middle(|usage| usage.cpu_seconds).unwrap_or_default();
                usage.peak_mib = middle(|usage| usage.peak_mib).unwrap_or_default();
                usage.written_mib = middle(|usage| usage.written_mib).unwrap_or_default();
            }
            (name.as_str(), typical)
        })
    }

    pub(crate) fn json(&self) -> Value {
        let samples: BTreeMap<_, Vec<_>> = self
            .samples
            .iter()
            .map(|(name, samples)| (name, samples.iter().map(Sample::json).collect()))
            .collect();
        let rows: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "gridspool": line.ours, "compared_with": line.theirs, "ratio": line.ratio,
                    "goal": line.goal, "met": line.met,
                })
            })
            .collect();
        json!({ "work": self.work, "rows": rows, "notes": self.notes, "repetitions": samples })
    }
}

/// Prints a line on stderr, with the seconds since the first such line.
pub(crate) fn progress(what: &str) {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let seconds = BEGUN.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("bench: {seconds} s: {what}");
}

fn verdict(met: Option<bool>, is_only_shown: bool) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "NO",
        None if is_only_shown => "",
        None => "?",
    }
}

/// Formats a number with as many digits as are worth reading.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
