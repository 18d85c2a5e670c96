//! The number of live bases in each segment, and the first segment that is needed.

use std::collections::BTreeMap;

use super::slot::Place;

/// The bases in one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bases {
    /// The bases that are still the base of their entry.
    live: u64,
    /// All that were ever written there.
    written: u64,
}

#[derive(Debug, Default)]
pub(super) struct Segments {
    bases: BTreeMap<u64, Bases>,
    /// Each segment by its lowest known group number: numbers rise from segment to segment.
    starts: BTreeMap<u64, u64>,
    /// No queued frame can land before this segment.
    last: u64,
}

impl Segments {
    /// Notes that a frame has landed in a segment.
    pub(super) fn learn(&mut self, segment: u64, place: Place) {
        if self.segment_of(place) != Some(segment) {
            self.starts.retain(|_, known| *known != segment);
            self.starts.insert(place.group(), segment);
        }
    }

    /// Notes that a frame has landed in this segment, and all frames that were queued before it have
    /// landed too.
    pub(super) fn reached(&mut self, segment: u64) {
        self.last = self.last.max(segment);
        self.forget_dead();
    }

    pub(super) fn segment_of(&self, place: Place) -> Option<u64> {
        let start = self.starts.range(..=place.group()).next_back();
        start.map(|(_, &segment)| segment)
    }

    pub(super) fn add(&mut self, place: Place) {
        let segment = self.segment_of(place);
        debug_assert!(segment.is_some(), "{place:?}: a base in no known segment");
        if let Some(segment) = segment {
            let bases = self.bases.entry(segment).or_default();
            bases.live += 1;
            bases.written += 1;
            debug_assert!(bases.live <= bases.written, "{segment}: {bases:?}");
        }
    }

    pub(super) fn subtract(&mut self, place: Place) {
        let segment = self.segment_of(place);
        let bases = segment.and_then(|segment| self.bases.get_mut(&segment));
        let live = bases.as_ref().map_or(0, |bases| bases.live);
        debug_assert!(live > 0, "{place:?}: more bases go than came");
        if let Some(bases) = bases {
            bases.live = bases.live.saturating_sub(1);
        }
        self.forget_dead();
    }

    fn forget_dead(&mut self) {
        let oldest = self.oldest();
        while let Some(first) = self.bases.first_entry()
            && *first.key() < oldest
        {
            first.remove();
        }
        while let Some(first) = self.starts.first_entry()
            && *first.get() < oldest
        {
            first.remove();
        }
    }

    pub(super) fn live(&self, segment: u64) -> u64 {
        self.bases.get(&segment).map_or(0, |bases| bases.live)
    }

    pub(super) fn oldest(&self) -> u64 {
        let first = self.bases.iter().find(|(_, bases)| bases.live > 0);
        first.map_or(self.last, |(&segment, _)| segment.min(self.last))
    }

    pub(super) fn live_bytes(&self, segment_bytes: u64) -> u64 {
        let live = self.bases.values().map(|bases| {
            let bytes = u128::from(segment_bytes) * u128::from(bases.live);
            u64::try_from(bytes / u128::from(bases.written.max(1))).unwrap_or(segment_bytes)
        });
        live.sum()
    }
}
