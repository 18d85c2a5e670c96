//! Files that clients put together of partial uploads, by tus, during all faults.

use std::sync::atomic::Ordering;

use kit::{Answer, Client};

use crate::ledger::State;
use crate::load::{BackOff, Load, below};
use crate::pieces::{Dialect, Pieces, Told, put_together};
use crate::random::Random;
use crate::request::stay;
use crate::uploads::{MOST_OPEN, piece};
use crate::whole::{Complete, Whole};

/// A client's knowledge of such a file. It is in the ledger under its key from the first request on.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) key: u64,
    pub(crate) length: usize,
    pub(crate) parts: Vec<Pieces>,
    /// The place of the node that takes all its parts.
    pub(crate) home: usize,
    /// Whether the parts were asked for as one file.
    is_asked: bool,
}

/// The files of one client whose parts are coming.
#[derive(Default)]
pub(crate) struct Own {
    open: Vec<Joined>,
    back_off: BackOff,
}

impl Joined {
    /// Makes a file of the parts, under its key, and returns its id; `None` if there was no such answer.
    ///
    /// # Errors
    /// When the answer contradicts the parts.
    pub(crate) fn put_together(&self, client: &Client) -> (Result<Option<String>, String>, String) {
        let answer = put_together(client, self.key, &self.parts);
        let words = format!("{self:?}: {answer:?}");
        let heard = answer.ok().filter(|answer| answer.status == 201);
        let Some(answer) = heard else {
            return (Ok(None), words);
        };
        let id = answer.header("Location").rsplit_once('/');
        let id = id.map(|(_, id)| id.to_owned());
        let is_whole = answer.header("Upload-Offset").parse() == Ok(self.length);
        let heard = id.filter(|_| is_whole).map(Some);
        (heard.ok_or_else(|| words.clone()), words)
    }

    fn open(load: &Load<'_>, random: &mut Random) -> Self {
        let key = load.key();
        let (mut length, mut parts) = (0, Vec::new());
        for _ in 0..2 + random.below(2) {
            let part = Pieces {
                key,
                whole: Whole::Part(length),
                length: piece(random),
                dialect: Dialect::Tus,
                is_declared: true,
                id: None,
                told: 0,
                seen: 0,
                home: None,
                is_ending: false,
                made: Vec::new(),
            };
            length += part.length;
            parts.push(part);
        }
        Self {
            key,
            length,
            parts,
            home: below(random, load.ports.len()),
            is_asked: false,
        }
    }
}

impl Load<'_> {
    /// Does one act of a client with its files of parts. Returns the file that it completes.
    pub(crate) fn join(
        &self,
        clients: &[Client],
        random: &mut Random,
        own: &mut Own,
    ) -> Option<Complete> {
        let Own { open, back_off } = own;
        let mut joined = if open.len() <= below(random, MOST_OPEN) {
            let joined = Joined::open(self, random);
            self.ledger.send(joined.key, joined.length, false);
            joined
        } else {
            let which = below(random, open.len());
            open.swap_remove(which)
        };
        let client = &clients[joined.home];
        let mut parts = joined.parts.iter_mut();
        if let Some(part) = parts.find(|part| part.told < part.length) {
            let is_refused = self.grow_part(client, random, part) == Told::Nothing;
            self.ledger.set_joined(&joined);
            open.push(joined);
            if is_refused {
                back_off.pause();
            } else {
                *back_off = BackOff::default();
            }
            return None;
        }
        let id = self.put_together(client, &mut joined);
        if let Some(id) = id {
            self.end_parts(client, &joined);
            return Some((joined.key, joined.length, id));
        }
        open.push(joined);
        back_off.pause();
        None
    }

    fn grow_part(&self, client: &Client, random: &mut Random, part: &mut Pieces) -> Told {
        let (told, length) = (part.told, part.length);
        let to = random.pick(&[length, told + (length - told).div_ceil(2)]);
        let answer = match (&part.id, random.below(8)) {
            (None, _) => part.begin(client, random.pick(&[0, length])),
            (Some(_), 0) => part.ask(client),
            (Some(_), 1) => {
                let sent = (below(random, to - told), stay(random));
                let is_sent = part.break_off(random.pick(self.ports), to, sent).is_ok();
                let hung_up = &self.tally.hung_up;
                hung_up.fetch_add(u64::from(is_sent), Ordering::Relaxed);
                return Told::Open(told);
            }
            (Some(_), _) => part.append(client, to),
        };
        let heard = part.hear(told, &answer).unwrap_or_else(|what| {
            self.tally.violate(&what);
            Told::Nothing
        });
        match heard {
            Told::Gone => {
                let words = format!("{part:?} was not found: {answer:?}");
                self.tally.violate(&words);
            }
            Told::Open(_) | Told::Complete => {
                self.tally.told.fetch_add(1, Ordering::Relaxed);
            }
            Told::Nothing => {}
        }
        heard
    }

    fn put_together(&self, client: &Client, joined: &mut Joined) -> Option<String> {
        let calm = self.calm.load(Ordering::SeqCst);
        // A request without an answer may still be running.
        let is_due = !joined.is_asked;
        joined.is_asked = true;
        self.ledger.set_joined(joined);
        let (heard, words) = joined.put_together(client);
        match heard {
            Ok(Some(id)) => {
                self.ledger.set(joined.key, State::Promised(id.clone()));
                self.tally.promises.fetch_add(1, Ordering::Relaxed);
                self.tally.joined.fetch_add(1, Ordering::Relaxed);
                return Some(id);
            }
            Ok(None) if is_due && self.is_calm_since(calm) => {
                let words = format!("refused without a fault: {words}");
                self.tally.violate(&words);
            }
            Ok(None) => {}
            Err(what) => self.tally.violate(&what),
        }
        None
    }

    /// The look ends those that stay. The file needs none of them.
    fn end_parts(&self, client: &Client, joined: &Joined) {
        for part in &joined.parts {
            let ended: Result<Answer, _> = part.end(client);
            if ended.is_ok_and(|answer| [404, 410].contains(&answer.status)) {
                let words = format!("{part:?} was gone before its end");
                self.tally.violate(&words);
            }
        }
    }
}
