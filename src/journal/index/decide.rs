//! Steps of entries: each is decided, marked in the slot and queued in one go, or refused.

use std::sync::Arc;

use super::Index;
use super::coming::Coming;
use super::log_tail::{Decided, LogTail, Refused, Ticket, Wait};
use super::marks::{Effect, Mark};
use super::reading::Reading;
use super::slot::{Flags, Phase, Slot};
use crate::file::{FileId, FileMeta};
use crate::journal::record::{Answer, Change, Entry, Frame, LogTime, Settled, Tombstone, Why};
use crate::message::Message;

impl Index {
    /// Adds entries: all of them, or none. Linked bodies are durable already. A message with links
    /// that were made before replaces its intent.
    ///
    /// # Errors
    /// [`Refused`], also when an entry exists.
    pub fn come(&mut self, coming: &Coming, queue: &mut impl LogTail) -> Decided {
        let Coming {
            slots,
            frame,
            growth,
        } = coming;
        for (slot, _) in slots {
            match self.slot(slot.id) {
                Some(intent) if intent.flags.has(Flags::LINKING) => drop(self.free(slot.id)?),
                Some(known) => return Err(Refused::Is(known.phase)),
                None => {}
            }
        }
        let record_bytes = frame.bytes_of_each(slots.len());
        let ticket = self.push(frame, queue)?;
        for &(mut slot, (phase, due)) in slots {
            if self.slot(slot.id).is_some() {
                let effect = Effect::Fulfil {
                    length: slot.sizes.length(),
                    subject: slot.subject,
                    is_keyed: slot.flags.has(Flags::KEYED),
                };
                self.mark(slot.id, ticket, effect, record_bytes);
                continue;
            }
            slot.sizes = slot.sizes.with_record_bytes(record_bytes);
            self.insert(slot);
            if let Some(growth) = growth {
                self.uploads.set(slot.id, *growth, slot.subject);
            }
            self.mark(slot.id, ticket, Effect::Come { phase, due }, record_bytes);
        }
        Ok(ticket)
    }

