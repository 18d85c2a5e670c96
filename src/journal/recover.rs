//! The findings of a start in a journal, and the treatment of each.
//!
//! | found | left by a cut | becomes |
//! |---|---|---|
//! | a group at the end of the log that is not whole | while it was written | dropped: no caller was told of it |
//! | a frame | at any moment | made durable before the first answer, and counts |
//! | a small append with a body that lacks its bytes | before the body's next fsync | written from the log, and fsynced |
//! | a body without an entry | before a promise; while an entry left | unlinked; moved to `corrupt` if the log is damaged |
//! | a settled entry without its body | while it was evicted | evicted |
//! | a promised entry without its body, or with one that is too short | by no cut: a damaged disk | reported, and set aside when its commit is due |
//! | damage in the log | by no cut | reported; the segment is kept in `corrupt` when it is trimmed |
//! | a frame of an unknown kind | by no cut: a newer program wrote it | the start is refused, before anything is written |

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::announce::Announcer;
use super::begin::{check_format, check_not_rescued, names, try_link};
use super::corrupt::move_to_corrupt;
use super::evict::Leaves;
use super::idempotency::Claims;
use super::index::Phase;
use super::layout::Layout;
use super::lock::JournalLock;
use super::memory::{Memory, State};
use super::replay::{Replay, generation_of};
use super::shared::SharedSync;
use super::volume::{Disk, Volume, if_there};
use super::wal::{Report, Shape, Wal};
use super::{Journal, JournalError, OpenError, RESERVED_SEGMENTS, point};
use crate::config::JournalConfig;
use crate::file::{FileId, FileIds};

/// The most damages in status and metrics; the process's log names all.
const DAMAGES_TOLD: usize = 100;

/// The findings and actions of a start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Pending entries that were kept.
    pub pending: usize,
    /// Settled entries that were kept.
    pub settled: usize,
    /// Deletes that have to be finished.
    pub deleted: usize,
    /// Bodies of unfinished uploads that were removed.
    pub removed: usize,
    /// Damaged places of the log and damaged bodies, and bodies that were set aside.
    pub corrupt: usize,
}

impl Journal {
    /// Opens a journal and recovers the state that the last sidecar left, by the table above.
    /// [`Journal::work`] lists the work that is left; later work is announced.
    ///
    /// 1. The marker exists, and states the right format. No other node has taken the journal over.
    /// 2. The lock is taken.
    /// 3. The log is read and judged. Nothing was written until here.
    /// 4. The end of the log is made durable.
    /// 5. Small appends are written into the bodies again, and fsynced.
    /// 6. Bodies without an entry are removed; `body/` is fsynced.
    /// 7. Uploads that gave way to a promise end, if a cut has left any.
    /// 8. A link from the spool is tried.
    /// 9. The log gets its reserve for a full disk.
    /// 10. Parts of deleted messages lose their links, if a cut has left any.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is served.
    pub fn open(
        data_dir: &Path,
        limits: JournalConfig,
        disk: Box<dyn Disk>,
        announcer: Announcer,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::open_shaped(data_dir, limits, disk, announcer, Shape::DEFAULT)
    }

    pub(super) fn open_shaped(
        data_dir: &Path,
        limits: JournalConfig,
        disk: Box<dyn Disk>,
        announcer: Announcer,
        shape: Shape,
    ) -> Result<(Self, Recovered), OpenError> {
        let layout = Layout::new(data_dir);
        check_format(&layout)?; // 1
        check_not_rescued(&layout)?;
        let lock = JournalLock::take(&layout.lock())?; // 2
        point!("open.locked");
        let (journal, mut recovered) = Self::recover(layout, lock, limits, disk, announcer, shape)?;
        try_link(&journal.layout, journal.disk())?; // 8
        if let Err(err) = journal.wal.reserve(RESERVED_SEGMENTS) {
            log::warn!("the log has no reserve for a full disk: {err}");
        } // 9
        journal.untie_again(); // 10
        recovered.deleted = journal.entries_in(&[Phase::Deleted]);
        Ok((journal, recovered))
    }

