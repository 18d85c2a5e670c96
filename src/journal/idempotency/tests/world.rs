//! A journal of keyed uploads with only its index, its keys and a simulated log, and the answers
//! that it has given.

use std::collections::{BTreeSet, HashMap};

use super::bug::Bug;
use super::told::{LIFETIME, Step, Told, answers_of, no_keys};
use super::{Keys, id};
use crate::file::FileId;
use crate::journal::idempotency::{Claims, Retained, Standing};
use crate::journal::index::tests::log::{Landed, Log};
use crate::journal::index::tests::lots::Lots;
use crate::journal::index::{Index, Place, Reading, Refused, Replayed, Ticket};
use crate::journal::record::{Answer, Answered, LogTime};
use crate::store::Sha256;

pub(super) struct World {
    pub(super) lots: Lots,
    pub(super) bug: Bug,
    pub(super) index: Index,
    pub(super) keys: Keys,
    pub(super) claims: Claims,
    pub(super) log: Log,
    /// The answers that were given, by their keys.
    pub(super) told: HashMap<Sha256, Told>,
    pub(super) settled: BTreeSet<FileId>,
    pub(super) deleted: BTreeSet<FileId>,
    under_way: Vec<(Ticket, Step)>,
    /// Frames that are synced, and that memory does not know yet.
    untold: Vec<Landed>,
    /// Entries with answers that are about to be retained.
    pub(super) leaving: BTreeSet<FileId>,
    pub(super) clock: u64,
    written_clock: u64,
    /// The difference of the wall clock.
    pub(super) wall_offset: u64,
    pub(super) ids: u32,
}

impl World {
    pub(super) fn new(seed: u64, bug: Bug) -> Self {
        Self {
            // Small seeds would begin alike.
            lots: Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            bug,
            index: Index::default(),
            keys: no_keys(),
            claims: Claims::default(),
            log: Log::default(),
            told: HashMap::new(),
            settled: BTreeSet::new(),
            deleted: BTreeSet::new(),
            under_way: Vec::new(),
            untold: Vec::new(),
            leaving: BTreeSet::new(),
            clock: 1,
            written_clock: 1,
            wall_offset: 0,
            ids: 0,
        }
    }

    pub(super) fn new_id(&mut self) -> FileId {
        self.ids += 1;
        id(self.ids)
    }

    /// Returns the time of the keys' clock.
    pub(super) fn now(&self) -> LogTime {
        let wall = u64::from(self.bug == Bug::WallTime) * self.wall_offset;
        LogTime(self.clock + wall)
    }

    /// Notes that a step was decided, or refused.
    pub(super) fn decided(&mut self, decided: Result<Ticket, Refused>, step: Step) -> bool {
        let Ok(ticket) = decided else {
            return false;
        };
        self.under_way.push((ticket, step));
        true
    }

    /// Returns the first segment of the log that is needed.
    fn oldest(&self) -> u64 {
        let of_index = self.index.oldest();
        match self.keys.oldest() {
            Some(of_keys) if self.bug != Bug::OldestWithoutAnswers => of_index.min(of_keys),
            _ => of_index,
        }
    }

    pub(super) fn write(&mut self) {
        self.written_clock = self.clock;
        let oldest = self.oldest();
        self.log.write(oldest);
    }

    pub(super) fn sync(&mut self) {
        self.untold.extend(self.log.sync());
    }

    /// Reports one synced frame, in any order: memory learns of it under one lock, and then the
    /// waiting caller.
    pub(super) fn tell(&mut self) -> Result<(), String> {
        if self.untold.is_empty() {
            return Ok(());
        }
        let at = self.lots.draw(self.untold.len());
        let Landed {
            ticket,
            segment,
            place,
            ..
        } = self.untold.swap_remove(at);
        self.index.synced(ticket, segment, place);
        for step in self.take_under_way(ticket) {
            match step {
                Step::Adopt { told, answers, .. } => {
                    for (id, answer) in &answers {
                        self.keys.learn(*id, answer, self.now());
                    }
                    self.promise(told)?;
                }
                Step::Settle(id) => {
                    self.settled.insert(id);
                }
                Step::Delete(id) => {
                    self.deleted.insert(id);
                }
                Step::Keep(answers) => self.retained(&answers, Retained { segment, place }),
                Step::Gone | Step::Copy => {}
            }
        }
        Ok(())
    }

    pub(super) fn tell_all(&mut self) -> Result<(), String> {
        while !self.untold.is_empty() {
            self.tell()?;
        }
        Ok(())
    }

    pub(super) fn fail(&mut self) {
        for ticket in self.log.fail() {
            self.index.failed(ticket);
            for step in self.take_under_way(ticket) {
                if let Step::Keep(answers) = step {
                    for answered in answers {
                        self.leaving.remove(&answered.id);
                    }
                }
            }
        }
    }

