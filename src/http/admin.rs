//! What an admin asks, over the private socket.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::{Node, Problem};
use crate::file::UnixMillis;
use crate::journal::Room;
use crate::peers::Peers;

/// `GET /status`: the node at a glance. Counts are since the start; ages are in seconds.
pub(super) async fn status(node: web::Data<Node>) -> HttpResponse {
    let rooms: Map<String, Value> = Room::ALL
        .into_iter()
        .map(|room| {
            let totals = node.journal.totals(room);
            let value = json!({ "entries": totals.entries, "bytes": totals.bytes });
            (room.name().to_owned(), value)
        })
        .collect();
    let tally = node.tally.snapshot();
    let store = node.health.state();
    HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": node.number,
        "draining": node.drain.is_on(),
        "bodies_on_their_way": node.bodies_on_their_way(),
        "uptime_seconds": age_seconds(node.started),
        "journal": {
            "durability": node.journal.durability().name(),
            "writable": node.journal.check_admission(0).is_ok(),
            "poison": node.journal.poison(),
            "rooms": rooms,
            "corrupt_files": node.journal.corrupt_files().ok(),
            "answers": node.journal.answers(),
            "oldest_pending_seconds": node.journal.oldest_pending().map(age_seconds),
        },
        "commit": {
            "in_flight": node.backlog.in_flight(),
            "width": node.slots.width(),
            "waiting": node.arrivals.waiting_count(),
            "committed_entries": tally.entries,
            "committed_bytes": tally.bytes,
            "committed_entries_last_minute": tally.last_minute,
            "failures": tally.failures,
        },
        "cluster": cluster(&node.peers),
        "mongodb": {
            "state": store.standing.name(),
            "last_seen_seconds": store.seen.map(age_seconds),
            "error": store.error,
        },
    }))
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

/// `POST /hold/retry`: gives every held entry a new start.
pub(super) async fn retry_held(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let node = node.into_inner();
    let retried = web::block(move || {
        let mut retried = Vec::new();
        for id in node.journal.held() {
            if node.journal.retry(id)? {
                node.backlog.push(id, UnixMillis::now());
                retried.push(id);
            }
        }
        Ok::<_, Problem>(retried)
    })
    .await??;
    let ids: Vec<_> = retried.iter().map(ToString::to_string).collect();
    Ok(HttpResponse::Ok().json(json!({ "retried": ids })))
}

pub(super) fn age_seconds(since: SystemTime) -> u64 {
    SystemTime::now()
        .duration_since(since)
        .map_or(0, |age| age.as_secs())
}
