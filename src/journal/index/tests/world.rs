//! A journal of only its index and a simulated log, and the answers that it has given.

use std::collections::{BTreeMap, BTreeSet};

use super::bug::Bug;
use super::log::{Landed, Log};
use super::lots::Lots;
use crate::file::FileId;
use crate::journal::index::{Index, Known, Phase, Reading, Refused, Ticket};
use crate::journal::record::{Base, Entry, Frame, LogTime, Record, State};

/// A change under way: the state of an entry after a frame is synced.
#[derive(Debug)]
struct UnderWay {
    ticket: Ticket,
    id: FileId,
    then: Option<Entry>,
}

pub(super) struct World {
    pub(super) lots: Lots,
    pub(super) bug: Bug,
    pub(super) index: Index,
    pub(super) log: Log,
    /// Everything that was ever reported. `None` stands for an entry that has left.
    pub(super) told: BTreeMap<FileId, Option<Entry>>,
    under_way: Vec<UnderWay>,
    /// Frames that are synced, and that the index does not know yet.
    untold: Vec<Landed>,
    /// Entries that were read some time ago, to be copied.
    pub(super) readings: Vec<Reading>,
    /// The copies in the queued group.
    pub(super) copies_queued: u64,
    pub(super) bodies: BTreeSet<FileId>,
    /// Bodies that were unlinked without a sync.
    pub(super) unlinked: BTreeSet<FileId>,
    pub(super) clock: u64,
    pub(super) ids: u32,
}

impl World {
    pub(super) fn new(seed: u64, bug: Bug) -> Self {
        Self {
            // Small seeds would begin alike.
            lots: Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            bug,
            index: Index::default(),
            log: Log::default(),
            told: BTreeMap::new(),
            under_way: Vec::new(),
            untold: Vec::new(),
            readings: Vec::new(),
            copies_queued: 0,
            bodies: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            clock: 1,
            ids: 0,
        }
    }

