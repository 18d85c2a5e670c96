//! Answers admins, over the private socket.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::snapshot::Snapshot;
use crate::file::age_seconds;
use crate::http::{Node, Problem};
use crate::peers::Obstacle;
use crate::store::IndexState;

/// `GET /status`: the node at a glance. Counts are since the start; ages are in seconds.
pub(super) async fn status(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    // It reads directories, and the threads that serve nginx must not wait for a disk.
    let snapshot = web::block(move || Snapshot::take(&node)).await?;
    Ok(HttpResponse::Ok().json(describe(&snapshot)))
}

fn describe(snapshot: &Snapshot) -> Value {
    let (journal, store) = (&snapshot.journal, &snapshot.store);
    let obstacles = snapshot.obstacles.iter().map(|reason| reason.name());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": snapshot.number,
        "draining": snapshot.is_draining,
        "bodies_on_their_way": journal.spool_bodies,
        "bytes_on_their_way": journal.spool_bytes,
        "uptime_seconds": age_seconds(snapshot.started),
        "uploads": {
            "taken": snapshot.obstacles.is_empty(),
            "refused_for": obstacles.collect::<Vec<_>>(),
            "refused": counts(&snapshot.uploads_refused),
        },
        "tokens_refused": counts(&snapshot.tokens_refused),
        "journal": journal,
        "commit": snapshot.commit,
        "lists": { "waiting": snapshot.waiting_lists },
        "live": { "readers": snapshot.live_readers },
        "cluster": cluster(snapshot),
        "mongodb": {
            "state": store.standing.name(),
            "last_seen_seconds": store.seen.map(age_seconds),
            "error": store.error,
            "indexes": indexes(&snapshot.indexes),
        },
    })
}

fn counts(counts: &[(&'static str, u64)]) -> Map<String, Value> {
    let values = counts.iter();
    values
        .map(|&(name, count)| (name.to_owned(), count.into()))
        .collect()
}

/// Describes the state of the indexes that are built in the background.
fn indexes(states: &[IndexState]) -> Vec<Value> {
    let told = states.iter().map(|index| {
        json!({
            "name": index.name,
            "state": index.standing.name(),
            "done_percent": index.done_percent,
            "error": index.error,
        })
    });
    told.collect()
}

/// The reason why the list of nodes lets this node take no uploads.
fn obstacle(obstacle: &Obstacle) -> &str {
    match obstacle {
        Obstacle::Joins => "other nodes do not know this node yet",
        Obstacle::Taken(words) | Obstacle::Copied(words) | Obstacle::Lost(words) => words,
        Obstacle::Left => "this node was taken out of the list",
    }
}

/// Describes a node by the list of nodes: one that is away still has these files.
fn registered(snapshot: &Snapshot, node: u16) -> Option<Value> {
    let mut records = snapshot.registered.iter();
    let record = records.find(|record| record.number == node)?;
    Some(Value::Object(record.describe()))
}

/// The other nodes, and whether one has this node's number.
fn cluster(snapshot: &Snapshot) -> Value {
    let states = snapshot.peers.iter().map(|(node, url, state)| {
        json!({
            "node": node,
            "url": url,
            "state": if state.is_up() { "up" } else { "down" },
            "last_seen_seconds": state.seen.map(age_seconds),
            "error": state.error,
            "registered": registered(snapshot, *node),
        })
    });
    json!({
        "instance": snapshot.instance,
        "takes_no_uploads": snapshot.obstacle.as_ref().map(obstacle),
        "number_used_twice_by": snapshot.twin.as_ref().map(|twin| json!({
            "instance": twin.instance,
            "seen_in": twin.place,
        })),
        "peers": states.collect::<Vec<_>>(),
    })
}
