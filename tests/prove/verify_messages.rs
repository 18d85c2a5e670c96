//! Checks all messages, without faults and without clients: each promised message is whole, in the
//! bucket and in the list of its receiver; and nothing of any other message is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kit::Mongo;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::ledger::{Ledger, Message, State};
use crate::messages::Follower;
use crate::tally::Tally;
use crate::verify::side_by_side;
use crate::ways::{ROUTES, Ways};

/// The longest time until deleted messages are gone, and until lists have committed ones.
const BOUND: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(100);

/// The number of messages that stay from round to round.
const KEPT: usize = 10;

/// Sends messages without an answer again, and repeats the deletes without one.
pub(crate) fn settle(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    side_by_side(&ledger.messages(), |message| match &message.state {
        State::Unknown => match message.send(ways.any()) {
            Ok(answer) if answer.status == 201 => {
                let promised = message.promised(&answer);
                ledger.set_message(promised);
                tally
                    .promises
                    .fetch_add(1 + message.parts.len(), Ordering::Relaxed);
            }
            Ok(answer) if message.is_excused(ledger, answer.status) && answer.status != 503 => {
                ledger.forget_message(message.key);
            }
            answer => tally.violate(&format!("{message:?} was sent again: {answer:?}")),
        },
        State::Deleting(_) => delete(ways, ledger, tally, message),
        State::Promised(_) | State::Deleted(_) => {}
    });
}

fn delete(ways: &Ways, ledger: &Ledger, tally: &Tally, message: &Message) {
    let id = message.state.id().expect("it was promised").to_owned();
    match ways
        .any()
        .try_ask("DELETE", &format!("/messages/{id}"), &[])
    {
        Ok(answer) if [204, 404, 410].contains(&answer.status) => {
            ledger.set_message(Message {
                state: State::Deleted(id),
                ..message.clone()
            });
        }
        answer => tally.violate(&format!("{message:?} was deleted again: {answer:?}")),
    }
}

