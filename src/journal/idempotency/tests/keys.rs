//! Keys against the model, step by step, and single facts.

use std::time::Duration;

use super::model::Model;
use super::{Keys, answer, answered, id, request};
use crate::file::FileId;
use crate::journal::idempotency::{Claims, Known, Limits, Retained, Standing};
use crate::journal::index::tests::lots::Lots;
use crate::journal::index::{Phase, Place};
use crate::journal::record::{Answer, LogTime};
use crate::store::Sha256;

const KEYS: u32 = 12;

/// The keys and their model, which learn the same.
struct Both {
    lots: Lots,
    keys: Keys,
    model: Model,
    now: LogTime,
    ids: u32,
    group: u64,
    /// All answers that were ever learned.
    answers: Vec<(FileId, Answer)>,
}

impl Both {
    fn new(seed: u64) -> Self {
        let mut lots = Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let limits = Limits {
            lifetime: Duration::from_millis([0, 20, 1000][lots.draw(3)]),
            files: [0, 4, 9, 1000][lots.draw(4)],
        };
        Self {
            lots,
            keys: Keys::new(limits),
            model: Model::new(limits),
            now: LogTime(1),
            ids: 0,
            group: 0,
            answers: Vec::new(),
        }
    }

    fn step(&mut self) {
        let (now, any) = (self.now, self.lots.pick(&self.answers));
        match (self.lots.draw(16), any) {
            (0..4, _) => self.answer_anew(),
            // This answer is replayed again, or found late.
            (4..6, Some((id, answer))) => self.learn(id, &answer),
            (6..10, Some((id, answer))) => {
                // A place may be learned late.
                let group = self
                    .group
                    .saturating_sub(self.lots.draw(3).try_into().unwrap());
                self.group += 1;
                let at = Retained {
                    segment: group / 4,
                    place: Place::new(group, 64).unwrap(),
                };
                let answered = answered(id, answer, self.lots.draw(3) == 0);
                self.keys.retain(&answered, at, 10);
                self.model.retain(&answered, at);
            }
            (10, Some((_, answer))) if self.lots.draw(3) == 0 => {
                self.keys.forget(answer.request.key);
                self.model.forget(answer.request.key);
            }
            (11, _) if self.lots.draw(4) == 0 => {
                let odd = |id: FileId| id.bytes()[3] % 2 == 1;
                self.keys.forget_lost(odd, |_| false);
                self.model.forget_lost(odd);
            }
            (12..14, _) => {
                self.now.0 += u64::try_from(self.lots.draw(5)).unwrap();
                self.keys.forget_old(self.now);
                self.model.forget_old(self.now);
            }
            _ => self.keys.forget_old(now),
        }
        self.model.forget_old(now);
    }

    /// Files answer a request, now or, at a start, some time ago.
    fn answer_anew(&mut self) {
        let number = u32::try_from(self.lots.draw(12)).unwrap();
        let files = u32::try_from([1, 1, 1, 2, 3][self.lots.draw(5)]).unwrap();
        let request = request(number, u64::from(number % 4));
        let ago = u64::try_from(self.lots.draw(4) * self.lots.draw(5)).unwrap();
        let first = id(self.ids + 1);
        for position in 0..files {
            self.ids += 1;
            let at = self.now.0.saturating_sub(ago);
            let answer = answer(request, at, first, position, files);
            self.answers.push((id(self.ids), answer));
            if self.lots.draw(8) != 0 {
                self.learn(id(self.ids), &answer);
            }
        }
    }

    fn learn(&mut self, id: FileId, answer: &Answer) {
        self.keys.learn(id, answer, self.now);
        self.model.learn(id, answer, self.now);
    }

    fn check(&mut self) {
        for number in 0..KEYS {
            let key = request(number, 0).key;
            let found = self.model.find(key).map(|files| {
                let files = files.into_iter();
                let known = files.map(|file| Known {
                    id: file.id,
                    retained: file.retained.map(|at| at.place),
                });
                known.collect::<Vec<_>>()
            });
            assert_eq!(self.keys.find(key, self.now), found, "{number}");
        }
        assert_eq!(self.keys.files(), self.model.files());
        let segments = self.model.segments();
        assert_eq!(self.keys.oldest(), segments.first().copied());
        assert_eq!(self.keys.live_bytes() > 0, !segments.is_empty());
        for segment in 0..=self.group / 4 {
            let here = segments.iter().filter(|&&other| other == segment).count();
            assert_eq!(self.keys.retained_in(segment), u64::try_from(here).unwrap());
        }
        for &(id, answer) in &self.answers {
            for is_deleted in [false, true] {
                let answered = answered(id, answer, is_deleted);
                let needs = self.model.needs(&answered);
                assert_eq!(self.keys.needs(&answered), needs, "{answered:?}");
                if let Some(at) = self.model.retained(&answered) {
                    assert!(self.keys.is_retained_at(&answered, at.place));
                    let elsewhere = Place::new(at.place.group(), 72).unwrap();
                    assert!(!self.keys.is_retained_at(&answered, elsewhere));
                }
            }
        }
    }
}

#[test]
fn keys_are_what_the_model_says_whatever_comes_in_whatever_order() {
    for seed in 1..=400 {
        let mut both = Both::new(seed);
        for _ in 0..120 {
            both.step();
            both.check();
        }
    }
}

#[test]
fn a_claim_lasts_until_it_is_dropped_and_keeps_out_nobody_else() {
    let claims = Claims::default();
    let (one, other) = (Sha256([1; 32]), Sha256([2; 32]));
    let running = claims.claim(one).unwrap();
    assert!(claims.clone().claim(one).is_none());
    assert!(claims.claim(other).is_some());
    drop(running);
    assert!(claims.claim(one).is_some());
}

#[test]
fn a_request_is_told_from_another_with_its_key() {
    let request = request(1, 5);
    let answered = request.answered(LogTime(7));
    assert!(request.is_answered_by(&answered));
    let other = super::Fingerprint {
        content: Sha256([8; 32]),
        ..request
    };
    assert!(!other.is_answered_by(&answered));
}

#[test]
fn what_can_be_no_part_of_an_answer_is_passed_over() {
    let mut keys = Keys::new(Limits {
        lifetime: Duration::from_secs(1),
        files: 10,
    });
    for (file, position, files) in [(2, 0, 1), (1, 1, 2), (2, 2, 2), (1, 0, 0)] {
        keys.learn(
            id(file),
            &answer(request(1, 1), 1, id(1), position, files),
            LogTime(1),
        );
        assert_eq!(keys.files(), 0, "{file} at {position} of {files}");
    }
}

#[test]
fn a_file_stands_as_its_phase_says_and_when_it_has_left_as_its_answer_says() {
    let of = |phases: &[Phase]| {
        phases
            .iter()
            .map(|&phase| Standing::of(phase).name())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&[Phase::Waiting, Phase::Deferred, Phase::Held]),
        ["pending"; 3]
    );
    assert_eq!(
        of(&[Phase::Settled, Phase::Deleted]),
        ["committed", "deleted"]
    );
    assert_eq!(
        [false, true].map(Standing::retained),
        [Standing::Committed, Standing::Deleted]
    );
}
