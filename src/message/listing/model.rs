//! Tries all orders of one commit and two readers of a list, with lost answers, killed processes and slow
//! writes.
//!
//! A write of a place takes its time when it begins, and becomes visible later. A reader goes up to a place
//! only if no write with an earlier place is under way that is quick in the end. If the answer of a
//! write is lost, MongoDB may run the write at any later time, or never. The commit begins again after
//! each end of its process.
//!
//! | rule | |
//! |---|---|
//! | a reader lists a message | once at most |
//! | a reader is behind the place of a sure entry | it has listed the entry |
//! | the commit has ended | its entry is sure or delivered |
//! | everything up to a reader's cursor was delivered | the reader has listed it |

use super::*;
use crate::message::search;

/// A bug that the search must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Readers list unsure entries.
    ListUnsure,
    /// Readers pass over unsure entries.
    PassUnsure,
    /// A sure entry gets a new place.
    PlaceSure,
    /// A place becomes sure without its mark.
    ConfirmAny,
    /// A slow place becomes sure.
    SlowIsQuick,
    /// A second try has the mark of the first.
    SameMark,
    /// A commit that finds its entry ends.
    ThereIsSure,
    /// A commit ends though not all entries became sure.
    NoLook,
    /// A delivery up to a cursor takes unsure entries.
    DeliverUnsure,
}

/// The most writes of places, and so the last place.
const MOST: u8 = 4;

/// A write of a place that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    is_insert: bool,
    place: u8,
    mark: u8,
    is_slow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Actor {
    /// A reader that reads, or a commit before its attempt.
    Resting,
    /// It has a question to ask, and a mark if the question is to confirm.
    Asks(Entering, u8),
    /// It waits for an answer.
    Waits(Write),
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    place: u8,
    /// While it is unsure.
    mark: Option<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Reader {
    cursor: u8,
    listed: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    /// The last place that was taken.
    clock: u8,
    entry: Option<Entry>,
    is_delivered: bool,
    /// A write that lost its answer.
    stray: Option<Write>,
    /// The commit, and the two readers.
    actors: [Actor; 3],
    readers: [Reader; 2],
    /// A delivery up to a cursor took an entry that its reader had not listed.
    took_unlisted: bool,
}

const COMMIT: usize = 0;

impl World {
    fn begin() -> Self {
        Self {
            clock: 0,
            entry: None,
            is_delivered: false,
            stray: None,
            actors: [Actor::Resting; 3],
            readers: [Reader::default(); 2],
            took_unlisted: false,
        }
    }

    /// Runs a write. Returns the number of changed entries.
    fn carry_out(&mut self, write: Write, bug: Bug) -> u64 {
        let placed = Entry {
            place: write.place,
            mark: Some(write.mark),
        };
        let is_placed = match self.entry {
            _ if self.is_delivered => false,
            None => write.is_insert,
            Some(entry) => !write.is_insert && (entry.mark.is_some() || bug == Bug::PlaceSure),
        };
        if is_placed {
            self.entry = Some(placed);
        }
        u64::from(is_placed)
    }

    fn confirm(&mut self, mark: u8, bug: Bug) -> u64 {
        match &mut self.entry {
            Some(entry)
                if entry.mark == Some(mark) || bug == Bug::ConfirmAny && entry.mark.is_some() =>
            {
                entry.mark = None;
                u64::from(!self.is_delivered)
            }
            _ => 0,
        }
    }

    /// Returns all worlds after one step.
    fn steps(&self, bug: Bug) -> Vec<Self> {
        let mut worlds = Vec::new();
        for place in 0..self.actors.len() {
            self.steps_of(place, bug, &mut worlds);
        }
        if let Some(stray) = self.stray {
            let mut world = Self {
                stray: None,
                ..*self
            };
            worlds.push(world);
            world.carry_out(stray, bug);
            worlds.push(world);
        }
        let entry = self.entry.filter(|_| !self.is_delivered);
        if entry.is_some() {
            // By its id: its receiver may know it from elsewhere.
            worlds.push(Self {
                is_delivered: true,
                ..*self
            });
        }
        for reader in self.readers {
            let Some(entry) = entry else { continue };
            let is_counted = entry.mark.is_none() || bug == Bug::DeliverUnsure;
            if is_counted && entry.place <= reader.cursor {
                worlds.push(Self {
                    is_delivered: true,
                    took_unlisted: reader.listed == 0,
                    ..*self
                });
            }
        }
        worlds
    }

    fn steps_of(&self, place: usize, bug: Bug, worlds: &mut Vec<Self>) {
        let actor = self.actors[place];
        let mut go = |world: Self, actor| {
            let mut world = world;
            world.actors[place] = actor;
            worlds.push(world);
        };
        match actor {
            Actor::Ended => {}
            Actor::Resting if place == COMMIT => go(*self, Actor::Asks(Entering::Insert, 0)),
            Actor::Resting => self.read(place, bug, worlds),
            Actor::Asks(Entering::Confirm(placed), mark) => {
                let mut world = *self;
                let count = world.confirm(mark, bug);
                // The answer is lost, or the process is killed before it asks.
                go(world, Actor::Resting);
                go(*self, Actor::Resting);
                let mut next = Entering::Confirm(placed).next(Done {
                    count,
                    is_quick: true,
                });
                next = next.filter(|_| bug != Bug::NoLook);
                go(world, Self::went(place, next, 0));
            }
            Actor::Asks(step, _) => {
                if self.clock < MOST {
                    let clock = self.clock + 1;
                    let write = Write {
                        is_insert: step == Entering::Insert,
                        place: clock,
                        mark: clock,
                        is_slow: false,
                    };
                    go(Self { clock, ..*self }, Actor::Waits(write));
                }
            }
            Actor::Waits(write) => {
                if !write.is_slow {
                    go(
                        *self,
                        Actor::Waits(Write {
                            is_slow: true,
                            ..write
                        }),
                    );
                }
                let mut world = *self;
                let count = world.carry_out(write, bug);
                let is_all = !write.is_insert || count == 1;
                let is_quick = is_all && (!write.is_slow || bug == Bug::SlowIsQuick);
                let step = if write.is_insert {
                    Entering::Insert
                } else {
                    Entering::Place
                };
                let mut next = step.next(Done { count, is_quick });
                if bug == Bug::ThereIsSure && write.is_insert && count == 0 {
                    next = None;
                }
                go(world, Self::went(place, next, write.mark));
                if self.stray.is_none() {
                    let stray = Some(Write {
                        is_slow: true,
                        ..write
                    });
                    go(Self { stray, ..*self }, Actor::Resting);
                    // The second try of an insert has the same document. Other writes have no second try.
                    if self.clock < MOST && (write.is_insert || bug == Bug::SameMark) {
                        let clock = self.clock + 1;
                        let again = Write {
                            place: clock,
                            ..write
                        };
                        go(
                            Self {
                                clock,
                                stray,
                                ..*self
                            },
                            Actor::Waits(again),
                        );
                    }
                }
            }
        }
    }

    fn went(place: usize, next: Option<Entering>, mark: u8) -> Actor {
        match next {
            Some(next) => Actor::Asks(next, mark),
            None if place == COMMIT => Actor::Ended,
            None => Actor::Resting,
        }
    }

    /// Reads a page up to each place that a reader may go to.
    fn read(&self, place: usize, bug: Bug, worlds: &mut Vec<Self>) {
        let reader = self.readers[place - 1];
        let under_way = self.actors.iter().filter_map(|actor| match actor {
            Actor::Waits(write) if !write.is_slow => Some(write.place),
            Actor::Waits(_) | Actor::Resting | Actor::Asks(..) | Actor::Ended => None,
        });
        let over = under_way.min().map_or(self.clock, |first| first - 1);
        for until in reader.cursor + 1..=over {
            let entry = self.entry.filter(|_| !self.is_delivered);
            let found = entry.filter(|entry| (reader.cursor + 1..=until).contains(&entry.place));
            let found = found.filter(|entry| bug != Bug::PassUnsure || entry.mark.is_none());
            let seen: Vec<_> = found
                .iter()
                .map(|entry| Seen {
                    cursor: Cursor(entry.place.into()),
                    is_sure: entry.mark.is_none() || bug == Bug::ListUnsure,
                })
                .collect();
            let reach = reach(&seen, Cursor(until.into()), false);
            let mut world = *self;
            let read = &mut world.readers[place - 1];
            read.cursor = u8::try_from(reach.next.0).unwrap();
            read.listed += u8::try_from(reach.listed).unwrap();
            if reach.listed < seen.len() {
                world.actors[place] = Actor::Asks(Entering::Place, 0);
            }
            worlds.push(world);
        }
    }

    /// Returns the broken rule, if there is one.
    fn fault(&self) -> Option<&'static str> {
        if self.took_unlisted {
            return Some("a message was delivered that its reader had not listed");
        }
        let entry = self.entry.filter(|_| !self.is_delivered);
        let is_unsure = self.entry.is_none() || entry.is_some_and(|entry| entry.mark.is_some());
        if self.actors[COMMIT] == Actor::Ended && is_unsure {
            return Some("a commit has left its entry unsure");
        }
        for reader in self.readers {
            if reader.listed > 1 {
                return Some("a message was listed twice");
            }
            let is_behind = |entry: &Entry| entry.mark.is_none() && entry.place <= reader.cursor;
            if reader.listed == 0 && entry.as_ref().is_some_and(is_behind) {
                return Some("a message was missed");
            }
        }
        None
    }
}

