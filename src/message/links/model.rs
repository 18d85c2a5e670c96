//! Tries all orders of links, unlinks, removals and a commit of one file, with a cut after each of
//! their steps.
//!
//! The file came with message 1, and message 2 forwards it. Message 1 is deleted twice. Message 2
//! is deleted later or never, or its sender stops before the promise. The commit begins again after
//! each end of its process, because its entry stays in the journal, and so it writes the file again
//! that was removed meanwhile. A sweep goes on with a dying file and with a tombstone that is not
//! cleared.
//!
//! | always | |
//! |---|---|
//! | message 2 was told that it has the file | document, link and chunks are there until it is deleted |
//! | at last | |
//! | no message has the file | neither document nor chunks are there |

use super::*;
use crate::message::search;

const FIRST: u8 = 1;
const SECOND: u8 = 2;

/// A fault that the search must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// A link is reported without a look at the tombstone.
    NoLookBehind,
    /// A commit ends without a look at the tombstone.
    NoLookOfCommit,
    /// A file that is dying can be linked to.
    LinkToDying,
    /// One question takes the last link, and another one marks the file.
    TakeInTwo,
    /// A document is deleted before there is a tombstone.
    NoTombstone,
    /// A tombstone is written for a file that the store does not have yet.
    BlindTombstone,
}

/// The steps of a commit that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Commit {
    Chunks,
    Document,
    Look,
    LookAtFile,
    Settle,
    TakeBack,
    TakeChunksBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Actor {
    Waiting,
    Link(Linking),
    Unlink(u8, Unlinking),
    /// This step exists only with the bug that takes links in two questions.
    Mark,
    Remove(Removing),
    Commit(Commit),
    Ended,
    Crashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    /// The links of the document, and whether it is dying.
    document: Option<(u8, bool)>,
    has_chunks: bool,
    /// Whether the tombstone is cleared.
    tombstone: Option<bool>,
    actors: [Actor; 6],
    /// The sender of message 2 was told that it has the file.
    is_told: bool,
    /// Message 2 is being deleted, or was never promised.
    is_undone: bool,
}

/// The places of the actors.
const DELETER: usize = 0;
const SECOND_DELETER: usize = 1;
const FORWARDER: usize = 2;
const UNDOER: usize = 3;
const COMMITTER: usize = 4;
const SWEEPER: usize = 5;

impl World {
    fn begin() -> Self {
        Self {
            document: None,
            has_chunks: false,
            tombstone: None,
            actors: [Actor::Waiting; 6],
            is_told: false,
            is_undone: false,
        }
    }

    /// Answers a question as the store does.
    fn answer(&mut self, ask: Ask, message: u8, bug: Bug) -> Answer {
        match (ask, &mut self.document) {
            (Ask::Add, Some((links, is_dying))) if !*is_dying || bug == Bug::LinkToDying => {
                *links |= message;
                Answer::Done
            }
            (Ask::Take, Some((links, is_dying))) if *links & message != 0 => {
                *links &= !message;
                let is_last = *links == 0;
                *is_dying |= is_last && bug != Bug::TakeInTwo;
                if is_last {
                    Answer::DoneLast
                } else {
                    Answer::Done
                }
            }
            (Ask::LookAtFile, None) => Answer::Absent,
            (Ask::LookAtFile, Some((_, true))) => Answer::Dying,
            (Ask::LookAtFile, Some((links, false))) if *links & message != 0 => Answer::Linked,
            (Ask::LookAtFile, Some((_, false))) => Answer::There,
            (Ask::LookForTombstone, _) => self.tombstone.map_or(Answer::Absent, |_| Answer::There),
            (Ask::Entomb, _) => {
                self.tombstone.get_or_insert(false);
                Answer::Done
            }
            (Ask::DeleteDying, document) => {
                if document.is_some_and(|(_, is_dying)| is_dying) {
                    *document = None;
                }
                Answer::Done
            }
            (Ask::DeleteChunks, _) => {
                self.has_chunks = false;
                Answer::Done
            }
            (Ask::NoteCleared, _) => {
                self.tombstone = Some(true);
                Answer::Done
            }
            (Ask::Add | Ask::Take, _) => Answer::NotDone,
        }
    }

    /// Returns all worlds that one step of one actor leads to.
    fn steps(&self, bug: Bug) -> Vec<Self> {
        let mut worlds = Vec::new();
        for place in 0..self.actors.len() {
            let actor = self.actors[place];
            let begun = match (actor, self.begins(place)) {
                (Actor::Waiting, begun) => begun,
                (Actor::Ended | Actor::Crashed, _) => None,
                (running, _) => Some(running),
            };
            let Some(begun) = begun else { continue };
            let mut world = *self;
            world.is_undone |= place == UNDOER;
            world.actors[place] = world.step(place, begun, bug);
            worlds.push(world);
            if actor != Actor::Waiting && place != DELETER {
                let mut world = *self;
                world.actors[place] = match place {
                    // These actors begin again.
                    SECOND_DELETER | UNDOER | COMMITTER | SWEEPER => Actor::Waiting,
                    _ => Actor::Crashed,
                };
                worlds.push(world);
            }
        }
        worlds
    }

