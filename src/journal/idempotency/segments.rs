//! The number of retained answers in each segment.

use std::collections::BTreeMap;

use crate::journal::index::Place;

/// The place of a base of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retained {
    /// The segment.
    pub segment: u64,
    /// The frame.
    pub place: Place,
}

#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    live: u64,
    /// All answers that were ever retained there, and their bytes.
    written: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Segments {
    answers: BTreeMap<u64, Answers>,
    /// Each segment by its lowest known group number: numbers rise from segment to segment.
    starts: BTreeMap<u64, u64>,
}

impl Segments {
    pub(super) fn add(&mut self, at: Retained, bytes: u32) {
        let Retained { segment, place } = at;
        if self.segment_of(place) != Some(segment) {
            self.starts.retain(|_, known| *known != segment);
            self.starts.insert(place.group(), segment);
        }
        let answers = self.answers.entry(segment).or_default();
        answers.live += 1;
        answers.written += 1;
        answers.bytes += u64::from(bytes);
        debug_assert!(answers.live <= answers.written, "{segment}: {answers:?}");
    }

    /// A segment without answers is forgotten.
    pub(super) fn subtract(&mut self, place: Place) {
        let segment = self.segment_of(place);
        debug_assert!(
            segment.is_some(),
            "{place:?}: an answer in no known segment"
        );
        let Some(segment) = segment else {
            return;
        };
        if let Some(answers) = self.answers.get_mut(&segment) {
            debug_assert!(answers.live > 0, "{segment}: more answers go than came");
            answers.live = answers.live.saturating_sub(1);
            if answers.live == 0 {
                self.answers.remove(&segment);
                self.starts.retain(|_, known| *known != segment);
            }
        }
    }

    pub(super) fn segment_of(&self, place: Place) -> Option<u64> {
        let start = self.starts.range(..=place.group()).next_back();
        start.map(|(_, &segment)| segment)
    }

    pub(super) fn live(&self, segment: u64) -> u64 {
        self.answers.get(&segment).map_or(0, |answers| answers.live)
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.answers.first_key_value().map(|(&segment, _)| segment)
    }

    pub(super) fn live_bytes(&self) -> u64 {
        let live = self.answers.values().map(|answers| {
            let bytes = u128::from(answers.bytes) * u128::from(answers.live);
            u64::try_from(bytes / u128::from(answers.written.max(1))).unwrap_or(u64::MAX)
        });
        live.sum()
    }
}
