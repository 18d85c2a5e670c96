//! Clients that upload in pieces, ask how far they have come, hang up, and end some uploads, during all
//! faults.

use std::sync::atomic::Ordering;

use kit::{Answer, Client};

use crate::ledger::Message;
use crate::load::{BackOff, Load, below};
use crate::pieces::{Dialect, Pieces, Told};
use crate::random::Random;
use crate::request::{Request, stay};
use crate::whole::{Complete, Whole};

/// The most uploads that a client has open.
pub(crate) const MOST_OPEN: usize = 3;

/// The longest piece.
const LONGEST: u64 = 1 << 20;

/// The uploads of one client that may grow.
#[derive(Default)]
pub(crate) struct Own {
    open: Vec<Course>,
    back_off: BackOff,
}

pub(crate) struct Course {
    pub(crate) pieces: Pieces,
    /// The offsets at which its pieces end.
    ends: Vec<usize>,
    footing: Footing,
}

/// How sure a client is of the next request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Footing {
    /// The last append was answered.
    Firm,
    /// The upload has the offset that was told, but what is left of a broken body may still grow it.
    Asked,
    /// The last request had no answer, or was refused.
    Lost,
}

impl Load<'_> {
    /// Does one act of a client with its uploads in pieces. Returns the files that it completes.
    pub(crate) fn grow(
        &self,
        clients: &[Client],
        random: &mut Random,
        own: &mut Own,
    ) -> Vec<Complete> {
        let is_new = own.open.len() <= below(random, MOST_OPEN);
        let mut course = if is_new {
            self.open(random)
        } else {
            let which = below(random, own.open.len());
            own.open.swap_remove(which)
        };
        // Each request may come to any node.
        let client = &clients[below(random, clients.len())];
        let told = match (&course.pieces.id, course.pieces.home) {
            (Some(_), _) => self.go_on(client, random, &mut course),
            (None, Some(home)) => self.seek(&clients[home], random, &mut course),
            (None, None) => self.begin(client, random, &mut course),
        };
        match told {
            // The look ends it, if the answer was lost.
            Told::Gone => Vec::new(),
            Told::Complete if course.pieces.is_known() => {
                self.tally.complete(self.ledger, &course.pieces)
            }
            Told::Complete | Told::Open(_) => {
                own.open.push(course);
                own.back_off = BackOff::default();
                Vec::new()
            }
            Told::Nothing => {
                own.open.push(course);
                own.back_off.pause();
                Vec::new()
            }
        }
    }

    fn open(&self, random: &mut Random) -> Course {
        let key = self.key();
        let whole = self.whole(key, random);
        let mut ends = ends(whole.body().as_deref(), random);
        let is_put = !whole.is_made() && random.below(3) == 0;
        if is_put {
            // nginx keeps what it has written to a file, and that is nothing of a small body.
            let more = LONGEST / 4 + random.below(LONGEST);
            ends.push(ends.last().unwrap_or(&0) + usize::try_from(more).expect("a small number"));
        }
        let length = *ends.last().expect("a last piece");
        let dialect = if whole.is_made() {
            Dialect::Draft
        } else {
            random.pick(&[Dialect::Tus, Dialect::Draft])
        };
        let home = is_put.then(|| below(random, self.ports.len()));
        let pieces = Pieces {
            key,
            whole,
            length,
            dialect,
            is_declared: home.is_some() || random.below(2) == 0,
            id: None,
            told: 0,
            seen: 0,
            home,
            is_ending: false,
            made: Vec::new(),
        };
        self.ledger.begin(&pieces);
        // Nobody knows at once how much of a broken body counts.
        let footing = home.map_or(Footing::Firm, |_| Footing::Lost);
        Course {
            pieces,
            ends,
            footing,
        }
    }

    fn whole(&self, key: u64, random: &mut Random) -> Whole {
        match random.below(8) {
            0 => Whole::Form(Request {
                files: vec![(key, piece(random)), (self.key(), piece(random))],
                is_keyed: false,
            }),
            1 => {
                let part = (self.key(), piece(random));
                Whole::Message(Message::new(key, vec![part], random))
            }
            _ => Whole::File,
        }
    }

    /// Begins an upload, sometimes with its first piece.
    fn begin(&self, client: &Client, random: &mut Random, course: &mut Course) -> Told {
        let first = random.pick(&[0, course.ends[0]]);
        self.ask_once(course, Footing::Firm, |pieces| pieces.begin(client, first))
    }

    fn go_on(&self, client: &Client, random: &mut Random, course: &mut Course) -> Told {
        let Pieces { told, length, .. } = course.pieces;
        let next = course.ends.iter().find(|&&end| end > told);
        let to = *next.unwrap_or(&length);
        match (course.footing, random.below(16)) {
            (Footing::Lost, _) => self.ask_once(course, Footing::Asked, |one| one.ask(client)),
            (footing, 0) => self.ask_once(course, footing, |one| one.ask(client)),
            (Footing::Firm, 1) => self.end(client, course),
            (_, 2 | 3) if to > told => {
                self.break_off(random, course, to);
                Told::Open(told)
            }
            (_, 4 | 5) if to > told => {
                self.append_beside(course, client, to, |one| one.append(client, to), true)
            }
            (_, 6..=8) if to > told => {
                self.append_beside(course, client, to, |one| one.ask(client), false)
            }
            (_, 9 | 10) if to > told && !course.pieces.whole.is_made() => {
                self.read_beside(random, course, |course| self.append(client, course, to))
            }
            _ => self.append(client, course, to),
        }
    }

    fn append(&self, client: &Client, course: &mut Course, to: usize) -> Told {
        let told = self.ask_once(course, Footing::Firm, |one| one.append(client, to));
        self.count_append(course, to);
        told
    }

    /// Hangs up within the body of an append.
    fn break_off(&self, random: &mut Random, course: &mut Course, to: usize) {
        let sent = below(random, to - course.pieces.told);
        // A server that is down takes nothing.
        let is_sent = course
            .pieces
            .break_off(random.pick(self.ports), to, (sent, stay(random)))
            .is_ok();
        let hung_up = &self.tally.hung_up;
        hung_up.fetch_add(u64::from(is_sent), Ordering::Relaxed);
        course.footing = Footing::Lost;
    }

    /// Ends an upload. No answer speaks of it as open afterwards.
    fn end(&self, client: &Client, course: &mut Course) -> Told {
        course.pieces.is_ending = true;
        self.ledger.set_pieces(&course.pieces);
        let calm = self.calm.load(Ordering::SeqCst);
        let answer = course.pieces.end(client);
        match answer.as_ref().map(|answer| answer.status) {
            Ok(204) => {
                self.ledger.end(&course.pieces);
                self.tally.ended.fetch_add(1, Ordering::Relaxed);
                let again = course.pieces.ask(client);
                if again.as_ref().is_ok_and(|again| again.status < 400) {
                    let words = format!("{:?} has ended, and now {again:?}", course.pieces);
                    self.tally.violate(&words);
                }
            }
            Ok(404 | 410) => {
                let words = format!("{:?} cannot be ended: {answer:?}", course.pieces);
                self.tally.violate(&words);
            }
            _ => self.is_refused(course, calm, &answer),
        }
        Told::Gone
    }

    /// Sends one request. With a 2xx the client stands on `then`.
    fn ask_once(
        &self,
        course: &mut Course,
        then: Footing,
        send: impl FnOnce(&Pieces) -> Result<Answer, String>,
    ) -> Told {
        let (calm, before) = (self.calm.load(Ordering::SeqCst), course.pieces.told);
        let answer = send(&course.pieces);
        let told = self.hear(course, before, &answer);
        let is_due = course.footing == Footing::Firm;
        course.footing = match told {
            Told::Nothing | Told::Gone => Footing::Lost,
            Told::Open(_) | Told::Complete if is_taken(&answer) => then,
            Told::Open(_) | Told::Complete => Footing::Asked,
        };
        if is_due && course.footing != Footing::Firm {
            self.is_refused(course, calm, &answer);
        }
        told
    }

    /// Appends up to `to`, and sends another request at the same time: the same again, or a question.
    fn append_beside(
        &self,
        course: &mut Course,
        client: &Client,
        to: usize,
        other: impl FnOnce(&Pieces) -> Result<Answer, String> + Send,
        is_same: bool,
    ) -> Told {
        let (calm, before) = (self.calm.load(Ordering::SeqCst), course.pieces.told);
        let pieces = &course.pieces;
        let [answer, other] = std::thread::scope(|scope| {
            let other = scope.spawn(move || other(pieces));
            [
                pieces.append(client, to),
                other.join().expect("a client that goes on"),
            ]
        });
        let both = [&answer, &other].map(|answer| self.hear(course, before, answer));
        let taken = [is_taken(&answer), is_same && is_taken(&other)];
        if taken == [true, true] {
            let words = format!(
                "{:?} took an append twice: {answer:?} {other:?}",
                course.pieces
            );
            self.tally.violate(&words);
        }
        let is_due = course.footing == Footing::Firm;
        if taken.contains(&true) {
            course.footing = Footing::Firm;
            self.count_append(course, to);
        } else {
            course.footing = Footing::Lost;
            if is_due {
                self.is_refused(course, calm, &answer);
            }
        }
        let complete = both.into_iter().find(|told| *told == Told::Complete);
        complete.unwrap_or(Told::Nothing)
    }

    /// Takes an answer in.
    pub(crate) fn hear(
        &self,
        course: &mut Course,
        before: usize,
        answer: &Result<Answer, String>,
    ) -> Told {
        let told = course.pieces.hear(before, answer);
        let told = told.unwrap_or_else(|what| {
            self.tally.violate(&what);
            Told::Nothing
        });
        match told {
            Told::Open(_) | Told::Complete => {
                self.tally.told.fetch_add(1, Ordering::Relaxed);
                self.ledger.set_pieces(&course.pieces);
            }
            Told::Gone => {
                let words = format!("{:?} was not found: {answer:?}", course.pieces);
                self.tally.violate(&words);
            }
            Told::Nothing => {}
        }
        told
    }

    /// An append that was answered with a 2xx told the offset at which it ends.
    fn count_append(&self, course: &Course, to: usize) {
        if course.footing == Footing::Firm {
            self.tally.appends.fetch_add(1, Ordering::Relaxed);
            if course.pieces.told != to {
                let words = format!("{:?} was appended up to {to}", course.pieces);
                self.tally.violate(&words);
            }
        }
    }

    /// Nothing is refused without a fault, except that the room for open uploads may be short: clients leave many of
    /// them, and a disk that was full is asked for its free space from time to time only.
    pub(crate) fn is_refused(&self, course: &Course, calm: u64, answer: &Result<Answer, String>) {
        let is_short = answer.as_ref().is_ok_and(|answer| {
            let body = String::from_utf8_lossy(&answer.body);
            answer.status == 503 && body.contains("problem:journal-full")
        });
        if self.is_calm_since(calm) && !is_short {
            let words = format!(
                "{:?} was refused without a fault: {answer:?}",
                course.pieces
            );
            self.tally.violate(&words);
        }
    }
}

fn is_taken(answer: &Result<Answer, String>) -> bool {
    let status = answer.as_ref().map(|answer| answer.status);
    status.is_ok_and(|status| status < 300)
}

/// Draws where the pieces of an upload end: anywhere in a body, or so that there are all sizes.
fn ends(body: Option<&[u8]>, random: &mut Random) -> Vec<usize> {
    let mut end = 0;
    let mut ends: Vec<_> = (0..2 + random.below(5))
        .map(|_| {
            end += piece(random);
            body.map_or(end, |body| below(random, body.len()))
        })
        .collect();
    ends.extend(body.map(<[u8]>::len));
    ends.sort_unstable();
    ends
}

/// Returns the length of a piece: half are of few bytes, and go with the head of a request.
pub(crate) fn piece(random: &mut Random) -> usize {
    let most = random.pick(&[20, 2_000, 2_000, 70_000, 70_000, LONGEST]);
    usize::try_from(1 + random.below(most)).expect("a small number")
}
