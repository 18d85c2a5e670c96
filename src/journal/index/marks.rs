//! Changes under way, and their effects on the slots when a queued frame is synced or has failed.

use super::Index;
use super::log_tail::Ticket;
use super::slot::{Flags, Phase, Place, Slot};
use crate::file::FileId;
use crate::journal::announce::{Announcement, UploadProgress};
use crate::journal::record::{Change, Growth, LogTime, Subject};

/// The change of one entry that a queued frame makes.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) id: FileId,
    pub(super) effect: Effect,
    /// Its part of the frame's bytes, if the frame becomes its base.
    pub(super) record_bytes: u64,
}

/// The effect of a frame on its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Come {
        phase: Phase,
        due: LogTime,
    },
    Copy,
    Relink,
    /// A message takes the place of its intent.
    Fulfil {
        length: u64,
        subject: Subject,
        is_keyed: bool,
    },
    /// An upload becomes a file of this length.
    Complete {
        length: u64,
    },
    Delete {
        length: u64,
    },
    Deferred {
        due: LogTime,
        attempts: u16,
    },
    Held {
        attempts: u16,
    },
    Waiting,
    Settled {
        at: LogTime,
    },
    Grown(Growth),
    Gone,
}

impl Effect {
    /// The effect of a change.
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Deferred { due, why } => Self::Deferred {
                due: *due,
                attempts: why.attempts,
            },
            Change::Held(why) => Self::Held {
                attempts: why.attempts,
            },
            Change::Settled(settled) => Self::Settled { at: settled.at },
            Change::Waiting => Self::Waiting,
            Change::Grown(growth) => Self::Grown(*growth),
            Change::Gone => Self::Gone,
        }
    }
}

/// The news that a synced frame brings for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The entries that wait for no commit any more.
    pub left: Vec<FileId>,
    /// To be announced.
    pub announcements: Vec<Announcement>,
}

impl Effect {
    /// The news for others, of an entry as it was before.
    fn announcement(&self, slot: &Slot) -> Option<Announcement> {
        let (id, bytes) = (slot.id, slot.sizes.length());
        let (is_package, was_pending) = (slot.flags.has(Flags::PACKAGE), slot.phase.is_pending());
        match self {
            Self::Come {
                phase: Phase::Waiting,
                ..
            }
            | Self::Complete { .. }
            | Self::Waiting => Some(Announcement::ToCommit { id, is_package }),
            Self::Fulfil { .. } => Some(Announcement::ToCommit {
                id,
                is_package: true,
            }),
            // A settled entry is gone at once, and the caller of the delete asks the store.
            Self::Delete { .. } => was_pending.then_some(Announcement::ToClear(id)),
            Self::Settled { .. } => Some(Announcement::Settled { id, bytes }),
            Self::Come { .. }
            | Self::Copy
            | Self::Relink
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Grown(_)
            | Self::Gone => None,
        }
    }

    /// The news for readers of an upload that could grow before.
    fn progress(&self, slot: &Slot) -> Option<Announcement> {
        let progress = match self {
            Self::Grown(growth) => UploadProgress::Grown(growth.length),
            Self::Complete { length } => UploadProgress::Complete(*length),
            Self::Delete { .. } if slot.phase == Phase::Growing => UploadProgress::Ended,
            Self::Come { .. }
            | Self::Copy
            | Self::Relink
            | Self::Fulfil { .. }
            | Self::Delete { .. }
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Waiting
            | Self::Settled { .. }
            | Self::Gone => return None,
        };
        let id = slot.id;
        Some(Announcement::Upload { id, progress })
    }

    fn ends_pending(&self) -> bool {
        match self {
            Self::Delete { .. } | Self::Settled { .. } | Self::Gone => true,
            Self::Grown(growth) => growth.made.is_some(),
            Self::Come { .. }
            | Self::Copy
            | Self::Relink
            | Self::Fulfil { .. }
            | Self::Complete { .. }
            | Self::Deferred { .. }
            | Self::Held { .. }
            | Self::Waiting => false,
        }
    }
}

