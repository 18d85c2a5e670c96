//! Random sequences of operations, with kills and power cuts within them, compared with a model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use super::scratch::{Scratch, committed, content, room};
use super::stage::{Entry, InRoom, check, restart};
use crate::file::FileId;
use crate::journal::Journal;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{JournalError, Room};

#[derive(Debug, Clone, Copy)]
enum Act {
    Adopt { is_large: bool, is_form: bool },
    Begin,
    Defer,
    Hold,
    Retry,
    Settle,
    Delete,
    Erase,
    Copy,
    Sweep,
}

const ACTS: [Act; 13] = [
    Act::Adopt {
        is_large: false,
        is_form: false,
    },
    Act::Adopt {
        is_large: true,
        is_form: false,
    },
    Act::Adopt {
        is_large: false,
        is_form: true,
    },
    Act::Adopt {
        is_large: true,
        is_form: true,
    },
    Act::Begin,
    Act::Defer,
    Act::Hold,
    Act::Retry,
    Act::Settle,
    Act::Delete,
    Act::Erase,
    Act::Copy,
    Act::Sweep,
];

/// An operation, its entry, and a cut within it.
type Step = (Act, Index, Option<(usize, Option<u64>)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cut = prop::option::weighted(0.2, (0..8_usize, prop::option::of(any::<u64>())));
    let step = (prop::sample::select(&ACTS[..]), any::<Index>(), cut);
    prop::collection::vec(step, 1..60)
}

struct Model {
    scratch: Scratch,
    journal: Option<Journal>,
    entries: BTreeMap<FileId, Entry>,
    made: u32,
}

impl Model {
    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn adopt(&mut self, is_large: bool, is_form: bool) {
        self.made += 1;
        let content = |part: u32| {
            let filling = if is_large {
                "too long for the log, this one is"
            } else {
                ""
            };
            format!("{}.{part} {filling}", self.made).into_bytes()
        };
        let contents: Vec<_> = (0..if is_form { 3 } else { 1 }).map(content).collect();
        let parts: Vec<_> = contents.iter().map(Vec::as_slice).collect();
        let ids = if is_form {
            self.scratch.try_adopt_form(self.journal(), &parts)
        } else {
            let adopted = self.scratch.try_adopt(self.journal(), parts[0]);
            adopted.map(|adopted| vec![adopted.id()])
        };
        for (id, content) in ids.unwrap_or_default().into_iter().zip(contents) {
            let entry = Entry {
                name: format!("{}", self.made),
                id,
                content,
                is_linked: is_large,
                place: Some(Room::Incoming),
            };
            self.entries.insert(id, entry);
        }
    }

    /// Carries out an operation; returns the entry's room after it, and whether a caller was told of
    /// that.
    fn act(&self, act: Act, id: FileId, place: InRoom) -> (InRoom, bool) {
        let journal = self.journal();
        let is_pending = matches!(place, Some(Room::Incoming | Room::Deferred | Room::Hold));
        let (done, to) = match act {
            Act::Defer => (
                journal.defer(id, "why", Duration::ZERO),
                Some(Room::Deferred),
            ),
            Act::Hold => (journal.hold(id, "why"), Some(Room::Hold)),
            Act::Retry => {
                let is_put_off = matches!(place, Some(Room::Deferred | Room::Hold));
                let to = if is_put_off {
                    Some(Room::Incoming)
                } else {
                    place
                };
                (journal.retry(id).map(drop), to)
            }
            Act::Settle => {
                let to = if is_pending {
                    Some(Room::Settled)
                } else {
                    place
                };
                (journal.settle(&committed(id)).map(drop), to)
            }
            Act::Delete => {
                let is_left = matches!(place, None | Some(Room::Settled));
                let to = (!is_left).then_some(Room::Deleted);
                (journal.delete(id).map(drop), to)
            }
            Act::Erase if place == Some(Room::Deleted) => (journal.erase(id), None),
            Act::Copy => (journal.copy_one(id), place),
            Act::Begin => (journal.open_work(id).map(drop), place),
            Act::Erase | Act::Adopt { .. } | Act::Sweep => (Ok(()), place),
        };
        match done {
            Ok(()) => (to, true),
            Err(JournalError::Absent(_)) => (place, true),
            Err(_) => (place, false),
        }
    }

    fn step(&mut self, (act, which, cut): Step) {
        let id = (!self.entries.is_empty()).then(|| {
            *self
                .entries
                .keys()
                .nth(which.index(self.entries.len()))
                .unwrap()
        });
        if let Some((call, _)) = cut {
            self.scratch.disk.stop_at(call);
        } else {
            self.scratch.disk.heal();
        }
        let mut is_told = false;
        match (act, id) {
            (Act::Adopt { is_large, is_form }, _) => self.adopt(is_large, is_form),
            (Act::Sweep, _) => {
                let swept = self.journal().evict_settled();
                is_told = swept.is_ok();
                for entry in self.entries.values_mut() {
                    if entry.place == Some(Room::Settled) && swept.is_ok() {
                        entry.place = None;
                    }
                }
            }
            (act, Some(id)) => {
                let place = self.entries[&id].place;
                let (to, is_done) = self.act(act, id, place);
                assert!(is_done || cut.is_some(), "{act:?} of {place:?}");
                self.entries.get_mut(&id).unwrap().place = to;
                is_told = is_done;
            }
            (_, None) => {}
        }
        if let Some((_, tear)) = cut {
            self.cut(act, id.filter(|_| !is_told), tear);
        }
    }

    /// An operation without an answer may have happened or not; from now on its outcome is fixed.
    fn cut(&mut self, act: Act, id: Option<FileId>, tear: Option<u64>) {
        self.journal = None;
        self.scratch.disk.heal();
        if let Some(seed) = tear {
            self.scratch.disk.set_tear(Tear::Sectors(seed));
            self.scratch.cut_power();
        }
        let journal = restart("cut", &self.scratch);
        for entry in self.entries.values_mut() {
            let found = room(&journal, entry.id);
            let is_swept = entry.place == Some(Room::Settled) && found.is_none();
            let is_target = id == Some(entry.id) && !matches!(act, Act::Adopt { .. });
            if found != entry.place && (is_target || (is_swept && matches!(act, Act::Sweep))) {
                entry.place = found;
            }
        }
        // An upload that nobody was told of.
        for (id, _) in journal.work() {
            if !self.entries.contains_key(&id) {
                let entry = Entry {
                    name: "untold".to_owned(),
                    id,
                    content: content(&journal, id).unwrap(),
                    is_linked: self.scratch.layout().body(id).exists(),
                    place: room(&journal, id),
                };
                self.entries.insert(id, entry);
            }
        }
        self.journal = Some(journal);
    }

    fn check(&self, case: &str) {
        let entries: Vec<_> = self.entries.values().cloned().collect();
        check(case, &self.scratch, self.journal(), &entries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_does_what_the_model_says_through_any_operations_and_cuts(steps in steps()) {
        let mut scratch = Scratch::new();
        scratch.limits.settled_grace = Duration::ZERO;
        let journal = Some(scratch.journal());
        let mut model = Model { scratch, journal, entries: BTreeMap::new(), made: 0 };
        for step in steps {
            model.step(step);
            model.scratch.disk.heal();
            model.check(&format!("{step:?}"));
        }
        model.journal = None;
        model.scratch.cut_power();
        model.journal = Some(restart("at the end", &model.scratch));
        model.check("at the end");
    }
}
