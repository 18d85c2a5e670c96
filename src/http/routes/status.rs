//! Questions of admins, over the private socket.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::http::problem::Reason;
use crate::http::{Node, Problem};
use crate::journal::{Free, Mark, Room};
use crate::peers::Peers;

/// `GET /status`: the node at a glance. Counts are since the start; ages are in seconds.
pub(super) async fn status(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    // Directories are read, and the threads that speak with nginx must not wait for a disk.
    let node = node.into_inner();
    Ok(HttpResponse::Ok().json(web::block(move || describe(&node)).await?))
}

fn describe(node: &Node) -> Value {
    let rooms: Map<String, Value> = Room::ALL
        .into_iter()
        .map(|room| {
            let totals = node.journal.totals(room);
            let value = json!({ "entries": totals.entries, "bytes": totals.bytes });
            (room.name().to_owned(), value)
        })
        .collect();
    let store = node.commits.store_state();
    let obstacles = obstacles(node);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": node.number,
        "draining": node.drain.is_on(),
        "bodies_on_their_way": node.bodies_on_their_way(),
        "bytes_on_their_way": node.journal.spooled_bytes().ok(),
        "uptime_seconds": age_seconds(node.started),
        "uploads": {
            "taken": obstacles.is_empty(),
            "refused_for": obstacles.iter().map(|reason| reason.name()).collect::<Vec<_>>(),
            "refused": counts(node.access.refusals.uploads()),
        },
        "tokens_refused": counts(node.access.refusals.tokens()),
        "journal": {
            "durability": node.journal.durability().name(),
            "writable": node.journal.check_admission(0).is_ok(),
            "poison": node.journal.poison(),
            "marks": marks(node),
            "rooms": rooms,
            "damage": node.journal.damage(),
            "corrupt_files": node.journal.corrupt_files().ok(),
            "answers": node.journal.answers_kept(),
            "oldest_pending_seconds": node.journal.oldest_pending().map(age_seconds),
        },
        "commit": node.commits.figures(),
        "cluster": cluster(&node.peers),
        "mongodb": {
            "state": store.standing.name(),
            "last_seen_seconds": store.seen.map(age_seconds),
            "error": store.error,
        },
    })
}

/// The reasons for which every upload is refused just now.
pub(in crate::http) fn obstacles(node: &Node) -> Vec<Reason> {
    let mut found = Vec::new();
    if node.drain.is_on() {
        found.push(Reason::Drain);
    }
    if node.journal.poison().is_some() {
        found.push(Reason::Poison);
    }
    let free = node.journal.free().and_then(|free| {
        let coming = node.journal.spooled_bytes()?;
        let bytes = free.bytes.saturating_sub(coming);
        Ok(Free { bytes, ..free })
    });
    match free {
        Ok(free) => {
            let reached = node.journal.levels(free).into_iter();
            found.extend(reached.filter(|level| level.is_reached()).map(Reason::from));
        }
        Err(_) => found.push(Reason::Fault),
    }
    found.dedup();
    found
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    let values = counts.map(|(name, count)| (name.to_owned(), count.into()));
    values.collect()
}

/// The level of each thing that has a mark, and the mark; `null` if the disk does not tell.
fn marks(node: &Node) -> Option<Map<String, Value>> {
    let levels = node.journal.levels(node.journal.free().ok()?);
    let values = levels.map(|level| {
        let bound = match level.mark {
            Mark::FreeBytes | Mark::FreeInodes => "least",
            Mark::PendingBytes | Mark::PendingEntries => "most",
        };
        // Where the file system sets no limit there is no number.
        let now = Some(level.now).filter(|&now| now < u64::MAX);
        let value = json!({ "now": now, bound: level.limit });
        (level.mark.name().to_owned(), value)
    });
    Some(values.into_iter().collect())
}

/// The other nodes, and whether one has this node's number.
fn cluster(peers: &Peers) -> Value {
    let states: Vec<_> = peers
        .states()
        .into_iter()
        .map(|(node, url, state)| {
            json!({
                "node": node,
                "url": url,
                "state": if state.is_up { "up" } else { "down" },
                "last_seen_seconds": state.seen.map(age_seconds),
                "error": state.error,
            })
        })
        .collect();
    let twin = peers.twin();
    json!({
        "instance": peers.instance(),
        "number_used_twice_by": twin.map(|twin| json!({
            "instance": twin.instance,
            "seen_in": twin.place,
        })),
        "peers": states,
    })
}

impl Node {
    /// Bodies that nginx has not passed on yet, or is about to clear away.
    pub(super) fn bodies_on_their_way(&self) -> usize {
        std::fs::read_dir(self.journal.layout().spool()).map_or(0, Iterator::count)
    }
}

pub(super) fn age_seconds(since: SystemTime) -> u64 {
    SystemTime::now()
        .duration_since(since)
        .map_or(0, |age| age.as_secs())
}
