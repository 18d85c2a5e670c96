//! The list of nodes: one document for each number, beside the bucket's collections.

use std::time::SystemTime;

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{ReadPreference, ReturnDocument};

use super::{Bucket, error};
use crate::store::{
    LEASE, Leave, NodeLoad, NodeRecord, Registered, Registering, Registry, StoreError,
};

impl Registry for Bucket {
    fn register(
        &self,
        record: NodeRecord,
        why: Registering,
        ended: &[String],
    ) -> BoxFuture<'_, Result<Registered, StoreError>> {
        let nodes = self.list_of_nodes();
        let (journal, number) = (record.journal.clone(), record.number);
        let own = [&[String::new(), record.instance.clone()], ended].concat();
        let change = registration(&record, why, &own);
        let written = self.bounded(async move {
            let change = nodes.find_one_and_update(doc! { "_id": i32::from(number) }, vec![change]);
            let change = change.upsert(true);
            change.return_document(ReturnDocument::Before).await
        });
        async move {
            let before = written.await.map_err(|err| error::of_read(&err))?;
            let before = before.and_then(|before| read(&before)).map(Box::new);
            let Some(before) = before else {
                return Ok(Registered::Ours(None));
            };
            let is_same = before.journal == journal;
            Ok(match before.rescued_by {
                Some(by) => Registered::TakenOver(by),
                None if !is_free(&before, &journal) => Registered::Taken(before),
                None if is_same && before.is_given_up && why != Registering::Added => {
                    Registered::GivenUp
                }
                None if is_same && before.has_left && why == Registering::GoesOn => {
                    Registered::Left
                }
                // The store knows whether that process was there a short while ago.
                None if is_same
                    && !before.has_left
                    && why != Registering::Added
                    && !own.contains(&before.instance) =>
                {
                    let now = self.nodes().await?;
                    let now = now.into_iter().find(|now| now.number == number);
                    let holder = now.filter(|now| now.instance != record.instance);
                    holder.map_or(Registered::Ours(Some(before)), |holder| {
                        Registered::Taken(Box::new(holder))
                    })
                }
                None => Registered::Ours(Some(before)),
            })
        }
        .boxed()
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeRecord>, StoreError>> {
        let nodes = self.list_of_nodes();
        let read = self.bounded(async move {
            // Leases are in this collection, too.
            let found = nodes.find(doc! { "_id": { "$type": "number" } }).await?;
            found.try_collect::<Vec<_>>().await
        });
        async move {
            let found = read.await.map_err(|err| error::of_read(&err))?;
            Ok(found.iter().filter_map(self::read).collect())
        }
        .boxed()
    }

    fn leave(&self, number: u16, step: Leave) -> BoxFuture<'_, Result<bool, StoreError>> {
        let nodes = self.list_of_nodes();
        let mut filter = doc! { "_id": i32::from(number), "left": null };
        if step == Leave::Done {
            let is_empty = doc! { "closed": true, "files": 0, "uploads": 0 };
            let is_rescued = doc! { "rescued_by": { "$exists": true }, "carried": null };
            filter.extend(doc! { "$or": [is_empty, is_rescued] });
        }
        let change = match step {
            Leave::Ask => doc! { "$set": { "leaving": true } },
            Leave::Done => doc! { "$currentDate": { "left": true }, "$unset": { "given_up": "" } },
            Leave::Force => doc! {
                "$currentDate": { "left": true }, "$set": { "given_up": true },
            },
        };
        let changed = self.bounded(async move { nodes.update_one(filter, change).await });
        async move {
            let changed = changed.await.map_err(|err| error::of_read(&err))?;
            Ok(changed.matched_count > 0)
        }
        .boxed()
    }

    fn forget_carried(&self, number: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        let nodes = self.list_of_nodes();
        let filter = doc! { "_id": i32::from(number), "rescued_by": { "$exists": true } };
        let change = doc! { "$unset": { "carried": "" } };
        let changed = self.bounded(async move { nodes.update_one(filter, change).await });
        async move {
            changed.await.map_err(|err| error::of_read(&err))?;
            Ok(())
        }
        .boxed()
    }
}

impl Bucket {
    /// The list is read from the primary, and written with a majority: a node that was registered is there
    /// for all others.
    fn list_of_nodes(&self) -> Collection<Document> {
        let nodes = self.connection.part("nodes", ReadPreference::Primary);
        nodes.clone_with_type()
    }
}

/// Whether a journal may have a number that the list has like this. A version that knew no journals left
/// no name.
fn is_free(before: &NodeRecord, journal: &str) -> bool {
    before.has_left || before.journal.is_empty() || before.journal == journal
}