    /// Returns the first step of a waiting actor, if it may begin.
    fn begins(&self, place: usize) -> Option<Actor> {
        let has_left = match self.document {
            Some((_, is_dying)) => is_dying,
            None => self.tombstone == Some(false),
        };
        match place {
            DELETER | SECOND_DELETER => Some(Actor::Unlink(FIRST, Unlinking::Take)),
            FORWARDER => Some(Actor::Link(Linking::Add)),
            // A forwarder that crashed has left an intent.
            UNDOER => (self.is_told || self.actors[FORWARDER] == Actor::Crashed)
                .then_some(Actor::Unlink(SECOND, Unlinking::Take)),
            COMMITTER => Some(Actor::Commit(Commit::Chunks)),
            _ => has_left.then_some(Actor::Remove(Removing::LookFirst)),
        }
    }

    fn step(&mut self, place: usize, actor: Actor, bug: Bug) -> Actor {
        match actor {
            Actor::Link(step) => {
                let answer = self.answer(step.ask(), SECOND, bug);
                match step.next(answer) {
                    Next::Go(Linking::LookBehind) if bug == Bug::NoLookBehind => {
                        self.is_told = true;
                        Actor::Ended
                    }
                    Next::Go(next) => Actor::Link(next),
                    Next::End(linked) => {
                        self.is_told = linked == Linked::Linked;
                        Actor::Ended
                    }
                }
            }
            Actor::Unlink(message, step) => {
                let answer = self.answer(step.ask(), message, bug);
                match step.next(answer) {
                    Next::Go(next) => Actor::Unlink(message, next),
                    Next::End(Unlinked::Last) if bug == Bug::TakeInTwo => Actor::Mark,
                    // The sweep goes on from there.
                    Next::End(Unlinked::Last) if place != SECOND_DELETER => Actor::Ended,
                    Next::End(Unlinked::Last) => Actor::Remove(Removing::LookFirst),
                    Next::End(Unlinked::Absent) if bug == Bug::BlindTombstone => {
                        Actor::Remove(Removing::Entomb)
                    }
                    // The commit is still to come, so the deleter of the message tries again.
                    Next::End(Unlinked::Absent)
                        if self.actors[COMMITTER] != Actor::Ended && message == FIRST =>
                    {
                        Actor::Waiting
                    }
                    Next::End(_) => Actor::Ended,
                }
            }
            Actor::Mark => {
                if let Some((_, is_dying)) = &mut self.document {
                    *is_dying = true;
                }
                Actor::Remove(Removing::LookFirst)
            }
            Actor::Remove(step) => {
                let answer = self.answer(step.ask(), 0, bug);
                match step.next(answer) {
                    Next::Go(Removing::Entomb) if bug == Bug::NoTombstone => {
                        Actor::Remove(Removing::DeleteDying)
                    }
                    Next::Go(Removing::NoteCleared) if bug == Bug::NoTombstone => Actor::Ended,
                    Next::Go(next) => Actor::Remove(next),
                    Next::End(_) if place == SWEEPER => Actor::Waiting,
                    Next::End(_) => Actor::Ended,
                }
            }
            Actor::Commit(step) => self.commit(step, bug),
            Actor::Waiting | Actor::Ended | Actor::Crashed => actor,
        }
    }

    fn commit(&mut self, step: Commit, bug: Bug) -> Actor {
        Actor::Commit(match step {
            Commit::Chunks => {
                self.has_chunks = true;
                Commit::Document
            }
            Commit::Document => {
                self.document.get_or_insert((FIRST, false));
                if bug == Bug::NoLookOfCommit {
                    Commit::Settle
                } else {
                    Commit::Look
                }
            }
            Commit::Look if self.tombstone.is_some() => Commit::TakeBack,
            Commit::Look => Commit::LookAtFile,
            // The commit counts the chunks, and writes them again if they are missing.
            Commit::LookAtFile if self.document.is_some() && !self.has_chunks => Commit::Chunks,
            Commit::LookAtFile if self.document.is_none() => Commit::Chunks,
            Commit::LookAtFile => Commit::Settle,
            Commit::Settle => return Actor::Ended,
            Commit::TakeBack => {
                self.document = None;
                Commit::TakeChunksBack
            }
            Commit::TakeChunksBack => {
                self.has_chunks = false;
                return Actor::Ended;
            }
        })
    }

    /// Returns the broken rule, if one is.
    fn fault(&self, next: &[Self]) -> Option<&'static str> {
        let is_there = self
            .document
            .is_some_and(|(links, is_dying)| links & SECOND != 0 && !is_dying);
        if self.is_told && !self.is_undone && !(is_there && self.has_chunks) {
            return Some("a linked file is gone");
        }
        let is_over = next.iter().all(|world| world == self);
        let is_owned = self.is_told && !self.is_undone;
        if is_over && !is_owned && (self.document.is_some() || self.has_chunks) {
            return Some("a file without a link stays");
        }
        None
    }
}

/// Tries all orders.
fn search(bug: Bug) -> (Option<search::Fault<World>>, usize) {
    search::search(World::begin(), |world| world.steps(bug), World::fault)
}

#[test]
fn no_order_of_links_and_removals_loses_a_linked_file_or_keeps_one_without_a_link() {
    let (fault, worlds) = search(Bug::None);
    assert_eq!(fault, None, "{worlds} worlds");
    assert!(worlds > 10_000, "{worlds} worlds are not all");
}

#[test]
fn the_search_finds_each_fault_that_the_steps_are_there_for() {
    for bug in [
        Bug::NoLookBehind,
        Bug::NoLookOfCommit,
        Bug::LinkToDying,
        Bug::TakeInTwo,
        Bug::NoTombstone,
        Bug::BlindTombstone,
    ] {
        let (fault, worlds) = search(bug);
        assert!(fault.is_some(), "{bug:?}: none in {worlds} worlds");
    }
}
