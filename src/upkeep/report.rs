//! Reports of the work, line by line: findings for readers of the output, as text or JSON, and a bar
//! for a person at the terminal.

use std::io::Write as _;

use serde_json::json;

use super::{Event, Phase, Progress};

/// The width of the bar.
const WIDTH: u64 = 30;

/// Writes lines. A line that cannot be written is dropped.
pub struct Report<'a> {
    /// For findings and the summary.
    pub out: &'a mut std::io::Stdout,
    /// For the bar, if there is a terminal.
    pub terminal: Option<&'a mut std::io::Stderr>,
    /// Whether lines are JSON.
    pub is_json: bool,
    /// The word before each finding.
    pub mark: &'static str,
}

impl std::fmt::Debug for Report<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Report").finish_non_exhaustive()
    }
}

impl Report<'_> {
    /// Writes a report.
    pub fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Found(finding) if self.is_json => self.line(&json!({ "finding": finding })),
            Event::Found(finding) => {
                let (mark, name, detail) = (self.mark, &finding.name, &finding.detail);
                self.line(&format_args!("{mark} {name}: {detail}"));
            }
            Event::Reached(progress) => {
                if let Some(terminal) = &mut self.terminal {
                    write!(terminal, "\r\x1b[K{}", bar(progress)).unwrap_or_default();
                    terminal.flush().unwrap_or_default();
                }
            }
        }
    }

    /// Writes the last line.
    pub fn finish(&mut self, progress: &Progress) {
        if let Some(terminal) = &mut self.terminal {
            writeln!(terminal).unwrap_or_default();
        }
        if self.is_json {
            self.line(&json!({ "summary": progress }));
        } else {
            self.line(&summary(progress));
        }
    }

    fn line(&mut self, text: &dyn std::fmt::Display) {
        writeln!(self.out, "{text}").unwrap_or_default();
    }
}

fn summary(progress: &Progress) -> String {
    let Progress {
        entries,
        files,
        bytes,
        chunks,
        waiting,
        orphans,
        lost_links,
        removed,
        findings,
        ..
    } = progress;
    // A search for stray chunks looks at nothing else.
    let looked_at = if (*entries, *files) == (0, 0) {
        String::new()
    } else {
        format!("{entries} entries of the journal, {files} files of {bytes} bytes, ")
    };
    format!(
        "{looked_at}{chunks} chunks: {findings} wrong; {orphans} ids have chunks left behind, and {lost_links} links \
         lead to lost messages; {removed} of them were removed; {waiting} ids have chunks and no file yet"
    )
}

/// The progress, in one line.
fn bar(progress: &Progress) -> String {
    let wrong = progress.findings;
    match progress.phase {
        Phase::Journal => format!("journal: {} entries, {wrong} wrong", progress.entries),
        Phase::Files => {
            let expected = progress.files_expected.max(progress.files).max(1);
            let full = progress.files * WIDTH / expected;
            let bar: String = (0..WIDTH)
                .map(|at| if at < full { '#' } else { '.' })
                .collect();
            let (files, mebibytes) = (progress.files, progress.bytes >> 20);
            format!("files: [{bar}] {files} of {expected}, {mebibytes} MiB, {wrong} wrong")
        }
        Phase::Chunks => {
            let (chunks, orphans) = (progress.chunks, progress.orphans);
            format!("chunks: {chunks}, {orphans} ids left behind, {wrong} wrong")
        }
    }
}