    /// Defers it: an attempt to commit it failed by its own fault, and the next one has a due time.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn defer(
        &mut self,
        id: FileId,
        due: LogTime,
        why: Why,
        queue: &mut impl LogTail,
    ) -> Decided {
        self.change(id, &Change::Deferred { due, why }, Phase::PROMISED, queue)
    }

    /// Holds it for an admin.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn hold(&mut self, id: FileId, why: Why, queue: &mut impl LogTail) -> Decided {
        self.change(id, &Change::Held(why), Phase::PROMISED, queue)
    }

    /// Makes it due now, as if it had never failed.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn retry(&mut self, id: FileId, queue: &mut impl LogTail) -> Decided {
        let put_off = &[Phase::Deferred, Phase::Held];
        self.change(id, &Change::Waiting, put_off, queue)
    }

    /// Settles it: the store has it, by a proof.
    ///
    /// # Errors
    /// [`Refused::Moved`] if its links have changed since its commit began, and the other refusals.
    pub fn settle(&mut self, id: FileId, settled: Settled, queue: &mut impl LogTail) -> Decided {
        let slot = self.free(id)?;
        if Phase::PROMISED.contains(&slot.phase) && slot.flags.has(Flags::RELINKED) {
            return Err(Refused::Moved);
        }
        self.change(id, &Change::Settled(settled), Phase::PROMISED, queue)
    }

    /// Deletes it. `answered` is the answer of a keyed entry, and `message` is the message of a
    /// package.
    ///
    /// # Errors
    /// [`Refused`]; [`Phase::Deleted`] means that a durable tombstone exists already.
    pub fn delete(
        &mut self,
        id: FileId,
        at: LogTime,
        (answered, message): (Option<(Answer, FileMeta)>, Option<Arc<Message>>),
        queue: &mut impl LogTail,
    ) -> Decided {
        let slot = self.free(id)?;
        if slot.flags.has(Flags::LEAVING) {
            return Err(Refused::Wait(Wait::Leaving));
        }
        if slot.phase == Phase::Deleted {
            return Err(Refused::Is(slot.phase));
        }
        if slot.phase == Phase::Intended {
            return Err(Refused::Absent);
        }
        let length = answered.as_ref().map_or(0, |(_, meta)| meta.length);
        let tombstone = Entry::Tombstone(Tombstone {
            at,
            may_be_stored: slot.flags.has(Flags::BEGUN),
            answered,
            message,
        });
        let frame = Frame::entry(id, &tombstone)?;
        self.queue(id, &frame, Effect::Delete { length }, queue)
    }

    /// Removes an entry that was deleted or is leaving, or an intent without links. The caller has
    /// unlinked its body durably. If it was deleted, the store holds nothing of it; if it has a
    /// key, its answer is kept.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn gone(&mut self, id: FileId, queue: &mut impl LogTail) -> Decided {
        let slot = self.free(id)?;
        let is_undone = slot.phase == Phase::Intended && !slot.flags.has(Flags::LINKING);
        if slot.phase != Phase::Deleted && !slot.flags.has(Flags::LEAVING) && !is_undone {
            return Err(Refused::Is(slot.phase));
        }
        let frame = Frame::change(id, &Change::Gone)?;
        self.queue(id, &frame, Effect::Gone, queue)
    }

    /// Keeps answers in the log, in a frame of their own ([`Frame::answers`]): answers of entries that
    /// are about to leave, or that are copied forward. No entry changes. Until the frame is synced or
    /// has failed, [`Index::oldest`] does not pass it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn keep_answers(&mut self, frame: &Frame, queue: &mut impl LogTail) -> Decided {
        let ticket = self.push(frame, queue)?;
        self.marks.entry(ticket).or_default();
        Ok(ticket)
    }

    /// Copies an entry forward in its present state.
    ///
    /// # Errors
    /// [`Refused::Moved`] when it has changed since it was read, and the others.
    pub fn copy(&mut self, reading: &Reading, queue: &mut impl LogTail) -> Decided {
        let slot = self.free(reading.id)?;
        if (slot.base, slot.change.if_any()) != (reading.base, reading.change) {
            return Err(Refused::Moved);
        }
        let mut frame = Frame::entry(reading.id, &reading.entry)?;
        frame.flags |= Frame::COPIED;
        self.queue(reading.id, &frame, Effect::Copy, queue)
    }

    fn change(
        &mut self,
        id: FileId,
        change: &Change,
        from: &[Phase],
        queue: &mut impl LogTail,
    ) -> Decided {
        let slot = self.free(id)?;
        if !from.contains(&slot.phase) {
            return Err(Refused::Is(slot.phase));
        }
        let effect = Effect::of(change);
        self.queue(id, &Frame::change(id, change)?, effect, queue)
    }

    /// The slot of an entry without a step under way.
    pub(super) fn free(&self, id: FileId) -> Result<&Slot, Refused> {
        let slot = self.slot(id).ok_or(Refused::Absent)?;
        match self.marked.get(&id) {
            Some(&ticket) => Err(Refused::Wait(Wait::Frame(ticket))),
            None => Ok(slot),
        }
    }

    pub(super) fn queue(
        &mut self,
        id: FileId,
        frame: &Frame,
        effect: Effect,
        queue: &mut impl LogTail,
    ) -> Decided {
        let record_bytes = frame.bytes_of_each(1);
        let ticket = self.push(frame, queue)?;
        self.mark(id, ticket, effect, record_bytes);
        Ok(ticket)
    }

    fn push(&mut self, frame: &Frame, queue: &mut impl LogTail) -> Decided {
        let ticket = self.last_ticket.next();
        queue.push(frame, ticket)?;
        self.last_ticket = ticket;
        Ok(ticket)
    }

    fn mark(&mut self, id: FileId, ticket: Ticket, effect: Effect, record_bytes: u64) {
        let marks = self.marks.entry(ticket).or_default();
        marks.push(Mark {
            id,
            effect,
            record_bytes,
        });
        self.marked.insert(id, ticket);
    }
}
