//! The random steps of a journal of keyed uploads.

use super::bug::Bug;
use super::request;
use super::told::{Step, Told, answered, answers_of};
use super::world::World;
use crate::file::FileId;
use crate::journal::idempotency::{Claim, Fingerprint, Known, Retained, Running};
use crate::journal::index::tests::world::ids_of;
use crate::journal::index::{Coming, Index, Phase, Place};
use crate::journal::record::tests::samples::{file, form};
use crate::journal::record::{Answered, Body, File, Form, Frame, LogTime, Settled, Subject};
use crate::store::Sha256;

/// The approximate number of entries at a time.
const ENTRIES: usize = 10;

impl World {
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.clock += 1;
        self.log.is_full = self.lots.draw(20) == 0;
        match self.lots.draw(40) {
            0..8 => self.ask()?,
            8..10 => self.settle(),
            10..12 => self.delete(),
            12 => self.take_settled(),
            13..17 => self.leave(),
            17..20 => self.copy_oldest(),
            20 => self.log.recycle(),
            21 => self.wall_offset = u64::try_from(self.lots.draw(2)).unwrap() * 1000,
            22 => self.clock += u64::try_from(self.lots.draw(20)).unwrap(),
            23..27 if !self.log.is_writing() => self.write(),
            23..31 => self.sync(),
            31 if !self.log.is_writing() && self.lots.draw(3) == 0 => self.fail(),
            32..38 => self.tell()?,
            38 if !self.log.is_writing() => self.trim()?,
            39 if self.lots.draw(3) == 0 => self.restart_often()?,
            _ => {}
        }
        Ok(())
    }

    /// Restarts. A start may end soon after its first answer, and the next one, too.
    fn restart_often(&mut self) -> Result<(), String> {
        loop {
            let is_power_cut = self.lots.draw(2) == 0;
            self.restart(is_power_cut)?;
            self.check()?;
            if self.lots.draw(3) != 0 {
                return Ok(());
            }
        }
    }

    /// Sends a request, perhaps again, and perhaps another one with the same key.
    fn ask(&mut self) -> Result<(), String> {
        let number = self.lots.draw(6).try_into().unwrap();
        let mut request = request(number, u64::from(number % 2));
        if self.lots.draw(8) == 0 {
            request.content = Sha256([8; 32]);
        }
        let Some(running) = self.claims.claim(request.key) else {
            return Ok(());
        };
        let Some(found) = self.keys.find(request.key, self.now()) else {
            return self.carry_out(request, running);
        };
        let told = self.told.get(&request.key).cloned();
        match self.answer_to(request, &found) {
            Some(Claim::Answered(told)) => self.promise(told),
            Some(_) => Ok(()),
            None => {
                if let Some(told) = told.filter(|told| self.is_kept(told)) {
                    return Err(format!("{told:?} is not to be read: {found:?}"));
                }
                self.keys.forget(request.key);
                self.carry_out(request, running)
            }
        }
    }

    /// Returns the answer to a repeated request; `None` if its answer cannot be read.
    fn answer_to(&self, request: Fingerprint, found: &[Known]) -> Option<Claim<Told>> {
        let mut at = None;
        for known in found {
            let (answer, _) = self.answer_of(known.id, known.retained)?;
            if !request.is_answered_by(&answer.request) {
                return Some(Claim::Other);
            }
            at = Some(answer.request.at);
        }
        let ids = found.iter().map(|known| known.id).collect();
        Some(Claim::Answered(Told {
            request,
            at: at?,
            since: at?.0.min(self.clock),
            ids,
        }))
    }

    fn carry_out(&mut self, request: Fingerprint, running: Running) -> Result<(), String> {
        let told = self.told.get(&request.key);
        if let Some(told) = told.filter(|told| self.is_kept(told)) {
            return Err(format!("carried out again: {told:?}"));
        }
        let there = Phase::ALL.map(|phase| self.index.totals(phase).entries);
        if there.iter().sum::<u64>() > ENTRIES.try_into().unwrap() {
            return Ok(());
        }
        let ids: Vec<_> = (0..[1, 1, 2, 3][self.lots.draw(4)])
            .map(|_| self.new_id())
            .collect();
        let at = self.now();
        let form = Form {
            request: Some(request.answered(at)),
            ..form(&ids)
        };
        let answers: Vec<_> = form
            .files()
            .filter_map(|(id, file)| Some((id, file.answer?)))
            .collect();
        let (index, log) = (&mut self.index, &mut self.log);
        let decided = match *ids {
            [id] => {
                let file = File {
                    body: Body::Linked { offset: 0 },
                    answer: answers.first().map(|(_, answer)| *answer),
                    subject: Subject(1),
                    ..file(3)
                };
                index.come(&Coming::file(id, file).unwrap(), log)
            }
            _ => index.come(&Coming::form(&form).unwrap(), log),
        };
        if self.bug == Bug::LearnedBeforeSync && decided.is_ok() {
            for (id, answer) in &answers {
                self.keys.learn(*id, answer, at);
            }
        }
        let gives_back = [Bug::LearnedBeforeSync, Bug::ClaimGivenBackEarly].contains(&self.bug);
        let step = Step::Adopt {
            told: Told {
                request,
                at,
                since: self.clock,
                ids,
            },
            answers,
            _running: (!gives_back).then_some(running),
        };
        self.decided(decided, step);
        Ok(())
    }

    fn any(&mut self, is_it: impl Fn(&Index, FileId) -> bool) -> Option<FileId> {
        let ids = (1..=self.ids).map(super::id);
        let there: Vec<_> = ids.filter(|&id| is_it(&self.index, id)).collect();
        self.lots.pick(&there)
    }

    fn settle(&mut self) {
        let Some(id) = self.any(|index, id| index.get(id).is_some()) else {
            return;
        };
        let settled = Settled {
            at: LogTime(self.clock),
            sha256: Sha256([3; 32]),
        };
        let decided = self.index.settle(id, settled, &mut self.log);
        self.decided(decided, Step::Settle(id));
    }

    fn delete(&mut self) {
        let Some(id) = self.any(|index, id| index.get(id).is_some()) else {
            return;
        };
        let reading = self.reading(id);
        let answered = reading.and_then(|reading| answered(id, reading.entry()));
        let answered = answered.map(|answered| (answered.answer, answered.meta));
        let at = LogTime(self.clock);
        let decided = self.index.delete(id, at, (answered, None), &mut self.log);
        self.decided(decided, Step::Delete(id));
    }

    fn take_settled(&mut self) {
        self.index.take_settled(LogTime(self.clock));
    }

    /// Lets entries leave; their answers are retained first, if they are needed.
    fn leave(&mut self) {
        let mut packed = Vec::new();
        for _ in 0..=self.lots.draw(3) {
            let is_over = |index: &Index, id| {
                let known = index.get(id);
                known.is_some_and(|known| known.is_leaving || known.phase == Phase::Deleted)
            };
            let Some(id) = self.any(is_over).filter(|id| !self.leaving.contains(id)) else {
                break;
            };
            let reading = self.reading(id);
            let mut answered = reading.and_then(|reading| answered(id, reading.entry()));
            if let Some(answered) = &mut answered {
                answered.is_deleted &= self.bug != Bug::DeletedForgotten;
            }
            let needed = answered.filter(|answered| self.keys.needs(answered));
            if let Some(needed) = needed.filter(|_| self.bug != Bug::GoneWithoutAnswer) {
                self.leaving.insert(id);
                packed.push(needed);
            } else {
                let decided = self.index.gone(id, &mut self.log);
                self.decided(decided, Step::Gone);
            }
        }
        self.keep(packed);
    }

    /// Packs answers into a base.
    fn keep(&mut self, packed: Vec<Answered>) -> bool {
        let Ok(frame) = Frame::answers(&packed) else {
            return false;
        };
        let decided = self.index.keep_answers(&frame, &mut self.log);
        let ids: Vec<_> = packed.iter().map(|answered| answered.id).collect();
        let is_queued = self.decided(decided, Step::Keep(packed));
        for id in ids {
            if !is_queued {
                self.leaving.remove(&id);
            } else if self.bug == Bug::GoneBeforeRetained {
                let decided = self.index.gone(id, &mut self.log);
                self.decided(decided, Step::Gone);
            }
        }
        is_queued
    }

    /// Copies everything forward that lives in the oldest segment.
    fn copy_oldest(&mut self) {
        let of_index = self.index.oldest();
        let segment = self
            .keys
            .oldest()
            .map_or(of_index, |keys| keys.min(of_index));
        for landed in self.log.in_segment(segment) {
            if let Some(answers) = answers_of(&landed.frame) {
                let live = answers.into_iter();
                let live: Vec<_> = live
                    .filter(|one| self.keys.is_retained_at(one, landed.place))
                    .collect();
                let moved = live.clone();
                if self.keep(live) && self.bug == Bug::MovedBeforeSync {
                    let at = Retained {
                        segment: segment + 1,
                        place: Place::new(landed.place.group() + 1, 0).unwrap(),
                    };
                    self.retained(&moved, at);
                }
                continue;
            }
            for id in ids_of(&landed.frame) {
                if self.index.based_at(id, landed.place).is_some()
                    && let Some(reading) = self.reading(id)
                {
                    let decided = self.index.copy(&reading, &mut self.log);
                    self.decided(decided, Step::Copy);
                }
            }
        }
    }

    /// Copies everything of the oldest segment, syncs and reports it, and then writes a head that
    /// frees the segment.
    fn trim(&mut self) -> Result<(), String> {
        self.copy_oldest();
        for _ in 0..2 {
            self.write();
            self.sync();
            self.tell_all()?;
        }
        Ok(())
    }
}
