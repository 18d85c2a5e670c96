//! Clients that upload, read promised files and delete some of them, during all faults.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kit::{Client, noise};

use crate::ledger::{Ledger, State};
use crate::random::Random;
use crate::request::{PATIENCE, Request};
use crate::tally::Tally;
use crate::{joined, messages, uploads};

/// The pause between a refused upload and the next one. It doubles with each further refusal, until
/// an upload is promised.
const BACK_OFF: Duration = Duration::from_millis(30);
const LONGEST_BACK_OFF: Duration = Duration::from_millis(480);

/// The pause between two requests of a client, while there are more files than a fault needs.
const REST: Duration = Duration::from_millis(100);

/// The longest body in the log. A chunk has another boundary.
const LOGGED: u64 = 65_536;
const CHUNK: u64 = 255 * 1024;

/// The requests that clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    All,
    /// Those of uploads in pieces alone.
    Pieces,
}

/// The pause of a client before its next request after one that was refused.
#[derive(Debug)]
pub(crate) struct BackOff(Duration);

/// The state that all clients share.
pub(crate) struct Load<'a> {
    pub(crate) mix: Mix,
    pub(crate) ledger: &'a Ledger,
    pub(crate) tally: &'a Tally,
    /// The port of each node.
    pub(crate) ports: &'a [u16],
    pub(crate) is_over: &'a AtomicBool,
    /// Odd while a fault is active that clients may notice. While it is even and does not change, every
    /// upload must be promised.
    pub(crate) calm: &'a AtomicU64,
    pub(crate) next_key: &'a AtomicU64,
    /// The number of promises after which clients rest until the next fault is over.
    pub(crate) enough: &'a AtomicUsize,
}

/// The uploads of one client.
struct Own {
    back_off: BackOff,
    /// The key, the length and the id of each file that it may read and delete.
    promised: Vec<(u64, usize, String)>,
    /// Uploads under a key without a promise.
    unanswered: Vec<Request>,
    /// Uploads under a key, with the ids that were promised for them.
    answered: Vec<(Request, Vec<String>)>,
}

impl Default for BackOff {
    fn default() -> Self {
        Self(BACK_OFF)
    }
}

impl BackOff {
    pub(crate) fn pause(&mut self) {
        std::thread::sleep(self.0);
        self.0 = LONGEST_BACK_OFF.min(2 * self.0);
    }
}

impl Mix {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "pieces" => Some(Self::Pieces),
            _ => None,
        }
    }

    /// Draws the number of a client's next act.
    fn draw(self, random: &mut Random) -> u64 {
        match self {
            Self::All => random.below(48),
            Self::Pieces => 30 + random.below(18),
        }
    }
}