/// Tries all orders.
fn search(bug: Bug) -> (Option<search::Fault<World>>, usize) {
    search::search(
        World::begin(),
        |world| world.steps(bug),
        |world, _| world.fault(),
    )
}

#[test]
fn in_no_order_of_a_commit_and_readers_is_a_message_missed_or_listed_twice() {
    let (fault, worlds) = search(Bug::None);
    assert_eq!(fault, None, "{worlds} worlds");
    assert!(worlds > 10_000, "{worlds} worlds are not all");
}

#[test]
fn the_search_finds_each_fault_that_the_rules_are_there_for() {
    for bug in [
        Bug::ListUnsure,
        Bug::PassUnsure,
        Bug::PlaceSure,
        Bug::ConfirmAny,
        Bug::SlowIsQuick,
        Bug::SameMark,
        Bug::ThereIsSure,
        Bug::NoLook,
        Bug::DeliverUnsure,
    ] {
        let (fault, worlds) = search(bug);
        assert!(fault.is_some(), "{bug:?}: none in {worlds} worlds");
    }
}

/// A reader lists an unsure entry of a commit that never comes again.
#[test]
fn a_list_goes_on_though_a_commit_has_ended_for_ever() {
    let mut world = World::begin();
    let left = Entry {
        place: 1,
        mark: Some(1),
    };
    (world.entry, world.clock) = (Some(left), 1);
    world.actors[COMMIT] = Actor::Ended;
    let mut is_listed = false;
    let steps = |world: &World| world.steps(Bug::None);
    search::search(world, steps, |world, _| {
        is_listed |= world.readers[0].listed == 1;
        None
    });
    assert!(is_listed);
}
