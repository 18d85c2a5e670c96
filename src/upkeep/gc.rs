//! Removes chunks that belong to no file, and links to lost messages.

use super::lost_links::{lost_links, require_no_other_journal};
use super::{Event, Listener, Phase, Progress, UpkeepError, in_bucket, orphan, sort};
use crate::bucket::{Bucket, Removal};
use crate::config::{Config, GcOrder};
use crate::journal::Inspection;
use crate::journal::inspection::KnownIds;

/// Walks through all chunks and reports those that were left behind. Removes them if that was asked
/// for.
///
/// Chunks count as left behind if all of this is true:
/// - a majority has no file document with their id;
/// - the journal of this node has nothing of that id;
/// - the times in the id and in each of the chunks are older than the limit: younger chunks may be in
///   the journal of another node, or on their way from another driver.
///
/// A commit that begins meanwhile is safe: see [`Bucket::remove_orphan`].
///
/// If the order names a node, links to its lost messages come first: see `lost_links`.
///
/// # Errors
/// [`UpkeepError`]; removals up to then remain.
pub async fn gc(
    config: &Config,
    order: &GcOrder,
    tell: Listener<'_>,
) -> Result<Progress, UpkeepError> {
    let mut journal = KnownIds::new(Inspection::of(&config.data_dir)?);
    in_bucket(config, async |bucket| {
        collect(config, bucket, &mut journal, order, tell).await
    })
    .await
}

async fn collect(
    config: &Config,
    bucket: &Bucket,
    journal: &mut KnownIds,
    order: &GcOrder,
    tell: Listener<'_>,
) -> Result<Progress, UpkeepError> {
    let mut progress = Progress {
        phase: Phase::Chunks,
        ..Progress::default()
    };
    if let Some(node) = order.lost_messages_of {
        require_no_other_journal(config, bucket, node).await?;
        lost_links(bucket, journal, node, order, &mut progress, tell).await?;
    }
    let mut place = None;
    loop {
        let page = bucket.list_orphans(place.as_ref()).await?;
        progress.chunks += page.chunks;
        let sorted = sort(page.orphans, journal, order.older_than, order.takes_foreign)?;
        if sorted.is_log_damaged {
            return Err(UpkeepError::DamagedLog);
        }
        progress.waiting += sorted.waiting;
        for found in &sorted.stray {
            if order.is_removing {
                match bucket.remove_orphan(found).await? {
                    Removal::Removed => progress.removed += 1,
                    Removal::Taken => {
                        progress.waiting += 1;
                        continue;
                    }
                }
            }
            progress.orphans += 1;
            tell(Event::Found(&orphan(found)));
        }
        tell(Event::Reached(&progress));
        match page.next {
            Some(next) => place = Some(next),
            None => return Ok(progress),
        }
    }
}
