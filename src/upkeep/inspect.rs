//! Shows the journal of this node to admins and their scripts. Nothing is written into it, and a
//! sidecar may be working on it. Each line is an entry, a record, or a fault.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::UpkeepError;
use crate::config::{Config, JournalOrder, JournalTask};
use crate::file::FileId;
use crate::journal::inspection::{Anomaly, EntryInfo, SalvageError, state, words};
use crate::journal::{Inspection, Room};

/// Carries out an order and writes its lines. Returns the number of faults.
///
/// # Errors
/// [`UpkeepError`]; the lines until then are written.
pub fn inspect(
    config: &Config,
    order: &JournalOrder,
    out: &mut dyn Write,
) -> Result<u64, UpkeepError> {
    let journal = Inspection::of(&config.data_dir)?;
    let mut lines = Lines {
        out,
        is_json: order.is_json,
        wrong: 0,
    };
    let before = journal.written()?;
    match &order.task {
        JournalTask::List => lines.list(&journal)?,
        JournalTask::Show(id) => {
            let id = id.parse().map_err(|_| UpkeepError::NoId(id.clone()))?;
            lines.show(&journal, id)?;
        }
        JournalTask::Verify => lines.verify(&journal)?,
        JournalTask::Salvage(to) => lines.salvage(&journal, to)?,
    }
    lines.out.flush().map_err(UpkeepError::Output)?;
    if journal.written()? != before {
        log::warn!("a sidecar changed the journal meanwhile: entries may have moved");
    }
    Ok(lines.wrong)
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    is_json: bool,
    wrong: u64,
}

impl Lines<'_> {
    fn list(&mut self, journal: &Inspection) -> Result<(), UpkeepError> {
        let contents = journal.list_confirmed()?;
        self.all_wrong(contents.anomalies())?;
        let mut page = contents.page(None);
        while let Some(last) = page.last().map(|entry| entry.id) {
            let is_held = |entry: &EntryInfo| entry.room() == Some(Room::Hold);
            let reasons = if page.iter().any(is_held) {
                journal.held_for()?
            } else {
                HashMap::default()
            };
            for entry in &page {
                let reason = reasons.get(&entry.id).filter(|_| is_held(entry));
                self.entry(entry, reason)?;
            }
            page = contents.page(Some(last));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryInfo, reason: Option<&String>) -> Result<(), UpkeepError> {
        let EntryInfo { id, known } = entry;
        let (state, bytes, attempts) = (entry.state(), known.length, known.attempts);
        let told = json!({ "entry": {
            "id": id.to_string(),
            "state": state,
            "bytes": bytes,
            "attempts": attempts,
            "keyed": known.is_keyed,
            "reason": reason,
        } });
        // In quotes: a reason may hold anything.
        let reason = reason.map_or(String::new(), |reason| format!(" {reason:?}"));
        self.line(
            &told,
            &format_args!("{id} {state} {bytes} {attempts}{reason}"),
        )
    }

    fn show(&mut self, journal: &Inspection, id: FileId) -> Result<(), UpkeepError> {
        let shown = journal.show_confirmed(id)?;
        for damage in &shown.damages {
            self.wrong(&Anomaly::Damage(damage.clone()))?;
        }
        if shown.frames.is_empty() {
            return Err(UpkeepError::Absent(id));
        }
        for (position, record) in shown.frames {
            let (segment, offset) = (position.generation, position.place);
            match record {
                Ok(record) => {
                    let says = words(&record);
                    let told = json!({ "segment": segment, "offset": offset, "says": says });
                    let told = json!({ "record": told });
                    self.line(
                        &told,
                        &format_args!("segment {segment} at {offset}: {says}"),
                    )?;
                }
                Err(err) => self.wrong(&Anomaly::Record { id, err })?,
            }
        }
        let state = shown.entry.as_ref().map_or("gone", state);
        let told = json!({ "entry": { "id": id.to_string(), "state": state } });
        self.line(&told, &format_args!("{id} {state}"))
    }

    fn verify(&mut self, journal: &Inspection) -> Result<(), UpkeepError> {
        let found = journal.verify_confirmed()?;
        let is_lone = |anomaly: &Anomaly| matches!(anomaly, Anomaly::LoneBody(_));
        let (lone, wrong): (Vec<_>, Vec<_>) = found.into_iter().partition(is_lone);
        self.all_wrong(&wrong)?;
        // A cut before a promise leaves such a body, and the next start removes it.
        for anomaly in &lone {
            let name = anomaly.name();
            self.line(&json!({ "lone": name }), &format_args!("lone {name}"))?;
        }
        let (wrong, lone) = (self.wrong, lone.len());
        self.line(
            &json!({ "summary": { "findings": wrong, "lone": lone } }),
            &format_args!("{wrong} wrong; {lone} bodies that no entry has"),
        )
    }

    fn salvage(&mut self, journal: &Inspection, to: &Path) -> Result<(), UpkeepError> {
        let salvaged = journal.salvage(to)?;
        for id in &salvaged.files {
            let told = json!({ "salvaged": id.to_string() });
            self.line(&told, &format_args!("salvaged {id}"))?;
        }
        for id in &salvaged.uploads {
            let told = json!({ "upload": id.to_string() });
            self.line(&told, &format_args!("upload {id}"))?;
        }
        for name in &salvaged.lone {
            self.line(&json!({ "lone": name }), &format_args!("lone {name:?}"))?;
        }
        self.all_wrong(&salvaged.anomalies)?;
        let (files, lone, wrong) = (salvaged.files.len(), salvaged.lone.len(), self.wrong);
        let uploads = salvaged.uploads.len();
        let told =
            json!({ "salvaged": files, "uploads": uploads, "lone": lone, "findings": wrong });
        self.line(
            &json!({ "summary": told }),
            &format_args!(
                "{files} bodies and {uploads} uploads that may still grow with their descriptions, {lone} bodies \
                 without; {wrong} wrong"
            ),
        )?;
        if salvaged.is_moving {
            log::warn!("a sidecar is at work: entries that moved all the time may be missing");
        }
        Ok(())
    }

    fn all_wrong(&mut self, anomalies: &[Anomaly]) -> Result<(), UpkeepError> {
        anomalies.iter().try_for_each(|anomaly| self.wrong(anomaly))
    }

    fn wrong(&mut self, anomaly: &Anomaly) -> Result<(), UpkeepError> {
        self.wrong += 1;
        let (name, detail) = (anomaly.name(), anomaly.to_string());
        let told = json!({ "finding": { "name": name, "detail": detail } });
        self.line(&told, &format_args!("WRONG {name}: {detail}"))
    }

    fn line(&mut self, told: &Value, text: &dyn Display) -> Result<(), UpkeepError> {
        let written = if self.is_json {
            writeln!(self.out, "{told}")
        } else {
            writeln!(self.out, "{text}")
        };
        written.map_err(UpkeepError::Output)
    }
}

impl From<SalvageError> for UpkeepError {
    fn from(err: SalvageError) -> Self {
        match err {
            SalvageError::Open(err) => Self::Journal(err),
            SalvageError::Disk { path, source } => Self::State { path, source },
            err @ SalvageError::Inside(_) => Self::Salvage(err),
        }
    }
}
