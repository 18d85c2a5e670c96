//! Looks after the list of nodes.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{UpkeepError, in_bucket};
use crate::bucket::Bucket;
use crate::config::{Config, NodeOrder};
use crate::file::age_seconds;
use crate::journal::{Journal, LocalDisk};
use crate::peers::Peers;
use crate::store::{Leave, NodeLoad, NodeRecord, Registered, Registering, Registry as _};

/// The pause between two looks at a node that leaves.
const PAUSE: Duration = Duration::from_secs(1);

/// A node that has told nothing for this long is away.
const AWAY: Duration = Duration::from_secs(30);

/// Carries out an order. Returns the number of faults, which is 0.
///
/// # Errors
/// [`UpkeepError`].
pub async fn nodes(
    config: &Config,
    order: &NodeOrder,
    out: &mut dyn Write,
) -> Result<u64, UpkeepError> {
    let text = in_bucket(config, async |bucket| {
        carry_out(config, bucket, order).await
    });
    out.write_all(text.await?.as_bytes())
        .map_err(UpkeepError::Output)?;
    Ok(0)
}

async fn carry_out(
    config: &Config,
    bucket: &Bucket,
    order: &NodeOrder,
) -> Result<String, UpkeepError> {
    Ok(match *order {
        NodeOrder::List { is_json } => list(bucket, is_json).await?,
        NodeOrder::Add => add(config, bucket).await?,
        NodeOrder::Remove {
            number,
            is_forced: true,
        } => {
            if !bucket.leave(number, Leave::Force).await? {
                return Err(absent(number));
            }
            format!("node {number} is out of the list\n")
        }
        NodeOrder::Remove { number, .. } => {
            remove(bucket, number).await?;
            format!("node {number} is out of the list, and may be switched off\n")
        }
    })
}

async fn list(bucket: &Bucket, is_json: bool) -> Result<String, UpkeepError> {
    let mut records = bucket.nodes().await?;
    records.retain(|record| !record.has_left);
    records.sort_by_key(|record| record.number);
    let lines = records.iter().map(|record| {
        if is_json {
            describe(record).to_string()
        } else {
            line(record)
        }
    });
    let title = if is_json {
        None
    } else {
        Some("node seen address files bytes oldest uploads version instance".to_owned())
    };
    let lines: Vec<_> = title.into_iter().chain(lines).collect();
    Ok(lines.join("\n") + "\n")
}

fn age(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{}s", age_seconds(time)))
}

fn line(record: &NodeRecord) -> String {
    let or_none = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let load = record.load;
    [
        record.number.to_string(),
        age(record.seen),
        or_none(&record.address),
        load.files.to_string(),
        load.bytes.to_string(),
        age(load.oldest),
        load.open_uploads.to_string(),
        or_none(&record.version),
        or_none(&record.instance),
    ]
    .join(" ")
}

fn describe(record: &NodeRecord) -> Value {
    let mut told = record.describe();
    for (name, value) in [
        ("node", json!(record.number)),
        ("journal", json!(record.journal)),
        ("address", json!(record.address)),
    ] {
        told.insert(name.to_owned(), value);
    }
    Value::Object(told)
}

/// Puts this machine's node into the list, unless its number belongs to another journal.
async fn add(config: &Config, bucket: &Bucket) -> Result<String, UpkeepError> {
    let peers = Peers::new(config.journal.node, &config.cluster);
    let peers = peers.map_err(|err| UpkeepError::Nodes(format!("peer_key: {err}")))?;
    let journal = Journal::identity(&config.data_dir, &LocalDisk)?;
    let before = bucket.nodes().await?;
    let number = config.journal.node;
    let known = before.into_iter().find(|record| record.number == number);
    if known.is_some_and(|known| {
        known.journal == journal
            && !known.has_left
            && !known.is_given_up
            && known.rescued_by.is_none()
    }) {
        return Ok(format!("node {number} is in the list\n"));
    }
    let record = NodeRecord {
        // This process serves no journal.
        instance: String::new(),
        ..peers.record(&journal)
    };
    let address = record.address.clone();
    match bucket.register(record, Registering::Added, &[]).await? {
        Registered::Taken(holder) => Err(UpkeepError::Nodes(format!(
            "number {number} belongs to another node: {}. Give this one another `node`",
            line(&holder)
        ))),
        Registered::TakenOver(by) => Err(UpkeepError::Nodes(format!(
            "node {by} has taken over the files of number {number}: give this node a number that no node had"
        ))),
        Registered::Ours(_) | Registered::Left | Registered::GivenUp if address.is_empty() => Ok(
            format!("node {number} is in the list without an address: `advertise` is not set\n"),
        ),
        Registered::Ours(_) | Registered::Left | Registered::GivenUp => {
            Ok(format!("node {number} is in the list, at {address}\n"))
        }
    }
}

