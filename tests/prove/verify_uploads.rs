//! Checks uploads in pieces, without faults: those that clients left unfinished are taken up again, and all
//! answers are the ones that were given before.

use std::sync::atomic::Ordering;

use kit::Client;

use crate::ledger::{Ledger, State};
use crate::pieces::{Pieces, Told};
use crate::request::Request;
use crate::tally::Tally;
use crate::verify::side_by_side;
use crate::ways::Ways;
use crate::whole::Whole;

/// The appends until an upload must be complete. The rest of a broken body may grow it meanwhile.
const MOST_APPENDS: usize = 5;

/// Completes the uploads that may grow, and ends those whose end was not answered. Afterwards none may
/// grow.
pub(crate) fn finish(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    let mut open = ledger.pieces();
    open.retain(|(_, state)| *state == State::Unknown);
    side_by_side(&open, |(pieces, _)| {
        let finished = if pieces.is_ending {
            end(ways.any(), pieces).map(|()| ledger.end(pieces))
        } else {
            let mut pieces = pieces.clone();
            let client = pieces.home.map_or(ways.any(), |home| ways.at(home));
            complete(client, &mut pieces, |pieces| ledger.set_pieces(pieces)).map(|()| {
                tally.complete(ledger, &pieces);
            })
        };
        if let Err(what) = finished {
            tally.violate(&what);
        }
    });
    join(ways, ledger, tally);
}

/// Makes the files whose parts were on their way, and ends all parts.
fn join(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    side_by_side(&ledger.joined(), |(joined, state)| {
        let mut joined = joined.clone();
        if *state == State::Unknown {
            for part in &mut joined.parts {
                if let Err(what) = complete(ways.at(joined.home), part, |_| {}) {
                    return tally.violate(&what);
                }
            }
            ledger.set_joined(&joined);
            match joined.put_together(ways.at(joined.home)) {
                (Ok(Some(id)), _) => {
                    ledger.set(joined.key, State::Promised(id));
                    tally.promises.fetch_add(1, Ordering::Relaxed);
                    tally.joined.fetch_add(1, Ordering::Relaxed);
                }
                (_, words) => tally.violate(&words),
            }
        }
        for part in &joined.parts {
            if let Err(what) = end(ways.any(), part) {
                tally.violate(&what);
            }
        }
    });
}

fn end(client: &Client, pieces: &Pieces) -> Result<(), String> {
    match pieces.end(client) {
        Ok(answer) if [204, 404, 410].contains(&answer.status) => Ok(()),
        answer => Err(format!("{pieces:?} was ended again: {answer:?}")),
    }
}

/// Completes an upload.
fn complete(client: &Client, pieces: &mut Pieces, note: impl Fn(&Pieces)) -> Result<(), String> {
    let mut answer = match (&pieces.id, pieces.home) {
        (Some(_), _) => pieces.ask(client),
        (None, None) => pieces.begin(client, 0),
        (None, Some(_)) => {
            let answer = pieces.ask_by_key(client);
            if Pieces::is_nothing(&answer) {
                return match pieces.put(client) {
                    Ok(answer) if answer.status == 201 => {
                        pieces.hear_whole(&answer);
                        Ok(())
                    }
                    answer => Err(format!("{pieces:?} was sent whole: {answer:?}")),
                };
            }
            answer
        }
    };
    for _ in 0..MOST_APPENDS {
        let told = pieces.hear(pieces.told, &answer)?;
        note(pieces);
        match told {
            Told::Complete if pieces.is_known() => return Ok(()),
            Told::Complete | Told::Open(_) => answer = pieces.append(client, pieces.length),
            Told::Nothing if pieces.id.is_some() => answer = pieces.ask(client),
            Told::Gone | Told::Nothing => break,
        }
    }
    Err(format!("{pieces:?} was taken up again: {answer:?}"))
}

/// Asks again about uploads that are complete or have ended. The answers are the same, even after the
/// journal has forgotten the entry.
pub(crate) fn answer_again(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    side_by_side(&ledger.pieces(), |(pieces, state)| {
        let wrong = |what: &str, answer| {
            tally.violate(&format!("{pieces:?} {state:?}: {what}: {answer:?}"));
        };
        let is_there = match state {
            State::Promised(_) => true,
            // An upload that became something else tells so even after that was deleted; of a deleted
            // message no answer tells the parts.
            State::Deleted(_) if pieces.is_ending || !pieces.whole.is_made() => false,
            State::Deleted(_) if matches!(pieces.whole, Whole::Form(_)) => true,
            State::Deleted(_) | State::Unknown | State::Deleting(_) => return,
        };
        if !is_there {
            let answer = ways.ask_until_sure(|client| pieces.ask(client));
            let status = answer.as_ref().map(|answer| answer.status);
            if !matches!(status, Ok(404 | 410)) {
                wrong("asked", answer);
            }
            return;
        }
        for (what, answer) in [
            ("asked", ways.ask_until_sure(|client| pieces.ask(client))),
            (
                "completed again",
                ways.ask_until_sure(|client| pieces.append(client, pieces.length)),
            ),
            match pieces.home {
                None => (
                    "begun again",
                    ways.ask_until_sure(|client| pieces.begin(client, 0)),
                ),
                Some(_) => (
                    "sent again",
                    ways.ask_until_sure(|client| pieces.put(client)),
                ),
            },
        ] {
            if what == "sent again" {
                let id = answer.as_ref().ok().filter(|answer| answer.status == 201);
                let id = id.map(|answer| Request::ids(answer).remove(0));
                if id != pieces.id {
                    wrong(what, answer);
                }
                continue;
            }
            let told = pieces.clone().hear(pieces.length, &answer);
            // tus does not tell the length with the beginning.
            let is_right = match told {
                Ok(Told::Complete) => true,
                Ok(Told::Open(_)) => what == "begun again",
                _ => false,
            };
            let is_taken = answer.as_ref().is_ok_and(|answer| answer.status < 300);
            if !(is_right && is_taken) {
                wrong(what, answer);
            }
        }
    });
    let mut joined = ledger.joined();
    joined.retain(|(_, state)| matches!(state, State::Promised(_)));
    side_by_side(&joined, |(joined, state)| {
        let (again, words) = joined.put_together(ways.at(joined.home));
        let is_same = again.is_ok_and(|id| id.as_deref() == state.id());
        if !is_same {
            tally.violate(&format!("{state:?} was put together again: {words}"));
        }
    });
}