/// The stage that writes a record if its journal may have the number, as [`is_free`] tells, and no process
/// but these has it.
fn registration(record: &NodeRecord, why: Registering, own: &[String]) -> Document {
    let is_ours = doc! { "$eq": ["$journal", { "$literal": &record.journal }] };
    let has_left = doc! { "$eq": [{ "$type": "$left" }, "date"] };
    let has_no_journal = doc! { "$eq": [{ "$type": "$journal" }, "missing"] };
    let is_given_up = doc! { "$and": [&is_ours, { "$eq": ["$given_up", true] }] };
    let may_return = match why {
        Registering::GoesOn => doc! { "$not": &is_ours }.into(),
        Registering::Starts => doc! { "$not": &is_given_up }.into(),
        Registering::HasFiles | Registering::Added => Bson::Boolean(true),
    };
    let instance = doc! { "$ifNull": ["$instance", ""] };
    let is_own = doc! { "$in": [instance, { "$literal": own }] };
    let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    let lapsed = doc! { "$lt": ["$seen", { "$subtract": ["$$NOW", lease] }] };
    // An admin does not ask who serves it.
    let is_served_here = doc! { "$or": [is_own, lapsed, why == Registering::Added] };
    let is_nobodys = doc! { "$eq": [{ "$type": "$rescued_by" }, "missing"] };
    let may = doc! { "$and": [is_nobodys, { "$or": [
        has_no_journal,
        { "$and": [&is_ours, { "$not": &has_left }, is_served_here] },
        { "$and": [&has_left, may_return] },
    ] }] };
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let load = record.load;
    let text = |text: &str| doc! { "$literal": text };
    let mut written = doc! {
        "journal": text(&record.journal),
        "instance": text(&record.instance),
        "address": text(&record.address),
        "signature": text(&record.signature),
        "version": text(&record.version),
        "seen": "$$NOW",
        "files": number(load.files),
        "bytes": number(load.bytes),
        "oldest": load.oldest.map(DateTime::from_system_time),
        "uploads": number(load.open_uploads),
        "closed": load.is_closed,
        "knows_left": record.knows_left.map(DateTime::from_system_time),
        "left": null,
        "given_up": false,
    };
    // Other nodes know the keys of this journal alone, and only while it stays in the list.
    let stays = doc! { "$and": [&is_ours, { "$not": &has_left }] };
    let carried = match record.carried.as_slice() {
        [] => doc! { "$cond": [stays, "$carried", null] }.into(),
        carried => Bson::Array(carried.iter().map(|&node| i32::from(node).into()).collect()),
    };
    written.insert("carried", carried);
    // An admin's words stay until the node begins anew, or until the admin takes them back.
    if why != Registering::GoesOn {
        written.insert("leaving", false);
    }
    if why != Registering::Added {
        written.insert("given_up", is_given_up);
    }
    // Other fields are those of deletes and of rescues.
    let merged = doc! { "$mergeObjects": ["$$ROOT", written] };
    doc! { "$replaceWith": { "$cond": [may, merged, "$$ROOT"] } }
}

/// Reads a document of the list; `None` if it is none.
fn read(document: &Document) -> Option<NodeRecord> {
    let text = |name: &str| document.get_str(name).unwrap_or_default().to_owned();
    let time = |name: &str| -> Option<SystemTime> {
        document
            .get_datetime(name)
            .ok()
            .map(|time| time.to_system_time())
    };
    let number = |name: &str| match document.get(name) {
        Some(Bson::Int32(number)) => u64::try_from(*number).unwrap_or_default(),
        Some(Bson::Int64(number)) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    };
    let carried = document.get_array("carried").into_iter().flatten();
    let carried = carried.filter_map(|node| u16::try_from(node.as_i32()?).ok());
    let is_set = |name: &str| document.get_bool(name).unwrap_or(false);
    Some(NodeRecord {
        number: u16::try_from(number("_id"))
            .ok()
            .filter(|&number| number > 0)?,
        journal: text("journal"),
        instance: text("instance"),
        address: text("address"),
        signature: text("signature"),
        version: text("version"),
        seen: time("seen"),
        load: NodeLoad {
            files: number("files"),
            bytes: number("bytes"),
            oldest: time("oldest"),
            open_uploads: number("uploads"),
            is_closed: is_set("closed"),
        },
        is_leaving: is_set("leaving"),
        has_left: time("left").is_some(),
        left_at: time("left"),
        knows_left: time("knows_left"),
        is_given_up: is_set("given_up"),
        rescued_by: u16::try_from(number("rescued_by"))
            .ok()
            .filter(|&by| by > 0),
        carried: carried.collect(),
    })
}