/// Has a node take no more files, waits until nothing is left there, takes it out, and waits until the others
/// know that.
async fn remove(bucket: &Bucket, number: u16) -> Result<(), UpkeepError> {
    if !bucket.leave(number, Leave::Ask).await? {
        return Err(absent(number));
    }
    let mut told = String::new();
    loop {
        let waits_for = match look_at_leaving(bucket, number).await {
            Ok(None) => return wait_for_others(bucket, number).await,
            Ok(Some(waits_for)) => format!("it has {waits_for}"),
            // The node has the admin's word, and goes on with its work.
            Err(UpkeepError::Store(err)) => err.to_string(),
            Err(err) => return Err(err),
        };
        if told != waits_for {
            log::info!("waiting for node {number}: {waits_for}");
            told = waits_for;
        }
        sleep(PAUSE).await;
    }
}

/// Takes a node out that was asked to leave, if nothing is left there. Returns what it still has; `None` if it is out.
async fn look_at_leaving(bucket: &Bucket, number: u16) -> Result<Option<String>, UpkeepError> {
    if bucket.leave(number, Leave::Done).await? {
        return Ok(None);
    }
    let records = bucket.nodes().await?;
    let record = records.iter().find(|record| record.number == number);
    let record = record.ok_or_else(|| absent(number))?;
    if record.has_left {
        return Ok(None);
    }
    if !record.is_leaving {
        log::info!("node {number} has begun anew: it is asked once more to take no uploads");
        bucket.leave(number, Leave::Ask).await?;
    }
    let counts_on_it = |other: &&NodeRecord| {
        !other.has_left && other.number != number && other.carried.contains(&number)
    };
    let others = records.iter().filter(counts_on_it);
    let others: Vec<_> = others.map(|other| other.number).collect();
    let NodeLoad {
        files,
        bytes,
        open_uploads,
        ..
    } = record.load;
    if let Some(by) = record.rescued_by {
        return Ok(Some(format!(
            "keys that node {by}, which has taken it over, has not carried to all others"
        )));
    }
    let waits_for = if files + open_uploads > 0 {
        format!("{files} files ({bytes} bytes) and {open_uploads} uploads that may still grow")
    } else if others.is_empty() {
        "no files. It may still get an upload that a balancer was promised a minute ago, or have answers to keys \
         that no other node has taken over"
            .to_owned()
    } else {
        format!("no files, and is a witness of keys that the nodes {others:?} have not carried on")
    };
    if is_away(record) {
        return Err(UpkeepError::Nodes(format!(
            "node {number} is away, last seen {} ago, with {waits_for}. Start it, so that its files get into \
             MongoDB; or give them up with --force",
            age(record.seen)
        )));
    }
    Ok(Some(waits_for))
}

/// Waits until no node asks one any more that has left: an id without a file would be a `503` there, and no `404`.
async fn wait_for_others(bucket: &Bucket, number: u16) -> Result<(), UpkeepError> {
    let deadline = Instant::now() + AWAY;
    loop {
        let unaware = bucket.nodes().await.map(|all| unaware_of(number, &all));
        let is_over = Instant::now() > deadline;
        match unaware {
            Ok(unaware) if unaware.is_empty() => return Ok(()),
            Ok(unaware) if is_over => {
                log::warn!("these nodes have not told that they know of it: {unaware:?}");
                return Ok(());
            }
            Err(err) if is_over => return Err(err.into()),
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
}

/// The nodes that may still ask one that has left.
fn unaware_of(number: u16, records: &[NodeRecord]) -> Vec<u16> {
    let left = records.iter().find(|record| record.number == number);
    let left_at = left.and_then(|record| record.left_at);
    let unaware = records.iter().filter(|record| {
        let is_here = !record.has_left && !is_away(record);
        is_here && record.knows_left < left_at
    });
    unaware.map(|record| record.number).collect()
}

/// Whether a node has told nothing for long.
fn is_away(record: &NodeRecord) -> bool {
    let seen = record.seen;
    seen.is_none_or(|seen| seen.elapsed().is_ok_and(|age| age > AWAY))
}

fn absent(number: u16) -> UpkeepError {
    UpkeepError::Nodes(format!("the list has no node {number}"))
}
