//! The random steps of a journal.

use super::bug::Bug;
use super::world::{World, ids_of};
use crate::file::FileId;
use crate::journal::index::{Coming, Phase, Reading};
use crate::journal::record::tests::samples::{file, form, message_form};
use crate::journal::record::{Body, Change, Entry, File, Settled, State, Subject, Tombstone, Why};
use crate::store::Sha256;

/// The approximate number of entries at a time.
const ENTRIES: usize = 10;

impl World {
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.log.is_full = self.lots.draw(20) == 0;
        match self.lots.draw(50) {
            0..4 => self.adopt(),
            4 => self.adopt_form(),
            5 => self.begin_upload(),
            6..8 => self.grow(),
            8 => self.complete(),
            9..11 => self.change(),
            11..13 => self.settle(),
            13..15 => self.delete(),
            15..18 => self.finish(),
            18 => self.take(),
            19 => self.unlinked.clear(),
            20..23 => self.copy_now()?,
            23 => self.read_for_a_copy()?,
            24..26 => self.copy_what_was_read(),
            26 => self.log.recycle(),
            27..32 if !self.log.is_writing() => self.write(),
            27..38 => self.sync(),
            38 if !self.log.is_writing() && self.lots.draw(3) == 0 => self.fail(),
            40..47 => self.tell(),
            47 => self.link()?,
            48 => self.intend(),
            49 if !self.log.is_writing() => self.trim()?,
            39 if self.lots.draw(3) == 0 => {
                self.restart_often()?;
            }
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

    /// Returns an entry in any state that callers know of.
    pub(super) fn any(&mut self) -> Option<(FileId, Entry)> {
        let there = self
            .told
            .iter()
            .filter_map(|(&id, told)| Some((id, told.clone()?)));
        let there: Vec<_> = there.collect();
        self.lots.pick(&there)
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.told.values().flatten().count() > ENTRIES
    }

    fn adopt(&mut self) {
        if self.is_crowded() {
            return;
        }
        let id = self.new_id();
        let file = File {
            body: Body::Linked { offset: 0 },
            subject: Subject(u64::try_from(self.lots.draw(3)).unwrap()),
            ..file(u64::try_from(self.lots.draw(4)).unwrap())
        };
        self.bodies.insert(id);
        let decided = self
            .index
            .come(&Coming::file(id, file.clone()).unwrap(), &mut self.log);
        self.decided(decided, [(id, Some(Entry::File(file)))]);
    }

    fn adopt_form(&mut self) {
        if self.is_crowded() {
            return;
        }
        let ids: Vec<_> = (0..=self.lots.draw(3)).map(|_| self.new_id()).collect();
        let form = match self.lots.draw(2) {
            0 => form(&ids),
            _ => message_form(&ids),
        };
        self.bodies.extend(&ids);
        let decided = self
            .index
            .come(&Coming::form(&form).unwrap(), &mut self.log);
        let files = form.files().map(|(id, file)| (id, Some(Entry::File(file))));
        self.decided(decided, files);
    }

    fn change(&mut self) {
        let Some((id, entry)) = self.any() else {
            return;
        };
        let why = Why {
            attempts: 3,
            reason: format!("at {:?}", self.now()),
        };
        let due = self.now();
        let log = &mut self.log;
        let (change, decided) = match self.lots.draw(3) {
            0 => (
                Change::Deferred {
                    due,
                    why: why.clone(),
                },
                self.index.defer(id, due, why, log),
            ),
            1 => (Change::Held(why.clone()), self.index.hold(id, why, log)),
            _ => (Change::Waiting, self.index.retry(id, log)),
        };
        let then = entry.fold(&change);
        assert!(
            decided.is_err() || then.is_ok(),
            "{change:?} was decided of {id}"
        );
        self.decided(decided, then.ok().map(|then| (id, then)));
    }

    fn settle(&mut self) {
        let Some((id, entry)) = self.any() else {
            return;
        };
        let settled = Settled {
            at: self.now(),
            sha256: Sha256([u8::try_from(self.clock % 251).unwrap(); 32]),
        };
        let decided = self.index.settle(id, settled, &mut self.log);
        let then = entry.fold(&Change::Settled(settled));
        assert!(decided.is_err() || then.is_ok(), "{id} was settled");
        self.decided(decided, then.ok().map(|then| (id, then)));
    }

    fn delete(&mut self) {
        let Some((id, _)) = self.any() else {
            return;
        };
        let known = self.index.get(id);
        let at = self.now();
        let decided = self.index.delete(id, at, (None, None), &mut self.log);
        if self.bug == Bug::UnlinkBeforeSync && decided.is_ok() {
            self.bodies.remove(&id);
        }
        let tombstone = Tombstone {
            at,
            may_be_stored: known.is_some_and(|known| known.may_be_stored),
            answered: None,
            message: None,
        };
        self.decided(decided, [(id, Some(Entry::Tombstone(tombstone)))]);
    }

    /// Makes one more step of a deleted entry, or of one that leaves.
    fn finish(&mut self) {
        let ids = self.told.keys().copied().filter(|&id| {
            let known = self.index.get(id);
            known.is_some_and(|known| {
                let is_undone = known.phase == Phase::Intended && !known.is_linking;
                known.is_leaving || known.phase == Phase::Deleted || is_undone
            })
        });
        let ids: Vec<_> = ids.collect();
        let Some(id) = self.lots.pick(&ids) else {
            return;
        };
        if self.bodies.remove(&id) {
            self.unlinked.insert(id);
        } else if !self.unlinked.contains(&id) {
            let decided = self.index.gone(id, &mut self.log);
            self.decided(decided, [(id, None)]);
        }
    }

    /// Begins the commit of an entry, or takes a settled one.
    fn take(&mut self) {
        let now = self.now();
        if self.lots.draw(2) == 0 {
            self.index.take_settled(now);
        } else {
            let ids: Vec<_> = self.index.slots.iter().map(|slot| slot.id).collect();
            if let Some(id) = self.lots.pick(&ids) {
                // Not every entry waits for a commit.
                self.index.begin(id).ok();
            }
        }
    }

    /// Reads the oldest segment, and copies some of its bases at once.
    fn copy_now(&mut self) -> Result<(), String> {
        for reading in self.read_oldest()? {
            if self.lots.draw(4) != 0 {
                self.copy(reading);
            }
        }
        Ok(())
    }

    /// Copies everything of the oldest segment, syncs and reports it, and then writes a head that
    /// frees the segment.
    fn trim(&mut self) -> Result<(), String> {
        for reading in self.read_oldest()? {
            self.copy(reading);
        }
        for _ in 0..2 {
            self.write();
            self.sync();
            self.tell_all();
        }
        Ok(())
    }

    fn read_oldest(&mut self) -> Result<Vec<Reading>, String> {
        let segment = self.index.oldest();
        let mut readings = Vec::new();
        for landed in self.log.in_segment(segment) {
            for id in ids_of(&landed.frame) {
                if self.index.based_at(id, landed.place).is_some() {
                    readings.extend(self.read(id)?);
                }
            }
        }
        Ok(readings)
    }

    fn read_for_a_copy(&mut self) -> Result<(), String> {
        self.readings = self.read_oldest()?;
        Ok(())
    }

    fn copy_what_was_read(&mut self) {
        for mut reading in std::mem::take(&mut self.readings) {
            if self.bug == Bug::CopyOutsideTheLock
                && let Some(known) = self.index.get(reading.id)
            {
                (reading.base, reading.change) = (known.base, known.change);
            }
            self.copy(reading);
        }
    }

    fn copy(&mut self, mut reading: Reading) {
        if self.bug == Bug::CopyWithoutChanges
            && let Entry::File(file) = &mut reading.entry
        {
            file.state = State::Waiting;
        }
        let segment = self.index.segments.segment_of(reading.base);
        let is_oldest = segment == Some(self.index.oldest());
        let copied = self.index.copy(&reading, &mut self.log);
        self.copies_queued += u64::from(copied.is_ok() && is_oldest);
    }
}