impl Index {
    /// Notes that a frame is on the disk for good, in this segment: its content is true now. Frames
    /// of different entries may be noted in any order.
    pub fn synced(&mut self, ticket: Ticket, segment: u64, place: Place) -> Synced {
        let mut synced = Synced::default();
        self.segments.learn(segment, place);
        for mark in self.marks.remove(&ticket).unwrap_or_default() {
            self.marked.remove(&mark.id);
            if let Some(number) = self.number(mark.id) {
                let slot = self.slots.get(number);
                let was_pending = slot.is_some_and(|slot| slot.phase.is_pending());
                if was_pending && mark.effect.ends_pending() {
                    synced.left.push(mark.id);
                }
                let announced = slot.map(|slot| {
                    let progress = mark.effect.progress(slot);
                    mark.effect.announcement(slot).into_iter().chain(progress)
                });
                synced.announcements.extend(announced.into_iter().flatten());
                self.apply(number, mark.effect, place, mark.record_bytes);
            }
        }
        // An earlier frame without an outcome yet may be in an earlier segment.
        let first = self.marks.first_key_value();
        if first.is_none_or(|(&first, _)| first > ticket) {
            self.segments.reached(segment);
        }
        synced
    }

    /// A frame has failed: nothing in it has happened.
    pub fn failed(&mut self, ticket: Ticket) {
        for mark in self.marks.remove(&ticket).unwrap_or_default() {
            self.marked.remove(&mark.id);
            if let (Effect::Come { .. }, Some(number)) = (mark.effect, self.number(mark.id)) {
                self.remove(number);
            }
        }
    }

    /// Applies the effect of a frame at this place.
    pub(super) fn apply(&mut self, number: u32, effect: Effect, place: Place, record_bytes: u64) {
        let rebase = |slot: &mut Slot| {
            slot.base = place;
            slot.change = Place::NOWHERE;
            slot.sizes = slot.sizes.with_record_bytes(record_bytes);
        };
        let change = |slot: &mut Slot, phase, due, attempts| {
            slot.change = place;
            slot.phase = phase;
            slot.due = due;
            slot.attempts = attempts;
        };
        match effect {
            Effect::Come { phase, due } => self.edit(number, |slot| {
                rebase(slot);
                slot.phase = phase;
                slot.due = due;
            }),
            Effect::Copy => self.edit(number, rebase),
            Effect::Relink => self.edit(number, |slot| {
                rebase(slot);
                slot.flags.set(Flags::RELINKED, true);
            }),
            Effect::Fulfil {
                length,
                subject,
                is_keyed,
            } => self.edit(number, |slot| {
                rebase(slot);
                slot.phase = Phase::Waiting;
                slot.subject = subject;
                slot.sizes = slot.sizes.with_length(length);
                slot.flags.set(Flags::KEYED, is_keyed);
                slot.flags.set(Flags::PACKAGE, true);
                slot.flags.set(Flags::LINKING, false);
            }),
            Effect::Complete { length } => {
                self.forget_upload(number);
                self.edit(number, |slot| {
                    rebase(slot);
                    slot.phase = Phase::Waiting;
                    slot.due = LogTime(0);
                    slot.sizes = slot.sizes.with_length(length);
                });
            }
            Effect::Delete { length } => {
                self.forget_upload(number);
                self.edit(number, |slot| {
                    rebase(slot);
                    slot.phase = Phase::Deleted;
                    slot.flags.set(Flags::PACKAGE, false);
                    slot.due = LogTime(0);
                    slot.attempts = 0;
                    slot.sizes = slot.sizes.with_length(length);
                });
            }
            Effect::Deferred { due, attempts } => self.edit(number, |slot| {
                change(slot, Phase::Deferred, due, attempts);
            }),
            Effect::Held { attempts } => self.edit(number, |slot| {
                change(slot, Phase::Held, LogTime(0), attempts);
            }),
            Effect::Waiting => self.edit(number, |slot| {
                change(slot, Phase::Waiting, LogTime(0), 0);
            }),
            Effect::Settled { at } => self.edit(number, |slot| {
                change(slot, Phase::Settled, at, 0);
                slot.flags.set(Flags::BEGUN, true);
            }),
            Effect::Grown(growth) => {
                self.note_growth(number, growth);
                self.edit(number, |slot| slot.change = place);
            }
            Effect::Gone => self.remove(number),
        }
    }

    fn forget_upload(&mut self, number: u32) {
        if let Some(slot) = self.slots.get(number) {
            self.uploads.remove(slot.id);
        }
    }
}