    fn take_under_way(&mut self, ticket: Ticket) -> Vec<Step> {
        let all = std::mem::take(&mut self.under_way).into_iter();
        let (ended, rest): (Vec<_>, Vec<_>) = all.partition(|(other, _)| *other == ticket);
        self.under_way = rest;
        ended.into_iter().map(|(_, step)| step).collect()
    }

    pub(super) fn retained(&mut self, answers: &[Answered], at: Retained) {
        for answered in answers {
            self.keys.retain(answered, at, 100);
            self.leaving.remove(&answered.id);
        }
    }

    /// Reports to a client that its request was carried out, now or before.
    pub(super) fn promise(&mut self, told: Told) -> Result<(), String> {
        let key = told.request.key;
        if let Some(before) = self.told.get(&key).filter(|before| self.is_kept(before))
            && before.ids != told.ids
        {
            return Err(format!(
                "{key:?} was answered with {before:?}, and then {told:?}"
            ));
        }
        self.told.insert(key, told);
        Ok(())
    }

    /// Returns whether an answer has not expired, by the log's clock.
    pub(super) fn is_kept(&self, told: &Told) -> bool {
        told.since + LIFETIME > self.clock
    }

    /// Reads an entry from its frames.
    pub(super) fn reading(&self, id: FileId) -> Option<Reading> {
        let known = self.index.get(id)?;
        let base = self.log.read(known.base)?;
        let change = match known.change {
            Some(place) => Some(self.log.read(place)?),
            None => None,
        };
        Reading::new(id, &known, base, change).ok()
    }

    /// Returns the answer of a file from any place, and the file's standing.
    pub(super) fn answer_of(
        &self,
        id: FileId,
        retained: Option<Place>,
    ) -> Option<(Answer, Standing)> {
        if let Some(known) = self.index.get(id) {
            let reading = self.reading(id)?;
            return Some((*reading.entry().answer()?, Standing::of(known.phase)));
        }
        let answers = answers_of(self.log.read(retained?)?)?;
        let answered = answers.into_iter().find(|answered| answered.id == id)?;
        let standing = Standing::retained(answered.is_deleted);
        Some((answered.answer, standing))
    }

    /// Checks that every given answer holds.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let told: Vec<_> = self.told.values().cloned().collect();
        for told in told {
            if !self.is_kept(&told) {
                continue;
            }
            let found = self.keys.find(told.request.key, self.now());
            let found = found.ok_or_else(|| format!("forgotten: {told:?}"))?;
            let ids: Vec<_> = found.iter().map(|known| known.id).collect();
            if ids != told.ids {
                return Err(format!("{told:?}, and found {ids:?}"));
            }
            for known in found {
                let answer = self.answer_of(known.id, known.retained);
                let (answer, standing) = answer.ok_or_else(|| format!("{known:?} is not there"))?;
                if !told.request.is_answered_by(&answer.request) || answer.request.at != told.at {
                    return Err(format!("{told:?}, and {known:?} answers {answer:?}"));
                }
                let is_deleted = self.deleted.contains(&known.id);
                let is_settled = is_deleted || self.settled.contains(&known.id);
                let is_wrong = (is_deleted && standing != Standing::Deleted)
                    || (is_settled && standing == Standing::Pending);
                if is_wrong {
                    return Err(format!("{known:?}: {standing:?}"));
                }
            }
        }
        Ok(())
    }

    /// Ends the process, and starts a new one.
    pub(super) fn restart(&mut self, is_power_cut: bool) -> Result<(), String> {
        if is_power_cut {
            self.log.cut(&mut self.lots);
        } else {
            self.log.kill();
        }
        self.under_way.clear();
        self.untold.clear();
        self.leaving.clear();
        self.clock = self.written_clock;
        self.index = Index::default();
        self.keys = no_keys();
        self.claims = Claims::default();
        for landed in self.log.found() {
            let (segment, place) = (landed.segment, landed.place);
            match self.index.replay(&landed.frame, segment, place) {
                Ok(Replayed::Entry(keyed)) => {
                    for (id, answer) in keyed {
                        self.keys.learn(id, &answer, LogTime(0));
                    }
                }
                Ok(Replayed::Answers(answers)) => {
                    let at = Retained { segment, place };
                    self.keys.replay(&answers, at, 100, LogTime(0));
                }
                other => return Err(format!("{other:?} of {landed:?}")),
            }
        }
        let index = &self.index;
        self.keys
            .forget_lost(|id| index.get(id).is_some(), |_| false);
        // The log is made durable as it was found.
        self.log.sync();
        Ok(())
    }
}
