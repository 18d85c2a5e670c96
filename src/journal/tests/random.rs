//! Long lives of journals, drawn by lot: operations, failing calls, kills and power cuts.

use std::time::Duration;

use super::answers::{assert_answered, request};
use super::disk::Fault;
use super::log::is_logged;
use super::operations::{Entry, Place, check, check_after_restart};
use super::scratch::{Scratch, committed, draft, room};
use crate::file::{FileId, UnixMillis};
use crate::journal::{Draft, Journal, Room};

const SEEDS: u64 = 200;
const STEPS: usize = 30;

/// xorshift64* (Vigna 2016): the same lots for the same seed.
struct Lots(u64);

impl Lots {
    fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % below
    }
}

/// What the journal has promised: each entry with the places that it may be in after a restart,
/// the keys that were answered, and how many uploads there were.
#[derive(Default)]
struct Model(Vec<(Entry, Vec<Place>)>, Vec<(usize, FileId)>, usize);

impl Model {
    fn promise(&mut self, id: FileId, content: &[u8]) {
        let entry = Entry {
            name: "an entry",
            id,
            content: content.to_vec(),
            room: Room::Incoming,
        };
        self.0.push((entry, vec![Some(Room::Incoming)]));
    }

    /// After it went well an entry is where it was moved to; after a failure it may be wherever
    /// it was or was on its way to.
    fn moved(&mut self, id: FileId, is_ok: bool, to: &[Place]) {
        let entry = self.0.iter_mut().find(|(entry, _)| entry.id == id);
        let places = &mut entry.unwrap().1;
        if is_ok {
            places.clear();
        }
        places.extend(to);
    }
}

impl Model {
    /// Whatever became of an entry: its key is answered with it.
    fn check_answers(&self, case: &str, journal: &Journal) {
        for &(key, id) in &self.1 {
            assert_answered(case, journal, request(key), &[id]);
        }
    }
}

/// One upload or several at a time, in whatever order their calls come.
fn adopt_side_by_side(scratch: &Scratch, journal: &Journal, lots: &mut Lots, model: &mut Model) {
    let bodies: Vec<_> = (0..=lots.draw(3))
        .map(|number| {
            let content = format!("content {}", lots.draw(1000));
            let body = scratch.spooled_as(&format!("{number:010}"), content.as_bytes());
            // Every other one has a key, another each time.
            model.2 += 1;
            (body, content, model.2.is_multiple_of(2).then_some(model.2))
        })
        .collect();
    std::thread::scope(|scope| {
        let adopting: Vec<_> = bodies
            .iter()
            .map(|(body, content, key)| {
                let draft = Draft {
                    request: key.map(request),
                    ..draft()
                };
                let adopted = scope.spawn(move || journal.adopt(body, draft));
                (adopted, content, key)
            })
            .collect();
        for (adopted, content, key) in adopting {
            if let Ok(adopted) = adopted.join().unwrap() {
                model.promise(adopted.id(), content.as_bytes());
                model.1.extend(key.map(|key| (key, adopted.id())));
            }
        }
    });
}

