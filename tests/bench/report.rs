//! The report: the table on stdout and the JSON file.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::case::{Case, number, progress};
use crate::stage::Stage;
use crate::stats::Sample;

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The machine and the programs, in words.
    head: Vec<(&'static str, String)>,
    cases: Vec<Case>,
    /// Where every repetition goes.
    json: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new(stage: &Stage, json: Option<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let root = kit::CHECKOUT;
        let version = first_line(Command::new(kit::program()).arg("--version"));
        let commit =
            first_line(Command::new("git").args(["-C", root, "describe", "--always", "--dirty"]));
        let head = vec![
            (
                "gridspool",
                format!("{} ({commit})", version.trim_start_matches("gridspool ")),
            ),
            ("cores", cores.to_string()),
            ("kernel", first_line(Command::new("uname").arg("-r"))),
            ("nginx", first_line(Command::new("nginx").arg("-v"))),
            (
                "mongod",
                format!("{}, one member, w majority", stage.mongo.version()),
            ),
            ("file system", stage.disk.words.clone()),
        ];
        Self {
            head,
            cases: Vec::new(),
            json,
        }
    }

    /// Adds a finished case, and tells its ratios at once: a run that is ended keeps what it has.
    pub(crate) fn add(&mut self, case: Case) {
        for line in &case.lines {
            let words = [&line.ours, &line.theirs, &line.ratio].into_iter();
            let words: Vec<_> = words
                .map(String::as_str)
                .filter(|word| !word.is_empty())
                .collect();
            let (work, words, goal) = (&case.work, words.join("; "), &line.goal);
            progress(&format!("{work}: {words} (goal {goal})"));
        }
        self.cases.push(case);
        if let Some(json) = &self.json {
            self.write_json(json);
        }
    }

    /// Returns the table of goals, then a table of each contestant's medians and use.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.head {
            text.extend([name, ": ", value, "\n"]);
        }
        let mut goals = vec![
            [
                "work",
                "gridspool",
                "compared with",
                "ratio (least..greatest)",
                "goal",
                "met",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        let mut uses = vec![
            [
                "work",
                "contestant",
                "values (median)",
                "CPU s",
                "peak MiB",
                "written MiB",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for case in &self.cases {
            goals.extend(case.lines.iter().map(|line| {
                vec![
                    case.work.clone(),
                    line.ours.clone(),
                    line.theirs.clone(),
                    line.ratio.clone(),
                    line.goal.clone(),
                    line.met.to_owned(),
                ]
            }));
            for (contestant, sample) in case.typical() {
                let mut row = vec![case.work.clone(), contestant.to_owned()];
                row.extend(details(&sample));
                uses.push(row);
            }
        }
        text.push('\n');
        text.push_str(&aligned(&goals));
        text.push('\n');
        text.push_str(&aligned(&uses));
        text
    }

    /// Writes every repetition as JSON.
    fn write_json(&self, path: &Path) {
        let head: serde_json::Map<_, _> = self
            .head
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        let cases: Vec<_> = self.cases.iter().map(Case::json).collect();
        let json = json!({ "machine": head, "cases": cases });
        let text = serde_json::to_string_pretty(&json).expect("JSON");
        std::fs::write(path, text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }
}

/// Returns the values, then the CPU seconds, peak MiB and written MiB of the processes.
fn details(sample: &Sample) -> [String; 4] {
    let values = sample.values.iter();
    let values = values.map(|(name, value)| format!("{name} {}", number(*value)));
    let used = |read: fn(&crate::sampling::Usage) -> f64| {
        let all = sample.usage.iter().filter(|(_, usage)| read(usage) > 0.0);
        let words = all.map(|(name, usage)| format!("{name} {}", number(read(usage))));
        words.collect::<Vec<_>>().join(", ")
    };
    [
        values.collect::<Vec<_>>().join(", "),
        used(|usage| usage.cpu_seconds),
        used(|usage| usage.peak_mib),
        used(|usage| usage.written_mib),
    ]
}

/// Formats rows as a Markdown table with straight columns. The first row is the head.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text.extend(["| ", &format!("{cell:width$}"), " "]);
        }
        text.push_str("|\n");
        if place == 0 {
            for width in &widths {
                text.extend(["|", &"-".repeat(width + 2)]);
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Returns the first line that a command prints, on stdout or else on stderr.
fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else {
        return "unknown".to_owned();
    };
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    text.lines().next().unwrap_or("unknown").to_owned()
}
