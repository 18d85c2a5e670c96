//! Recomputes every sum and order of an index from its slots.

use std::collections::BTreeMap;

use crate::journal::index::table::NONE;
use crate::journal::index::{Index, Phase, Place, Totals};
use crate::journal::record::{Growth, Subject};

pub(super) fn check(index: &Index) -> Result<(), String> {
    let mut subjects: BTreeMap<Subject, u64> = BTreeMap::new();
    let mut bases = Vec::new();
    let mut ranked = 0;
    for slot in index.slots.iter() {
        let id = slot.id;
        *subjects.entry(slot.subject).or_default() += slot.pending_bytes();
        bases.extend(slot.base.if_any());
        let is_ranked = slot.may_leave();
        if is_ranked != (slot.rank != NONE) {
            return Err(format!("{id}: in the wrong order: {slot:?}"));
        }
        ranked += usize::from(is_ranked);
        if is_ranked && index.settled.at(slot.rank) != index.number(id) {
            return Err(format!("{id}: another has its rank"));
        }
        if (slot.phase == Phase::Coming) && !index.marked.contains_key(&id) {
            return Err(format!("{id}: comes with no frame"));
        }
    }
    check_uploads(index)?;
    if ranked != index.settled.len() {
        return Err(format!("{ranked} in the order"));
    }
    subjects.retain(|subject, bytes| *bytes > 0 && *subject != Subject::default());
    if subjects.len() != index.subjects.len() {
        return Err(format!(
            "{subjects:?}, but {} subjects",
            index.subjects.len()
        ));
    }
    for (&subject, &bytes) in &subjects {
        if index.pending_bytes(subject) != bytes {
            return Err(format!(
                "{subject:?} has {bytes} pending, said {}",
                index.pending_bytes(subject)
            ));
        }
    }
    check_segments(index, &bases)?;
    for phase in Phase::ALL {
        let slots = index.slots.iter().filter(|slot| slot.phase == phase);
        let sum = slots.fold(Totals::default(), |sum, slot| Totals {
            entries: sum.entries + 1,
            bytes: sum.bytes + slot.sizes.length(),
            record_bytes: sum.record_bytes + slot.sizes.record_bytes(),
        });
        let said = index.totals(phase);
        if said != sum {
            return Err(format!("{phase:?}: {said:?}"));
        }
    }
    Ok(())
}

/// Checks that each upload that may still grow is there with its room, and no other entry.
fn check_uploads(index: &Index) -> Result<(), String> {
    let (mut open, mut expected) = (0, 0);
    for slot in index.slots.iter() {
        let growth = index.uploads.get(slot.id);
        let is_growing = slot.phase == Phase::Growing;
        let room = growth.map(Growth::room);
        if is_growing && room != Some(slot.sizes.length())
            || growth.is_some() && !is_growing && slot.phase != Phase::Coming
        {
            return Err(format!("{slot:?} with {growth:?}"));
        }
        open += u64::from(growth.is_some_and(|growth| growth.made.is_none()));
        expected += growth.map_or(0, Growth::expected);
    }
    // All are of one subject.
    let said = index.open_uploads(Subject(5));
    if said != (open, open) || index.expected_bytes() != expected {
        return Err(format!("{open} open uploads, said {said:?}"));
    }
    Ok(())
}

/// Checks that each base counts in the segment of its group.
fn check_segments(index: &Index, bases: &[Place]) -> Result<(), String> {
    let mut segments: BTreeMap<u64, u64> = BTreeMap::new();
    for &base in bases {
        let segment = index.segments.segment_of(base);
        let segment = segment.ok_or_else(|| format!("{base:?} is in no segment"))?;
        *segments.entry(segment).or_default() += 1;
    }
    for (&segment, &bases) in &segments {
        let said = index.bases_in(segment);
        if said != bases || segment < index.oldest() {
            return Err(format!("{bases} bases in {segment}, said {said}"));
        }
    }
    Ok(())
}