/// One operation on one entry, if its room allows for it.
fn act(scratch: &Scratch, journal: &Journal, lots: &mut Lots, model: &mut Model) {
    let lot = lots.draw(10);
    if lot < 3 || model.0.is_empty() {
        adopt_side_by_side(scratch, journal, lots, model);
        return;
    }
    let id = model.0[lots.draw(model.0.len())].0.id;
    let Some(now) = room(journal, id) else {
        return;
    };
    let held = Some(Room::Hold);
    match lot {
        3 => drop(journal.open_work(id)),
        4 if now.is_pending() => {
            let is_logged = is_logged(journal, id);
            let is_ok = journal.settle(&committed(id)).is_ok();
            // Until its note is written, a restart brings it back, and it is committed once more.
            let left = [None, Some(Room::Incoming)];
            let settled = [Some(Room::Settled)];
            model.moved(id, is_ok, if is_logged { &left } else { &settled });
        }
        5 if now.is_pending() => {
            let is_ok = journal.defer(id, "why", UnixMillis(1)).is_ok();
            model.moved(id, is_ok, &[Some(Room::Deferred)]);
        }
        6 if now.is_pending() => {
            let is_ok = journal.hold(id, "why").is_ok();
            model.moved(id, is_ok, &[held]);
        }
        7 if now == Room::Hold => {
            let is_ok = journal.retry(id).is_ok();
            model.moved(id, is_ok, &[Some(Room::Incoming)]);
        }
        8 if now == Room::Deleted => {
            let is_ok = journal.erase(id).is_ok();
            model.moved(id, is_ok, &[None]);
        }
        8 => {
            let is_ok = journal.delete(id).is_ok();
            let to = room(journal, id);
            model.moved(id, is_ok, &[to, None]);
        }
        9 => {
            let settled = journal.index().in_room(Room::Settled);
            let is_ok = journal.evict_settled().is_ok();
            for id in settled {
                model.moved(id, is_ok, &[None]);
            }
        }
        _ => {}
    }
}

/// Every other seed with the log.
fn new_scratch(seed: u64) -> Scratch {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    scratch.limits.log_body_bytes = if seed.is_multiple_of(2) { 100 } else { 0 };
    scratch.limits.max_bytes = 100_000;
    scratch.limits.max_entries = 100;
    scratch
}

#[test]
fn a_sound_journal_does_what_the_model_says_through_any_sequence_of_operations() {
    for seed in 1..=SEEDS {
        let (mut lots, mut model) = (Lots(seed), Model::default());
        let scratch = new_scratch(seed);
        let mut journal = scratch.journal();
        for step in 0..STEPS {
            let case = format!("seed {seed}, step {step}");
            act(&scratch, &journal, &mut lots, &mut model);
            check(&case, &scratch, &journal, &model.0);
            if lots.draw(5) == 0 {
                drop(journal);
                journal = check_after_restart(&case, &scratch, &model.0);
            }
            model.check_answers(&case, &journal);
        }
    }
}

#[test]
fn no_sequence_of_failing_calls_and_kills_loses_a_promise() {
    for seed in 1..=SEEDS {
        let (mut lots, mut model) = (Lots(seed), Model::default());
        let scratch = new_scratch(seed);
        let mut journal = scratch.journal();
        for step in 0..STEPS {
            let call = lots.draw(9);
            let is_killed = lots.draw(6) == 0;
            if is_killed {
                scratch.disk.stop_at(call);
            } else if lots.draw(3) == 0 {
                scratch
                    .disk
                    .fail_once(call, Fault::ALL[lots.draw(Fault::ALL.len())]);
            }
            act(&scratch, &journal, &mut lots, &mut model);
            if is_killed || lots.draw(8) == 0 {
                drop(journal);
                forget_unpromised(&scratch, &mut model);
                let case = format!("seed {seed}, step {step}");
                journal = check_after_restart(&case, &scratch, &model.0);
                for (entry, places) in &mut model.0 {
                    *places = vec![room(&journal, entry.id)];
                }
            }
            scratch.disk.heal();
            model.check_answers(&format!("seed {seed}, step {step}"), &journal);
        }
    }
}

/// Takes whole entries that nobody was told of out of the journal's way: they are allowed.
fn forget_unpromised(scratch: &Scratch, model: &mut Model) {
    for (name, content) in scratch.files() {
        let id = name
            .strip_prefix("incoming/")
            .map(|name| name.strip_suffix(".json"));
        let Some(id) = id.flatten().and_then(|id| id.parse::<FileId>().ok()) else {
            continue;
        };
        if model.0.iter().all(|(entry, _)| entry.id != id) {
            assert!(!content.is_empty());
            let body = std::fs::read(scratch.layout().body(id)).unwrap();
            model.promise(id, &body);
        }
    }
}
