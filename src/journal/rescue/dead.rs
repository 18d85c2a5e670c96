//! The journal of a dead node, as its rescuer holds it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use crate::config::JournalConfig;
use crate::file::FileId;
use crate::journal::announce::Announcer;
use crate::journal::begin::{check_format, write_whole};
use crate::journal::error::NO_ENTRY;
use crate::journal::layout::Layout;
use crate::journal::lock::JournalLock;
use crate::journal::lookup::frame;
use crate::journal::record::{Answered, Base, Entry, Record};
use crate::journal::volume::LocalDisk;
use crate::journal::vote::VOTE;
use crate::journal::wal::{ReadError, Shape};
use crate::journal::{Disk as _, Journal, JournalError, OpenError, at};

/// The journal of a node that is dead, held for another node.
#[derive(Debug)]
pub struct DeadJournal {
    pub(super) journal: Journal,
    by: u16,
    /// Whether all of it was taken over before.
    is_over: bool,
    /// The last id here of each body that several entries share, by its inode there.
    pub(super) shared: Mutex<HashMap<u64, FileId>>,
}

impl DeadJournal {
    /// Opens the journal in a data directory for node `by`: takes its lock, so that no sidecar works on
    /// it, and recovers it as at a start.
    ///
    /// # Errors
    /// [`OpenError`], also when a sidecar works on it, or when another node has it.
    pub fn open(data_dir: &Path, limits: JournalConfig, by: u16) -> Result<Self, OpenError> {
        let layout = Layout::new(data_dir);
        check_format(&layout)?;
        let lock = JournalLock::take(&layout.lock())?;
        let path = layout.rescued();
        let [begun, over] = [false, true].map(|is_over| mark(by, is_over));
        let is_over = match fs::read_to_string(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => return Err(OpenError::at(path)(err)),
            Ok(text) if text == begun || text == over => text == over,
            Ok(text) => {
                let (journal, by) = (layout.journal().to_owned(), text.trim().to_owned());
                return Err(OpenError::Rescued { journal, by });
            }
        };
        let (disk, nobody) = (Box::new(LocalDisk), Announcer::to_nobody());
        let opened = Journal::recover(layout, lock, limits, disk, nobody, Shape::DEFAULT)?;
        Ok(Self {
            journal: opened.0,
            by,
            is_over,
            shared: Mutex::default(),
        })
    }

    /// Marks it: no node starts on it any more, and no other node takes it over.
    ///
    /// # Errors
    /// The disk's error.
    pub fn begin(&self) -> Result<(), OpenError> {
        write_mark(&self.journal.layout, &mark(self.by, false))
    }

    /// Whether the mark says that all of it was taken over.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// All of its entries, the oldest first.
    pub fn ids(&self) -> Vec<FileId> {
        let mut ids = Vec::new();
        self.journal.each_known(&mut |id, _| ids.push(id));
        ids.sort_unstable();
        ids
    }

    /// Whether an entry was settled.
    pub fn is_settled(&self, id: FileId) -> bool {
        self.journal.is_settled(id)
    }

    /// Marks it as taken over, after all of it was.
    ///
    /// # Errors
    /// The disk's error.
    pub fn close(&self) -> Result<(), OpenError> {
        write_mark(&self.journal.layout, &mark(self.by, true))
    }

    /// The answers whose entries have left, are settled, or are `deleted` since. Votes are none: other witnesses have
    /// them, too.
    pub(super) fn answers(&self, deleted: &HashSet<FileId>) -> Result<Vec<Answered>, JournalError> {
        let mut answers = Vec::new();
        let places = self.journal.state().keys.places();
        for place in places {
            let read = self.journal.wal.read_at(place.group(), place.offset());
            let content = match read {
                Err(ReadError::Disk(err)) => return Err(at(NO_ENTRY, "read an answer")(err)),
                Err(ReadError::Gone | ReadError::Damaged) => continue,
                Ok(content) => content,
            };
            if let Ok(Some(Record::Base(Base::Answers(packed)))) = frame(&content).read() {
                let state = self.journal.state();
                let live = packed.into_iter();
                let live = live.filter(|one| state.keys.is_retained_at(one, place));
                answers.extend(live.filter(|one| one.answer.request.content != VOTE));
            }
        }
        let is_over = |id: &FileId| self.is_settled(*id) || deleted.contains(id);
        for id in self.ids().into_iter().filter(is_over) {
            let Ok(found) = self.journal.read(id) else {
                continue;
            };
            if let Entry::File(file) = found.reading.entry()
                && let Some(answer) = file.answer
            {
                let (meta, is_deleted) = (file.meta.clone(), deleted.contains(&id));
                answers.push(Answered {
                    id,
                    meta,
                    answer,
                    is_deleted,
                });
            }
        }
        Ok(answers)
    }
}

fn mark(by: u16, is_over: bool) -> String {
    let how_far = if is_over { "" } else { ", not all of it yet" };
    format!("node {by}{how_far}\n")
}

fn write_mark(layout: &Layout, text: &str) -> Result<(), OpenError> {
    let path = layout.rescued();
    write_whole(&LocalDisk, &path, text).map_err(OpenError::at(&path))?;
    let synced = LocalDisk.sync_directory(layout.journal());
    synced.map_err(OpenError::at(layout.journal()))
}