impl Load<'_> {
    /// Runs one client until the end of the load.
    pub(crate) fn run(&self, seed: u64) {
        let mut random = Random::new(seed);
        let clients = self.clients();
        let mut own = Own {
            back_off: BackOff::default(),
            promised: Vec::new(),
            unanswered: Vec::new(),
            answered: Vec::new(),
        };
        let mut own_messages = messages::Own::default();
        let mut own_uploads = uploads::Own::default();
        let mut own_joined = joined::Own::default();
        while !self.is_over.load(Ordering::Relaxed) {
            if self.tally.promises.load(Ordering::Relaxed) > self.enough.load(Ordering::Relaxed) {
                std::thread::sleep(REST);
            }
            // Each request may come to any node.
            let client = &clients[below(&mut random, clients.len())];
            match self.mix.draw(&mut random) {
                0 | 1 => {
                    let count = 2 + random.below(2);
                    self.upload(client, &mut random, &mut own, count);
                }
                2..=4 if !own.promised.is_empty() => {
                    // The newest file is pending; one of the files before may just have been
                    // committed.
                    let newest = own.promised.len() - 1;
                    let back = usize::try_from(random.below(2) * random.below(12));
                    let which = newest.saturating_sub(back.expect("a small number"));
                    self.delete(client, own.promised.remove(which));
                }
                5..=8 if !own.promised.is_empty() => {
                    let which = below(&mut random, own.promised.len());
                    self.read(client, &own.promised[which]);
                }
                9..=11 if !own.unanswered.is_empty() => {
                    let which = below(&mut random, own.unanswered.len());
                    let request = own.unanswered.swap_remove(which);
                    self.send(client, request, &mut own, true);
                }
                12 if !own.answered.is_empty() => {
                    let which = below(&mut random, own.answered.len());
                    let (request, ids) = &own.answered[which];
                    self.send_again(client, request, ids);
                }
                24..=29 => self.act(client, &mut random, &mut own_messages),
                42.. => {
                    let complete = self.join(&clients, &mut random, &mut own_joined);
                    own.promised.extend(complete);
                }
                30..=41 => {
                    let complete = self.grow(&clients, &mut random, &mut own_uploads);
                    own.promised.extend(complete);
                }
                13 => self.leave(&mut random, &mut own),
                _ => self.upload(client, &mut random, &mut own, 1),
            }
        }
    }

    /// A client of each node.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let ports = self.ports.iter();
        ports
            .map(|&port| Client::anew_each_time(port, PATIENCE))
            .collect()
    }

    /// Sends an upload under a key, and does not wait for the answer.
    fn leave(&self, random: &mut Random, own: &mut Own) {
        let (key, length) = (self.key(), length(random));
        let request = Request::keyed(key, length);
        self.ledger.send(key, length, true);
        // A server that is down takes nothing.
        let is_sent = request.send_and_leave(random.pick(self.ports)).is_ok();
        let left = &self.tally.left;
        left.fetch_add(u64::from(is_sent), Ordering::Relaxed);
        own.unanswered.push(request);
    }

    /// Uploads `files` files in one body: all of them are promised, or none.
    fn upload(&self, client: &Client, random: &mut Random, own: &mut Own, files: u64) {
        let request = Request {
            files: (0..files).map(|_| (self.key(), length(random))).collect(),
            is_keyed: random.below(2) == 0,
        };
        for (key, length) in &request.files {
            let is_keyed = request.is_keyed && files == 1;
            self.ledger.send(*key, *length, is_keyed);
        }
        self.send(client, request, own, false);
    }

    /// Sends an upload with an unknown outcome, for the first time or again.
    fn send(&self, client: &Client, request: Request, own: &mut Own, is_again: bool) {
        self.tally.uploads.fetch_add(1, Ordering::Relaxed);
        let before = self.calm.load(Ordering::SeqCst);
        let answer = request.send(client);
        let status = answer.as_ref().map(|answer| answer.status);
        let Some(answer) = answer.as_ref().ok().filter(|answer| answer.status == 201) else {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            // The first request may still be running.
            let is_excused = is_again && status == Ok(409);
            let began_calm = before.is_multiple_of(2);
            let is_calm = self.is_calm_since(before);
            if began_calm && !is_calm {
                self.tally.cut.fetch_add(1, Ordering::Relaxed);
            }
            if is_calm && !is_excused {
                let words = format!("an upload was refused without a fault: {status:?}");
                self.tally.violate(&words);
            }
            if request.is_keyed {
                own.unanswered.push(request);
            }
            // Each refused upload is checked at the end; thousands more of them would prove nothing
            // more.
            own.back_off.pause();
            return;
        };
        own.back_off = BackOff::default();
        let ids = Request::ids(answer);
        for ((key, length), id) in request.files.iter().zip(&ids) {
            self.ledger.set(*key, State::Promised(id.clone()));
            self.tally.promises.fetch_add(1, Ordering::Relaxed);
            own.promised.push((*key, *length, id.clone()));
        }
        if request.is_keyed {
            own.answered.push((request, ids));
        }
    }

    /// Checks that a key with a promise never names another file, even after its file was deleted.
    fn send_again(&self, client: &Client, request: &Request, ids: &[String]) {
        let Ok(answer) = request.send(client) else {
            return;
        };
        if answer.status == 422 || answer.status == 201 && Request::ids(&answer) != ids {
            let words = format!("{request:?} was promised as {ids:?}, and now {answer:?}");
            self.tally.violate(&words);
        }
        self.tally.repeats.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks that a promised file is never missing, and never another file.
    fn read(&self, client: &Client, (key, length, id): &(u64, usize, String)) {
        let Ok(answer) = client.try_ask("GET", &format!("/files/{id}"), &[]) else {
            return;
        };
        match answer.status {
            200 if answer.body != noise(*key, *length) => {
                self.tally
                    .violate(&format!("{key} {id} came back with other bytes"));
            }
            404 | 410 => self
                .tally
                .violate(&format!("{key} {id} was not found: {answer:?}")),
            200 => {
                self.tally.reads.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn delete(&self, client: &Client, (key, _, id): (u64, usize, String)) {
        self.ledger.set(key, State::Deleting(id.clone()));
        let path = format!("/files/{id}");
        match client.try_ask("DELETE", &path, &[]) {
            Ok(answer) if answer.status == 204 => {
                self.ledger.set(key, State::Deleted(id.clone()));
                self.tally.deletes.fetch_add(1, Ordering::Relaxed);
                // Another node may see a file once more if it is deleted in the moment of its commit.
                if self.ports.len() == 1
                    && let Ok(answer) = client.try_ask("GET", &path, &[])
                    && answer.status == 200
                {
                    self.tally
                        .violate(&format!("{key} {id} is there after its delete"));
                }
            }
            Ok(answer) if answer.status == 404 => {
                self.tally
                    .violate(&format!("{key} {id} was promised and cannot be deleted"));
            }
            _ => {}
        }
    }

    /// Returns whether no fault was active that clients may notice since `calm` had this value.
    pub(crate) fn is_calm_since(&self, before: u64) -> bool {
        before.is_multiple_of(2) && self.calm.load(Ordering::SeqCst) == before
    }

    pub(crate) fn key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn below(random: &mut Random, end: usize) -> usize {
    let end = u64::try_from(end).expect("a small number");
    usize::try_from(random.below(end)).expect("a small number")
}

/// Returns a length from nothing to several chunks, often just at a boundary.
pub(crate) fn length(random: &mut Random) -> usize {
    let length = match random.below(20) {
        0 => 0,
        1..=6 => 1 + random.below(2_000),
        7..=10 => 1 + random.below(LOGGED),
        11 | 12 => LOGGED - 1 + random.below(3),
        13 | 14 => CHUNK - 1 + random.below(3),
        15..=18 => LOGGED + random.below(3 * CHUNK),
        _ => random.below(3_000_000),
    };
    usize::try_from(length).expect("a small number")
}