/// Reads each message as a client does. A deleted message is on no route.
pub(crate) fn over_http(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    side_by_side(&ledger.messages(), |message| {
        if matches!(message.state, State::Promised(_)) {
            if let Some(fault) = message.fault(ways.any()) {
                tally.violate(&format!("{message:?}: {fault}"));
            }
            tally.verified.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Some(id) = message.state.id() else {
            return;
        };
        let parts = (0..=message.parts.len()).map(|number| match number {
            0 => format!("/messages/{id}"),
            _ => format!("/messages/{id}/{number}"),
        });
        for path in parts {
            if !is_gone(ways, &path) {
                tally.violate(&format!("{message:?} was deleted, and {path} is there"));
            }
        }
    });
}

/// Checks that files are gone from every route within a bounded time after their last message.
pub(crate) fn are_gone(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    let is_deleted = |message: &Message| matches!(message.state, State::Deleted(_));
    let (deleted, others): (Vec<_>, Vec<_>) = ledger.messages().into_iter().partition(is_deleted);
    let linked: BTreeSet<_> = others.iter().flat_map(|one| &one.part_ids).collect();
    let parts = deleted.iter().flat_map(|message| &message.part_ids);
    let parts: Vec<_> = parts.filter(|part| !linked.contains(part)).collect();
    side_by_side(&parts, |part| {
        let begun = Instant::now();
        while !is_gone(ways, &format!("/files/{part}")) {
            if begun.elapsed() > ROUTES {
                return tally.violate(&format!("the part {part} outlives its message"));
            }
            std::thread::sleep(PAUSE);
        }
    });
}

fn is_gone(ways: &Ways, path: &str) -> bool {
    let answer = ways.ask_for_deleted(path);
    answer.is_ok_and(|answer| [404, 410].contains(&answer.status))
}

/// A reader that has followed a list has seen all of it once. The list has the waiting messages and
/// nothing else.
pub(crate) fn in_the_lists(
    ways: &Ways,
    ledger: &Ledger,
    followers: &mut [Follower],
    tally: &Tally,
) {
    let promised: Vec<_> = ledger.messages();
    let is_promised = |message: &&Message| matches!(message.state, State::Promised(_));
    for (receiver, follower) in followers.iter_mut().enumerate() {
        let to_this = promised.iter().filter(|message| message.to == receiver);
        let expected: BTreeSet<_> = to_this
            .filter(is_promised)
            .filter_map(|message| message.state.id())
            .collect();
        let begun = Instant::now();
        loop {
            if let Err(Some(fault)) = follower.step(ways.any()) {
                tally.violate(&fault);
            }
            let mut missed = expected.iter().filter(|id| !follower.has_seen(id));
            match missed.next() {
                None => break,
                Some(missed) if begun.elapsed() > BOUND => {
                    let words = format!("{missed} was missed by {follower:?}");
                    return tally.violate(&words);
                }
                Some(_) => std::thread::sleep(PAUSE),
            }
        }
        let listed = follower.all(ways.any());
        let mut listed = listed.unwrap_or_default();
        listed.sort();
        if !listed
            .iter()
            .map(String::as_str)
            .eq(expected.iter().copied())
        {
            let words = format!("receiver {receiver} has {listed:?}, and not {expected:?}");
            tally.violate(&words);
        }
    }
}

/// Checks the messages in MongoDB, without the sidecar. Promised deletes end in a bounded time.
pub(crate) fn in_the_bucket(mongo: &Mongo, ledger: &Ledger, tally: &Tally) {
    let mut expected: BTreeMap<String, Described> = BTreeMap::new();
    for message in ledger.messages() {
        if let State::Promised(id) = &message.state {
            expected.insert(id.clone(), Described::default());
            for (part, (key, _)) in message.part_ids.iter().zip(&message.parts) {
                let part = expected.entry(part.clone()).or_default();
                part.name = key.to_string();
                part.links.insert(id.clone());
            }
        }
    }
    let begun = Instant::now();
    loop {
        let files = mongo.find("fs.files", doc! { "metadata.message": { "$exists": true } });
        let open = mongo.find("fs.gone", doc! { "cleared": false });
        let found: BTreeMap<_, _> = files.iter().map(described).collect();
        if found == expected && open.is_empty() {
            return;
        }
        if begun.elapsed() > BOUND {
            let left = found.iter().filter(|file| !expected.contains_key(file.0));
            let lost = expected.iter().filter(|file| !found.contains_key(file.0));
            let (left, lost): (Vec<_>, Vec<_>) = (left.collect(), lost.collect());
            return tally.violate(&format!(
                "the bucket lacks {lost:?}, and has {left:?} and open tombstones {open:?}"
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The fields of a part's document; a package has none of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    name: String,
    links: BTreeSet<String>,
}

fn described(file: &Document) -> (String, Described) {
    let id = file.get_object_id("_id").expect("one of ours");
    let metadata = file.get_document("metadata").expect("it has a message");
    if metadata.get_object_id("message").ok() == Some(id) {
        return (id.to_hex(), Described::default());
    }
    let links = metadata.get_array("links").map_or(&[][..], Vec::as_slice);
    let links = links.iter().filter_map(Bson::as_object_id);
    let described = Described {
        name: file.get_str("filename").unwrap_or_default().to_owned(),
        links: links.map(ObjectId::to_hex).collect(),
    };
    (id.to_hex(), described)
}

/// Deletes most messages, so that a long run stays small. The next check sees that they are gone.
pub(crate) fn forget(ways: &Ways, ledger: &Ledger, tally: &Tally) {
    let (promised, others): (Vec<_>, Vec<_>) = ledger
        .messages()
        .into_iter()
        .partition(|message| matches!(message.state, State::Promised(_)));
    for message in others {
        ledger.forget_message(message.key);
    }
    side_by_side(promised.get(KEPT..).unwrap_or_default(), |message| {
        delete(ways, ledger, tally, message);
    });
}
