//! Tries all orders of links, unlinks, removals and a commit of one file, with a cut after each of
//! their steps.
//!
//! The file came with message 1, and message 2 forwards it. Message 1 is deleted twice. Message 2
//! is deleted later or never, or its sender stops before the promise. The commit begins again after
//! each end of its process, because its entry stays in the journal, and so it writes the file again
//! that was removed meanwhile. A sweep goes on with a dying file and with a tombstone that is not
//! cleared.
//!
//! Or the file was uploaded plainly, and is committed. Then messages 1 and 2 both refer to it, and its time
//! without a link may be over at any moment.
//!
//! | always | |
//! |---|---|
//! | a message was told that it has the file | document, link and chunks are there until it is deleted |
//! | at last | |
//! | no message has the file | neither document nor chunks are there, |
//! | | unless no message ever had it, and it has no time: then both are there |

mod store;

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
    /// A file goes with the last link, also if its message was never promised.
    UndoneGoes,
    /// Nobody notes that a deleted message had the file.
    NoNote,
    /// A file is marked when its time is over, and its links are not looked at.
    ExpiresLinked,
}

/// The upload of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Upload {
    /// With message 1.
    OfMessage,
    /// Alone. It may have a time without a link.
    Plain { expires: bool },
}

/// The document of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stored {
    links: u8,
    was_linked: bool,
    is_dying: bool,
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
    /// The file was found in the index.
    Find,
    Expire,
    Ended,
    Crashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    upload: Upload,
    document: Option<Stored>,
    has_chunks: bool,
    /// Whether the tombstone is cleared.
    tombstone: Option<bool>,
    actors: [Actor; 8],
    /// The senders of these messages were told that they have the file.
    told: u8,
    /// These messages are being deleted, or were never promised.
    undone: u8,
}

/// The places of the actors.
const DELETER: usize = 0;
const SECOND_DELETER: usize = 1;
const FORWARDER: usize = 2;
const UNDOER: usize = 3;
const COMMITTER: usize = 4;
const SWEEPER: usize = 5;
const FIRST_FORWARDER: usize = 6;
const EXPIRER: usize = 7;

