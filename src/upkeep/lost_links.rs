//! Finds links to lost messages, and removes them on request.

use super::{Event, Finding, Kind, Listener, Progress, UpkeepError, is_old};
use crate::bucket::{Bucket, LostLink};
use crate::config::{Config, GcOrder};
use crate::journal::inspection::KnownIds;
use crate::journal::{Journal, LocalDisk};
use crate::store::Registry as _;

/// Refuses a number whose messages may wait in a journal that is not looked into: only the journal of this
/// machine is, so another one must have been emptied, given up, or taken over by this node.
///
/// # Errors
/// `Nodes`, which tells where to run this; [`UpkeepError`].
pub(super) async fn require_no_other_journal(
    config: &Config,
    bucket: &Bucket,
    node: u16,
) -> Result<(), UpkeepError> {
    let own = config.journal.node;
    let listed = bucket.nodes().await?;
    let listed = listed.into_iter().find(|record| record.number == node);
    let reason = match listed {
        None if node == own => return Ok(()),
        None => "is not in the list of nodes. Run this on it".to_owned(),
        Some(record) => match record.rescued_by {
            Some(by) if by == own => return Ok(()),
            Some(by) => format!("was taken over by node {by}. Run this there"),
            None if record.has_left => return Ok(()),
            None if node != own => format!(
                "is in the list, and messages may wait in its journal. Run this on it; if it is lost, after \
                 `scripts/rescue` on the node that has rescued it, or after `scripts/node remove {node} --force`"
            ),
            None => {
                let journal = Journal::identity(&config.data_dir, &LocalDisk)?;
                if record.journal.is_empty() || record.journal == journal {
                    return Ok(());
                }
                "has another journal than that of this machine. Run this on it".to_owned()
            }
        },
    };
    let message = format!("--lost-messages-of {node}: node {node} {reason}");
    Err(UpkeepError::Nodes(message))
}

/// Walks through all files, the oldest first, and reports links to lost messages of one node.
/// Removes them if that was asked for. A file goes with its last link.
///
/// A message counts as lost if all of this is true:
/// - a majority has no package of it;
/// - its id has this number, and the journal of this node has nothing of it: a message of another node may
///   wait in that node's journal, for however long that node is away, so such a number is refused before;
/// - the time in its id is older than the limit.
///
/// # Errors
/// [`UpkeepError`]; removals up to then remain.
pub(super) async fn lost_links(
    bucket: &Bucket,
    journal: &mut KnownIds,
    node: u16,
    order: &GcOrder,
    progress: &mut Progress,
    tell: Listener<'_>,
) -> Result<(), UpkeepError> {
    let mut place = None;
    loop {
        let page = bucket.list_lost_links(place.as_ref()).await?;
        let mut lost = page.lost;
        lost.retain(|link| {
            link.message.node() == node && is_old(link.message.made_at(), order.older_than)
        });
        let asked = lost.iter().map(|link| link.message);
        let asked: Vec<_> = asked.map(|id| (id, Some(id.made_at()))).collect();
        // The page is older than this reading, so a message that was committed in between is in one
        // of them, or is found before its link is removed.
        let known = journal.among(&asked)?.ok_or(UpkeepError::DamagedLog)?;
        for link in lost
            .into_iter()
            .filter(|link| !known.contains(&link.message))
        {
            if order.is_removing {
                if !bucket.remove_lost_link(link).await? {
                    continue;
                }
                progress.removed += 1;
            }
            progress.lost_links += 1;
            tell(Event::Found(&finding(link)));
        }
        tell(Event::Reached(progress));
        match page.next {
            Some(next) => place = Some(next),
            None => return Ok(()),
        }
    }
}

fn finding(link: LostLink) -> Finding {
    let age = link.message.made_at().elapsed().unwrap_or_default();
    let hours = age.as_secs() / 3600;
    Finding {
        kind: Kind::LostLink,
        name: link.file.to_string(),
        detail: format!(
            "belongs to the message {}, which was sent {hours} hours ago and is lost",
            link.message
        ),
    }
}
