//! Checks everything: the journal of this node, every file of the bucket, every chunk.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{
    Event, Finding, Kind, Listener, Phase, Progress, UpkeepError, in_bucket, orphan, sort,
};
use crate::bucket::{Bucket, Listed};
use crate::config::{Config, FsckOrder};
use crate::file::{FileId, FileKey};
use crate::journal::inspection::{EntryInfo, KnownIds};
use crate::journal::{Inspection, OpenError, Room};
use crate::store::{Store as _, StoreError};

/// The interval at which the progress is reported and written down.
const INTERVAL: Duration = Duration::from_millis(500);

/// A check in progress.
struct Check<'a> {
    order: &'a FsckOrder,
    journal: Inspection,
    bucket: &'a Bucket,
    progress: Progress,
    told: Instant,
    tell: Listener<'a>,
}

/// The contents of the journal.
struct JournalContents {
    entries: Vec<EntryInfo>,
    /// Names of anomalies, each with its fault.
    anomalies: Vec<(String, String)>,
    /// The reason why entries are held.
    reasons: HashMap<FileId, String>,
}

impl JournalContents {
    fn read(journal: &Inspection) -> Result<Self, OpenError> {
        let anomalies = journal.verify_live()?.into_iter();
        let mut anomalies: Vec<_> = anomalies
            .map(|anomaly| (anomaly.name(), anomaly.to_string()))
            .collect();
        let set_aside = journal.set_aside()?.into_iter();
        let fault = "set aside as unreadable";
        anomalies.extend(set_aside.map(|name| (format!("corrupt/{name}"), fault.to_owned())));
        let entries = journal.list_live()?.entries();
        let is_held = |entry: &EntryInfo| entry.room() == Some(Room::Hold);
        let reasons = if entries.iter().any(is_held) {
            journal.held_for()?
        } else {
            HashMap::new()
        };
        Ok(Self {
            entries,
            anomalies,
            reasons,
        })
    }
}

/// Checks everything and reports faults. Changes nothing.
///
/// 1. Every entry of this node's journal: its record and its body; a settled entry has its file; the id
///    of a pending entry names no other file.
/// 2. Every file of the bucket, which is read to its last byte: the number and size of each chunk, and
///    the sha-256 in its document.
/// 3. Every chunk: it belongs to a file, or may be on its way to one.
///
/// A file that is deleted or committed meanwhile has no fault. An interrupted run goes on in the phase
/// that it had reached; the first phase begins anew.
///
/// # Errors
/// [`UpkeepError`]; findings up to then were reported.
pub async fn fsck(
    config: &Config,
    order: &FsckOrder,
    tell: Listener<'_>,
) -> Result<Progress, UpkeepError> {
    let journal = Inspection::of(&config.data_dir)?;
    in_bucket(config, async |bucket| {
        check_all(bucket, journal, order, tell).await
    })
    .await
}

async fn check_all(
    bucket: &Bucket,
    journal: Inspection,
    order: &FsckOrder,
    tell: Listener<'_>,
) -> Result<Progress, UpkeepError> {
    let mut check = Check {
        order,
        journal,
        bucket,
        progress: Progress::read(order.state.as_deref()),
        told: Instant::now(),
        tell,
    };
    loop {
        match check.progress.phase {
            Phase::Journal => check.journal().await?, // 1
            Phase::Files => check.files().await?,     // 2
            Phase::Chunks => {
                check.chunks().await?; // 3
                break;
            }
        }
    }
    (check.tell)(Event::Reached(&check.progress));
    // The next run begins anew.
    Progress::default().write(order.state.as_deref())?;
    Ok(check.progress)
}

