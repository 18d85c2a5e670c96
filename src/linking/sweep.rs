//! The sweep: every node goes on with deletes that were cut, its own and those of other nodes, and removes files
//! whose time without a link is over (`expiry`).
//!
//! A round walks through all of them, so a file that waits for a node holds up no other file. The
//! sweep keeps a note of each failure. It tries the file again when that node is back, or after a
//! pause that grows. It tries a new file in the next round.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::{LinkError, Links};
use crate::file::FileId;
use crate::store::{Cause, Dying, StoreError, SweepPlace};

/// The shortest pause between two rounds. A round follows soon enough that nobody notices the rest
/// of a cut delete.
const INTERVAL: Duration = Duration::from_secs(2);

/// The pause before a look whether the store is there, until the first round. This node may have been away, and
/// shows messages that were deleted meanwhile.
const AT_START: Duration = Duration::from_millis(100);

/// The pause after a long round, in times its length.
const REST: u32 = 4;

/// The files of a page. Each document of a package may have half a megabyte of receivers and parts.
const PAGE: u32 = 32;

/// The most files that are removed at the same time.
const AT_ONCE: usize = 8;

/// The longest pause before the next try of one file. The first is [`INTERVAL`], and it doubles.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The most notes. Every round tries the files without a note.
const MOST_NOTES: usize = 20_000;

/// The files that a round walks through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Swept {
    /// Files that are dying, and open tombstones.
    Dying,
    /// Files whose time without a link is over.
    Expired,
}

/// A file that a round tries to remove.
enum Leaving {
    Dying(Dying),
    Expired(FileId),
}

impl Leaving {
    fn id(&self) -> FileId {
        match self {
            Self::Dying(dying) => dying.id(),
            Self::Expired(id) => *id,
        }
    }
}

/// The notes of failures.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    notes: HashMap<FileId, Note>,
    round: u64,
}

#[derive(Debug)]
struct Note {
    /// The node that must be back before another try.
    waits_for: Option<u16>,
    failures: u32,
    due: Instant,
    /// The last round that met the file.
    round: u64,
}

impl Stuck {
    /// Begins a round, and drops notes of files that the round before has not met.
    fn begin(&mut self) {
        let last = self.round;
        self.notes.retain(|_, note| note.round == last);
        self.round += 1;
    }

    /// Returns whether this round tries a file.
    fn is_due(&mut self, id: FileId, now: Instant, is_down: impl Fn(u16) -> bool) -> bool {
        let Some(note) = self.notes.get_mut(&id) else {
            return true;
        };
        note.round = self.round;
        match note.waits_for {
            Some(owner) => !is_down(owner),
            None => now >= note.due,
        }
    }

    /// Notes a failure, and the node that the file waits for.
    fn note(&mut self, id: FileId, now: Instant, waits_for: Option<u16>) {
        if self.notes.len() >= MOST_NOTES && !self.notes.contains_key(&id) {
            return;
        }
        let note = self.notes.entry(id).or_insert(Note {
            waits_for,
            failures: 0,
            due: now,
            round: self.round,
        });
        let pause = INTERVAL * 2_u32.pow(note.failures.min(8));
        note.due = now + pause.min(LONGEST_PAUSE);
        note.failures = note.failures.saturating_add(1);
        note.waits_for = waits_for;
    }
}

impl Links {
    /// Does one round. Returns how many files were removed.
    ///
    /// # Errors
    /// An error, if the store is away or cannot list them.
    pub(super) async fn sweep(&self, what: Swept, stuck: &mut Stuck) -> Result<usize, StoreError> {
        let (mut gone, mut place) = (0, None);
        stuck.begin();
        loop {
            let (mut due, next) = self.page(what, place.as_ref()).await?;
            let now = Instant::now();
            due.retain(|leaving| stuck.is_due(leaving.id(), now, |node| self.peers.is_down(node)));
            let tries = stream::iter(due).map(|leaving| self.go_on(leaving));
            let mut tries = pin!(tries.buffer_unordered(AT_ONCE));
            while let Some((id, done)) = tries.next().await {
                if done.as_ref().is_ok_and(|is_gone| *is_gone) {
                    gone += 1;
                    continue;
                }
                let waits_for = match &done {
                    Err(LinkError::Owner(away)) => Some(away.node),
                    Ok(_) | Err(LinkError::Journal(_) | LinkError::Store(_)) => None,
                };
                let waits_for = waits_for.filter(|node| self.peers.is_down(*node));
                stuck.note(id, Instant::now(), waits_for);
                if let Err(err) = &done {
                    log::debug!("{id}: is still to go: {err}");
                }
                if let Err(LinkError::Store(err @ StoreError::Unavailable(_))) = done {
                    return Err(err);
                }
            }
            if next.is_none() {
                return Ok(gone);
            }
            place = next;
        }
    }