    pub(super) fn new_id(&mut self) -> FileId {
        self.ids += 1;
        let [a, b, c, d] = self.ids.to_be_bytes();
        FileId::from_bytes([a, b, c, d, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    pub(super) fn now(&mut self) -> LogTime {
        self.clock += 1;
        LogTime(self.clock)
    }

    /// Notes that a step was decided, or refused. Its effect on these entries is reported when it
    /// is synced.
    pub(super) fn decided(
        &mut self,
        decided: Result<Ticket, Refused>,
        then: impl IntoIterator<Item = (FileId, Option<Entry>)>,
    ) {
        let Ok(ticket) = decided else {
            return;
        };
        for (id, then) in then {
            if self.bug == Bug::WordBeforeSync {
                self.told.insert(id, then.clone());
            }
            self.under_way.push(UnderWay { ticket, id, then });
        }
    }

    pub(super) fn write(&mut self) {
        let oldest = self.index.oldest();
        let is_all_queued =
            self.copies_queued > 0 && self.copies_queued == self.index.bases_in(oldest);
        let is_early = self.bug == Bug::OldestWithItsCopies && is_all_queued;
        self.log.write(oldest + u64::from(is_early));
        self.copies_queued = 0;
    }

    /// Syncs the group; the callers that wait for its frames are answered one after the other.
    pub(super) fn sync(&mut self) {
        self.untold.extend(self.log.sync());
    }

    /// Reports one synced frame, in any order: memory learns of it, and then the waiting caller.
    pub(super) fn tell(&mut self) {
        if self.untold.is_empty() {
            return;
        }
        let at = self.lots.draw(self.untold.len());
        let Landed {
            ticket,
            segment,
            place,
            ..
        } = self.untold.swap_remove(at);
        self.index.synced(ticket, segment, place);
        self.settle_under_way(ticket, true);
    }

    pub(super) fn tell_all(&mut self) {
        while !self.untold.is_empty() {
            self.tell();
        }
    }

    pub(super) fn fail(&mut self) {
        let is_taken = self.bug == Bug::FailureTaken;
        for ticket in self.log.fail() {
            if !is_taken {
                self.index.failed(ticket);
            }
            self.settle_under_way(ticket, is_taken);
        }
        self.copies_queued = 0;
    }

    fn settle_under_way(&mut self, ticket: Ticket, is_told: bool) {
        for under_way in std::mem::take(&mut self.under_way) {
            if under_way.ticket != ticket {
                self.under_way.push(under_way);
            } else if is_told {
                self.told.insert(under_way.id, under_way.then);
            }
        }
    }

    /// Reads an entry from its frames on the disk.
    pub(super) fn read(&self, id: FileId) -> Result<Option<Reading>, String> {
        let Some(known) = self.index.get(id) else {
            return Ok(None);
        };
        let base = self.log.read(known.base);
        let base = base.ok_or_else(|| format!("{id}: its base is not there: {known:?}"))?;
        let change = known.change.map(|place| self.log.read(place));
        if change == Some(None) {
            return Err(format!("{id}: its change is not there: {known:?}"));
        }
        let reading = Reading::new(id, &known, base, change.flatten());
        reading.map(Some).map_err(|err| format!("{id}: {err}"))
    }

    /// Reads an entry as the index and the log have it together.
    fn entry(&self, id: FileId) -> Result<Option<Entry>, String> {
        let entry = self.read(id)?.map(|reading| reading.entry().clone());
        let growth = match &entry {
            Some(Entry::Upload(upload)) => Some(upload.growth),
            _ => None,
        };
        if self.index.growth(id) != growth {
            return Err(format!(
                "{id}: {growth:?}, said {:?}",
                self.index.growth(id)
            ));
        }
        Ok(entry)
    }

    /// Checks that everything is as it was reported.
    pub(super) fn check(&self) -> Result<(), String> {
        for (&id, told) in &self.told {
            let entry = self.entry(id)?;
            if entry != *told {
                return Err(format!("{id}: told {told:?}, and is {entry:?}"));
            }
            let known = self.index.get(id);
            if let Some((known, entry)) = known.zip(entry.as_ref())
                && known.phase != phase_of(entry)
            {
                return Err(format!("{id}: {known:?} of {entry:?}"));
            }
            self.check_body(id, told.as_ref(), known)?;
        }
        super::sums::check(&self.index)
    }

    fn check_body(
        &self,
        id: FileId,
        told: Option<&Entry>,
        known: Option<Known>,
    ) -> Result<(), String> {
        let needs_body = match told {
            Some(Entry::File(file)) => !matches!(file.state, State::Settled(_)),
            Some(Entry::Upload(_)) => true,
            Some(Entry::Tombstone(_) | Entry::Intent(_)) | None => false,
        };
        if needs_body && !self.bodies.contains(&id) {
            return Err(format!("{id}: promised, and has no body: {known:?}"));
        }
        Ok(())
    }

    /// Ends the process, and starts a new one.
    pub(super) fn restart(&mut self, is_power_cut: bool) -> Result<(), String> {
        if is_power_cut {
            self.log.cut(&mut self.lots);
            for id in std::mem::take(&mut self.unlinked) {
                if self.lots.draw(2) == 0 {
                    self.bodies.insert(id);
                }
            }
        } else {
            self.log.kill();
        }
        self.readings.clear();
        self.untold.clear();
        self.copies_queued = 0;
        self.index = Index::default();
        let mut found = BTreeSet::new();
        for landed in self.log.found() {
            let Landed {
                segment,
                place,
                frame,
                ..
            } = landed;
            found.extend(ids_of(&frame));
            let replayed = self.index.replay(&frame, segment, place);
            replayed.map_err(|err| format!("{}: {err} in {place:?}", frame.id))?;
        }
        if !self.index.lost().is_empty() {
            return Err(format!("without a base: {:?}", self.index.lost()));
        }
        if self.bug != Bug::StartSpeaksBeforeSync {
            // The log is made durable as it was found.
            self.log.sync();
        }
        self.take_for_told(&found)
    }

    /// Fixes the outcome of steps under way after a start: they happened or not, and from now on
    /// that is reported.
    fn take_for_told(&mut self, found: &BTreeSet<FileId>) -> Result<(), String> {
        let mut may_be: BTreeMap<FileId, Vec<Option<Entry>>> = BTreeMap::new();
        for under_way in std::mem::take(&mut self.under_way) {
            may_be.entry(under_way.id).or_default().push(under_way.then);
        }
        let ids: BTreeSet<_> = self
            .told
            .keys()
            .chain(may_be.keys())
            .chain(found)
            .copied()
            .collect();
        for id in ids {
            let entry = self.entry(id)?;
            let told = self.told.get(&id).cloned().flatten();
            let is_possible = may_be.get(&id).is_some_and(|then| then.contains(&entry));
            if entry != told && !is_possible {
                return Err(format!(
                    "{id}: told {told:?}, and after a start it is {entry:?}"
                ));
            }
            self.told.insert(id, entry);
        }
        Ok(())
    }
}

/// Returns the entries of a frame.
pub(in crate::journal) fn ids_of(frame: &Frame) -> Vec<FileId> {
    match frame.read() {
        Ok(Some(Record::Base(Base::Form(form)))) => form.parts.iter().map(|part| part.id).collect(),
        _ => vec![frame.id],
    }
}

pub(super) fn phase_of(entry: &Entry) -> Phase {
    match entry {
        Entry::Upload(_) => Phase::Growing,
        Entry::Tombstone(_) => Phase::Deleted,
        Entry::Intent(_) => Phase::Intended,
        Entry::File(file) => match file.state {
            State::Waiting => Phase::Waiting,
            State::Deferred { .. } => Phase::Deferred,
            State::Held(_) => Phase::Held,
            State::Settled(_) => Phase::Settled,
        },
    }
}