impl World {
    fn begin(upload: Upload) -> Self {
        let mut world = Self {
            upload,
            document: None,
            has_chunks: false,
            tombstone: None,
            actors: [Actor::Waiting; 8],
            told: 0,
            undone: 0,
        };
        let absent: &[usize] = match upload {
            Upload::OfMessage => {
                world.told = FIRST;
                &[FIRST_FORWARDER, EXPIRER]
            }
            Upload::Plain { expires } => {
                world.has_chunks = true;
                world.document = Some(Stored {
                    links: 0,
                    was_linked: false,
                    is_dying: false,
                });
                if expires {
                    &[COMMITTER, SECOND_DELETER]
                } else {
                    &[COMMITTER, EXPIRER]
                }
            }
        };
        for &place in absent {
            world.actors[place] = Actor::Ended;
        }
        world
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
            world.undone |= match place {
                DELETER | SECOND_DELETER => FIRST,
                UNDOER => SECOND,
                _ => 0,
            };
            world.actors[place] = world.step(place, begun, bug);
            worlds.push(world);
            if actor != Actor::Waiting && place != DELETER && place != FIRST_FORWARDER {
                let mut world = *self;
                world.actors[place] = match place {
                    // These actors begin again.
                    SECOND_DELETER | UNDOER | COMMITTER | SWEEPER | EXPIRER => Actor::Waiting,
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
            Some(file) => file.is_dying,
            None => self.tombstone == Some(false),
        };
        let delete = |message| Actor::Unlink(message, Unlinking::Take(Reason::Deleted));
        match place {
            DELETER | SECOND_DELETER => (self.told & FIRST != 0).then(|| delete(FIRST)),
            FORWARDER | FIRST_FORWARDER => Some(Actor::Link(Linking::Add)),
            UNDOER if self.told & SECOND != 0 => Some(delete(SECOND)),
            // A forwarder that crashed has left an intent.
            UNDOER => (self.actors[FORWARDER] == Actor::Crashed).then_some(Actor::Unlink(
                SECOND,
                Unlinking::Take(Reason::NeverPromised),
            )),
            COMMITTER => Some(Actor::Commit(Commit::Chunks)),
            EXPIRER => {
                let is_in_index = |file: Stored| !file.is_dying && file.links == 0;
                self.document
                    .is_some_and(is_in_index)
                    .then_some(Actor::Find)
            }
            _ => has_left.then_some(Actor::Remove(Removing::LookFirst)),
        }
    }

    fn step(&mut self, place: usize, actor: Actor, bug: Bug) -> Actor {
        match actor {
            Actor::Link(step) => {
                let message = if place == FORWARDER { SECOND } else { FIRST };
                let answer = self.answer(step.ask(), message, bug);
                match step.next(answer) {
                    Next::Go(Linking::LookBehind) if bug == Bug::NoLookBehind => {
                        self.told |= message;
                        Actor::Ended
                    }
                    Next::Go(next) => Actor::Link(next),
                    Next::End(linked) => {
                        if linked == Linked::Linked {
                            self.told |= message;
                        }
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
                if let Some(file) = &mut self.document {
                    file.is_dying = true;
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
                    Next::End(_) if matches!(place, SWEEPER | EXPIRER) => Actor::Waiting,
                    Next::End(_) => Actor::Ended,
                }
            }
            Actor::Find => Actor::Expire,
            Actor::Expire => match &mut self.document {
                Some(file) if file.links == 0 || bug == Bug::ExpiresLinked => {
                    file.is_dying = true;
                    Actor::Remove(Removing::LookFirst)
                }
                _ => Actor::Waiting,
            },
            Actor::Commit(step) => self.commit(step, bug),
            Actor::Waiting | Actor::Ended | Actor::Crashed => actor,
        }
    }

    /// Returns the broken rule, if one is.
    fn fault(&self, next: &[Self]) -> Option<&'static str> {
        let owners = self.told & !self.undone;
        let file = self.document.filter(|file| !file.is_dying);
        let is_there = self.has_chunks && file.is_some();
        // Its first message has it from the commit on.
        let is_committed = self.actors[COMMITTER] == Actor::Ended;
        let linked = owners & if is_committed { FIRST | SECOND } else { SECOND };
        let has_all = file.is_some_and(|file| file.links & linked == linked);
        if linked != 0 && !(is_there && has_all) {
            return Some("a linked file is gone");
        }
        let is_over = next.iter().all(|world| world == self);
        if !is_over || owners != 0 {
            return None;
        }
        let stays = self.told == 0 && self.upload == Upload::Plain { expires: false };
        if stays && !is_there {
            Some("a file that nobody linked is gone")
        } else if !stays && (self.document.is_some() || self.has_chunks) {
            Some("a file without a link stays")
        } else {
            None
        }
    }
}

const UPLOADS: [Upload; 3] = [
    Upload::OfMessage,
    Upload::Plain { expires: false },
    Upload::Plain { expires: true },
];

/// Tries all orders.
fn search(upload: Upload, bug: Bug) -> (Option<search::Fault<World>>, usize) {
    let begin = World::begin(upload);
    search::search(begin, |world| world.steps(bug), World::fault)
}

#[test]
fn no_order_of_links_and_removals_loses_a_file_or_keeps_one_that_must_go() {
    for (upload, least) in UPLOADS.into_iter().zip([10_000, 1_000, 1_000]) {
        let (fault, worlds) = search(upload, Bug::None);
        assert_eq!(fault, None, "{upload:?}, {worlds} worlds");
        assert!(worlds > least, "{upload:?}: {worlds} worlds are not all");
    }
}

#[test]
fn the_search_finds_each_fault_that_the_steps_are_there_for() {
    let plain = Upload::Plain { expires: false };
    for (bug, upload) in [
        (Bug::NoLookBehind, Upload::OfMessage),
        (Bug::NoLookOfCommit, Upload::OfMessage),
        (Bug::LinkToDying, Upload::OfMessage),
        (Bug::TakeInTwo, Upload::OfMessage),
        (Bug::NoTombstone, Upload::OfMessage),
        (Bug::BlindTombstone, Upload::OfMessage),
        (Bug::UndoneGoes, plain),
        (Bug::NoNote, plain),
        (Bug::ExpiresLinked, Upload::Plain { expires: true }),
    ] {
        let (fault, worlds) = search(upload, bug);
        assert!(fault.is_some(), "{bug:?}: none in {worlds} worlds");
    }
}