    async fn page(
        &self,
        what: Swept,
        after: Option<&SweepPlace>,
    ) -> Result<(Vec<Leaving>, Option<SweepPlace>), StoreError> {
        Ok(match what {
            Swept::Dying => {
                let page = self.messages.dying(after, PAGE).await?;
                let dying = page.dying.into_iter().map(Leaving::Dying);
                (dying.collect(), page.next)
            }
            Swept::Expired => {
                let page = self.messages.expired(after, PAGE).await?;
                let expired = page.files.into_iter().map(Leaving::Expired);
                (expired.collect(), page.next)
            }
        })
    }

    /// Returns false if the file stays for now.
    async fn go_on(&self, leaving: Leaving) -> (FileId, Result<bool, LinkError>) {
        let id = leaving.id();
        let done = match leaving {
            Leaving::Dying(Dying::Package(_, message)) => {
                self.finish_delete(id, &message).await.map(|()| true)
            }
            Leaving::Dying(Dying::File(_)) => {
                let removed = self.messages.remove_dying(id, Cause::Unlinked).await;
                removed.map(|_| true).map_err(LinkError::Store)
            }
            Leaving::Expired(_) => self.expire(id).await,
        };
        (id, done)
    }

    /// Sweeps again and again, while the store answers, until `stop`. The first round comes as soon as it answers.
    /// Before each sweep this node hears of its files that others have deleted (`ownerless`, which
    /// tells about `slack`, too).
    pub async fn keep_sweeping(
        &self,
        is_store_up: impl Fn() -> bool,
        slack: Duration,
        stop: CancellationToken,
    ) {
        let sweeps = async {
            let (mut stuck, mut kept) = (Stuck::default(), Stuck::default());
            let mut heard = None;
            let mut pause = AT_START;
            loop {
                tokio::time::sleep(pause).await;
                if !is_store_up() {
                    continue;
                }
                let begun = Instant::now();
                if let Err(err) = self.heed_deletes(&mut heard, slack).await {
                    log::debug!("deletes by other nodes are not heard of: {err}");
                }
                match self.sweep(Swept::Dying, &mut stuck).await {
                    Ok(0) => {}
                    Ok(gone) => log::info!("{gone} files went whose delete was cut short"),
                    Err(err) => log::debug!("nothing is swept: {err}"),
                }
                match self.sweep(Swept::Expired, &mut kept).await {
                    Ok(0) => {}
                    Ok(gone) => log::info!("{gone} files went whose time without a link was over"),
                    Err(err) => log::debug!("no file expires: {err}"),
                }
                pause = begun
                    .elapsed()
                    .saturating_mul(REST)
                    .clamp(INTERVAL, LONGEST_PAUSE);
            }
        };
        stop.run_until_cancelled(sweeps).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_go_is_tried_when_its_node_is_back_or_after_a_pause_that_grows() {
        let [waits, fails, other] = [1, 2, 3].map(|byte| FileId::from_bytes([byte; 12]));
        let mut stuck = Stuck::default();
        let now = Instant::now();
        let (down, up) = (|node| node == 7, |_| false);
        stuck.begin();
        for id in [waits, fails, other] {
            assert!(stuck.is_due(id, now, down));
        }
        stuck.note(waits, now, Some(7));
        stuck.note(fails, now, None);
        stuck.begin();
        let later = now + LONGEST_PAUSE;
        assert!(!stuck.is_due(waits, later, down));
        assert!(stuck.is_due(waits, now, up));
        assert!(!stuck.is_due(fails, now, up));
        assert!(stuck.is_due(fails, now + INTERVAL, up));
        assert!(stuck.is_due(other, now, down));
        stuck.note(fails, now, None);
        assert!(!stuck.is_due(fails, now + INTERVAL, up));
        assert!(stuck.is_due(fails, now + 2 * INTERVAL, up));
        for _ in 0..100 {
            stuck.note(fails, now, None);
        }
        assert!(stuck.is_due(fails, later, up));
        // A note lapses if a round has not met its file.
        stuck.begin();
        assert!(!stuck.is_due(waits, now, down));
        stuck.begin();
        assert_eq!(stuck.notes.len(), 1);
    }
}