impl Check<'_> {
    fn found(&mut self, kind: Kind, name: String, detail: String) {
        self.progress.findings += 1;
        let finding = Finding { kind, name, detail };
        (self.tell)(Event::Found(&finding));
    }

    /// Reports the progress, but not too often: it is called for each file.
    fn reached(&mut self) -> Result<(), UpkeepError> {
        if self.told.elapsed() < INTERVAL {
            return Ok(());
        }
        self.told = Instant::now();
        (self.tell)(Event::Reached(&self.progress));
        self.progress.write(self.order.state.as_deref())
    }

    async fn journal(&mut self) -> Result<(), UpkeepError> {
        self.progress = Progress {
            files_expected: self.bucket.about_how_many_files().await?,
            ..Progress::default()
        };
        let found = self.look(JournalContents::read).await?;
        for (name, fault) in found.anomalies {
            self.found(Kind::Unreadable, name, fault);
        }
        let mut suspects = Vec::new();
        for entry in found.entries {
            self.progress.entries += 1;
            let Some(room) = entry.room() else {
                continue;
            };
            if room == Room::Hold {
                let reason = found.reasons.get(&entry.id).cloned();
                self.found(Kind::Held, entry.id.to_string(), reason.unwrap_or_default());
            }
            if room != Room::Deleted
                && let Some((kind, detail)) = self.compare(&entry, room).await?
            {
                suspects.push((entry, kind, detail));
            }
            self.reached()?;
        }
        self.judge(suspects).await?;
        self.progress.move_to(None, Phase::Files);
        Ok(())
    }

    /// Reports the suspects that have not moved. Others may have been deleted, or settled and evicted,
    /// while they were looked up.
    async fn judge(&mut self, suspects: Vec<(EntryInfo, Kind, String)>) -> Result<(), UpkeepError> {
        if suspects.is_empty() {
            return Ok(());
        }
        let contents = self.look(Inspection::list_live).await?;
        for (entry, kind, detail) in suspects {
            let now = contents.entry(entry.id).and_then(|now| now.room());
            if now == entry.room() {
                self.found(kind, entry.id.to_string(), detail);
            }
        }
        Ok(())
    }

    /// Reads the journal on a thread that may block.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Inspection) -> Result<T, OpenError> + Send + 'static,
    ) -> Result<T, UpkeepError> {
        let journal = self.journal.clone();
        match tokio::task::spawn_blocking(move || look(&journal)).await {
            Ok(looked) => Ok(looked?),
            Err(lost) => Err(StoreError::Unavailable(lost.to_string()).into()),
        }
    }

    /// Compares an entry with the bucket.
    async fn compare(
        &self,
        entry: &EntryInfo,
        room: Room,
    ) -> Result<Option<(Kind, String)>, UpkeepError> {
        let file = match self.bucket.find(&FileKey::Id(entry.id), false).await {
            Err(StoreError::Damaged(reason)) => return Ok(Some((Kind::Damaged, reason))),
            found => found?,
        };
        let found = file.map(|file| file.meta.length);
        Ok(match (room, found) {
            (_, Some(length)) if length != entry.known.length => {
                let detail = format!(
                    "in {room} with {} bytes, in MongoDB with {length}",
                    entry.known.length
                );
                Some((Kind::Conflict, detail))
            }
            (Room::Settled, None) => {
                let detail = "settled, and MongoDB has no such file: unless another node or \
                              another program has deleted it, it is lost";
                Some((Kind::Lost, detail.to_owned()))
            }
            _ => None,
        })
    }

    async fn files(&mut self) -> Result<(), UpkeepError> {
        let mut pace = Pace::new(self.order.bytes_per_second);
        loop {
            let behind = self.progress.cursor();
            let listing = self.bucket.list_files(behind.as_ref()).await?;
            for listed in listing.files {
                self.examine(listed, &mut pace).await?;
                self.progress.files += 1;
                self.reached()?;
            }
            self.progress.move_to(listing.next.as_ref(), Phase::Chunks);
            if listing.next.is_none() {
                return Ok(());
            }
        }
    }

    async fn examine(&mut self, listed: Listed, pace: &mut Pace) -> Result<(), UpkeepError> {
        let faults = match listed.file {
            Ok(file) => {
                let mut bytes = 0;
                let mut pay = async |more| {
                    bytes += more;
                    pace.pay(more).await;
                };
                let faults = self.bucket.examine(&file, &mut pay).await?;
                self.progress.bytes += bytes;
                faults
            }
            Err(err) => vec![err.to_string()],
        };
        if !faults.is_empty() {
            self.found(Kind::Damaged, listed.name, faults.join("; "));
        }
        Ok(())
    }

    async fn chunks(&mut self) -> Result<(), UpkeepError> {
        let mut known = KnownIds::new(self.journal.clone());
        loop {
            let place = self.progress.cursor();
            let page = self.bucket.list_orphans(place.as_ref()).await?;
            self.progress.chunks += page.chunks;
            let sorted = sort(page.orphans, &mut known, self.order.older_than, false)?;
            self.progress.waiting += sorted.waiting;
            for found in &sorted.stray {
                self.progress.orphans += 1;
                let finding = orphan(found);
                self.found(finding.kind, finding.name, finding.detail);
            }
            self.progress.move_to(page.next.as_ref(), Phase::Chunks);
            self.reached()?;
            if page.next.is_none() {
                return Ok(());
            }
        }
    }
}