    /// Steps 3 to 7.
    pub(super) fn recover(
        layout: Layout,
        lock: JournalLock,
        limits: JournalConfig,
        disk: Box<dyn Disk>,
        announcer: Announcer,
        shape: Shape,
    ) -> Result<(Self, Recovered), OpenError> {
        let mut replay = Replay::new(&limits);
        let volume = Volume::new(disk, &layout.wal());
        let (wal, report) = Wal::open(volume, shape, &mut |found| replay.take(found))?; // 3 and 4
        point!("open.log-read");
        let is_sound = replay.is_sound(&report);
        let Replay {
            index,
            mut keys,
            linked,
            tails,
            mut unreadable,
        } = replay;
        unreadable.extend(report.damages.iter().filter_map(generation_of));
        // The rest of another node's answer comes when its rescue goes on.
        let is_foreign = |first: FileId| first.node() != limits.node;
        keys.forget_lost(|id| index.get(id).is_some(), is_foreign);
        let state = State::new(index, keys);
        let journal = Self {
            ids: FileIds::new(limits.node, wal.start_number(), random()),
            wal,
            memory: Arc::new(Memory::new(state, announcer)),
            limits,
            layout,
            bodies_sync: SharedSync::default(),
            unlinked: Mutex::default(),
            claims: Claims::default(),
            appending: Claims::default(),
            refused_appends: Mutex::default(),
            with_tails: Mutex::default(),
            damaged: Mutex::new(unreadable),
            damage: report
                .damages
                .iter()
                .take(DAMAGES_TOLD)
                .map(ToString::to_string)
                .collect(),
            _lock: lock,
        };
        let mut recovered = Recovered::default();
        recovered.corrupt += tell_damage(&report);
        let restored = journal.restore_tails(&tails); // 5
        restored.map_err(OpenError::at(&journal.layout.bodies()))?;
        journal.clear_bodies(&linked, is_sound, &mut recovered)?; // 6
        point!("open.bodies-cleared");
        journal.end_overtaken(); // 7
        recovered.pending = journal.entries_in(Phase::PROMISED);
        recovered.settled = journal.entries_in(&[Phase::Settled]);
        recovered.deleted = journal.entries_in(&[Phase::Deleted]);
        Ok((journal, recovered))
    }

    fn entries_in(&self, phases: &[Phase]) -> usize {
        let state = self.state();
        let entries = phases
            .iter()
            .map(|&phase| state.index.totals(phase).entries);
        usize::try_from(entries.sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// Step 6.
    fn clear_bodies(
        &self,
        linked: &HashMap<FileId, u64>,
        is_sound: bool,
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        let bodies = self.layout.bodies();
        let mut lengths = HashMap::new();
        for name in names(&bodies)? {
            let path = bodies.join(&name);
            let Some(id) = Layout::body_id(&name) else {
                continue;
            };
            let known = self.known(id);
            let is_deleted = known.is_some_and(|known| known.phase == Phase::Deleted);
            if known.is_some() && !is_deleted && linked.contains_key(&id) {
                let found = fs::metadata(&path).map_err(OpenError::at(&path))?;
                lengths.insert(id, found.len());
            } else if is_sound || is_deleted {
                if_there(self.disk().unlink(&path)).map_err(OpenError::at(&path))?;
                recovered.removed += 1;
            } else {
                log::error!("{id}: a body that no entry has; moved to corrupt");
                let moved = move_to_corrupt(&self.layout, self.disk(), &path);
                moved.map_err(OpenError::at(&path))?;
                recovered.corrupt += 1;
            }
        }
        let mut evicted = Vec::new();
        for (&id, &needed) in linked {
            let phase = self.known(id).map(|known| known.phase);
            match (phase, lengths.get(&id)) {
                (None | Some(Phase::Deleted), _) => {}
                (Some(_), Some(&length)) if length >= needed => {}
                (Some(Phase::Settled), _) => evicted.push(id),
                (Some(_), length) => {
                    log::error!("{id}: its body has {length:?} of {needed} bytes");
                    recovered.corrupt += 1;
                }
            }
        }
        for path in [&bodies, &self.layout.corrupt()] {
            let synced = self.wal.volume().sync_directory(path);
            synced.map_err(OpenError::at(path))?;
        }
        self.leave_at_once(&evicted).map_err(|err| {
            let err = io::Error::other(err);
            OpenError::at(&bodies)(err)
        })
    }

    fn leave_at_once(&self, ids: &[FileId]) -> Result<(), JournalError> {
        let mut state = self.state();
        let left = ids.iter().copied();
        let left: Vec<_> = left.filter(|&id| state.index.leave(id).is_ok()).collect();
        drop(state);
        self.finish_leaving(&left, Leaves::Evicted)
    }
}

fn tell_damage(report: &Report) -> usize {
    for damage in &report.damages {
        log::error!("the log is damaged: {damage}");
    }
    report.damages.len()
}

/// The standard library seeds each hasher from the operating system's source of random numbers.
fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one("ids").to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
