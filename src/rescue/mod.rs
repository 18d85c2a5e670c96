//! Takes the journal of a node that is dead for good over, beside the work of this node. This room must
//! never know HTTP, nor which database the store is.
//!
//! The life of a rescue:
//! 1. The dead node must not answer, and the store must. The journal's lock is taken, and it is recovered
//!    as at a start of its own node. Its ids must have that node's number.
//! 2. The journal gets a mark with this node's number: no node starts on it any more, and no other node
//!    rescues it.
//! 3. All entries go through in their order, some at a time. The store is asked which of them were
//!    deleted while the node was dead: they stay dead. Settled ones are only looked for in the store.
//!    This journal takes each other one ([`Journal::take_over`]), and commits it as its own.
//! 4. The answers to keys are taken over, also those of entries that were deleted while the node was dead. This node
//!    carries them with its own ([`crate::peers`]); until then the list of nodes that the dead one has told counts.
//! 5. The mark says that all of it is here.
//! 6. The store is told that this node answers for the dead one. The other nodes read that within
//!    seconds, and ask this node from then on.
//!
//! Until step 6 other nodes say that the files are not available, as before. This node reads them from
//! the first moment, and refuses to delete them: a rescue that begins again would bring them back. Links
//! are refused, too, as the dead node would have to make them. So nothing that a caller was told can
//! contradict an entry that is taken twice.
//!
//! | cut after | leaves | the next run |
//! |---|---|---|
//! | 1 | the journal as it was | begins |
//! | 2 | a mark | begins |
//! | 3, 4 | some entries here, perhaps committed and gone already | finds those that are here, and takes the others. One that has gone is taken once more: its commit finds it in the store, whole |
//! | 5 | all of it | does 6 alone |
//! | 6 | all of it | does 6 alone |

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::sleep;

use crate::blocking::on_thread;
use crate::config::JournalConfig;
use crate::file::FileId;
use crate::journal::{AdoptError, DeadJournal, Journal, JournalError, OpenError, Taken};
use crate::peers::Peers;
use crate::store::{Messages, Store, StoreError};

/// The entries in one question to the store.
const BATCH: usize = 256;

/// The entries that are taken at the same time: they share the fsyncs of the log.
const AT_ONCE: usize = 32;

/// The pause before an entry is taken whose key a request had.
const AGAIN: Duration = Duration::from_millis(10);

/// Takes journals over, one at a time. Shared by reference.
pub struct Rescue {
    journal: Arc<Journal>,
    store: Arc<dyn Store>,
    messages: Arc<dyn Messages>,
    peers: Arc<Peers>,
    limits: JournalConfig,
    progress: Mutex<Progress>,
}

/// How far the last rescue is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Whether it still runs.
    pub is_running: bool,
    /// The reason why it has stopped before its end; `None` if it has not.
    pub error: Option<String>,
    /// The number of the dead node.
    pub node: u16,
    /// The entries of its journal.
    pub entries: usize,
    /// Those that were gone through.
    pub seen: usize,
    /// Those that this journal has taken.
    pub taken: usize,
    /// Those that this journal had already.
    pub before: usize,
    /// Those that the store has.
    pub settled: usize,
    /// Those that were deleted meanwhile.
    pub deleted: usize,
    /// Settled ones that the store does not have: they were deleted, or the store has lost them.
    pub missing: usize,
    /// Those that cannot be read. They stay where they are.
    pub unreadable: usize,
}

/// The reason why a rescue does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// One rescue runs at a time.
    #[error("a rescue is under way")]
    Running,
    /// A node does not rescue itself.
    #[error("{0} is the number of this node")]
    Own(u16),
    /// The node is not dead.
    #[error("node {0} answers: it goes on with its journal itself")]
    Alive(u16),
    /// Another node takes over what this one has.
    #[error("an admin takes this node out of the list: let another node rescue the dead one")]
    Leaving,
}

/// The reason why a rescue has stopped. Another run goes on.
#[derive(Debug, thiserror::Error)]
enum RescueError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the journal has entries of nodes {0:?}, and none of the given one")]
    OtherNode(BTreeSet<u16>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}: {1}")]
    Adopt(FileId, AdoptError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl std::fmt::Debug for Rescue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rescue").finish_non_exhaustive()
    }
}

impl Rescue {
    /// A node that takes dead journals into this one.
    pub fn new(
        journal: &Arc<Journal>,
        store: &Arc<dyn Store>,
        messages: Arc<dyn Messages>,
        peers: &Arc<Peers>,
        limits: &JournalConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal: Arc::clone(journal),
            store: Arc::clone(store),
            messages,
            peers: Arc::clone(peers),
            limits: limits.clone(),
            progress: Mutex::default(),
        })
    }

    /// Begins to take the journal in a directory over, which is that of node `node`. It goes on in a
    /// task; [`Rescue::progress`] tells how far it is. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was done.
    pub fn begin(self: &Arc<Self>, journal: &Path, node: u16) -> Result<(), Refusal> {
        if node == self.peers.number() {
            return Err(Refusal::Own(node));
        }
        if self.peers.is_leaving() {
            return Err(Refusal::Leaving);
        }
        let states = self.peers.states();
        if states
            .iter()
            .any(|(number, _, state)| *number == node && state.is_up())
        {
            return Err(Refusal::Alive(node));
        }
        let mut progress = self.held();
        if progress.is_running {
            return Err(Refusal::Running);
        }
        *progress = Progress {
            is_running: true,
            node,
            ..Progress::default()
        };
        drop(progress);
        // A journal is the directory of that name in a data directory.
        let data_dir = match journal.file_name() {
            Some(name) if name == "journal" => journal.parent().unwrap_or(journal),
            _ => journal,
        };
        let (rescue, data_dir) = (Arc::clone(self), data_dir.to_owned());
        tokio::spawn(async move {
            let running = Running(Arc::clone(&rescue));
            let done = rescue.run(data_dir, node).await;
            match &done {
                Ok(()) => log::info!("the journal of node {node} is taken over"),
                Err(err) => log::error!("the rescue of node {node} has stopped: {err}"),
            }
            rescue.held().error = done.err().map(|err| err.to_string());
            drop(running);
        });
        Ok(())
    }

    /// How far the last rescue is.
    pub fn progress(&self) -> Progress {
        self.held().clone()
    }

    async fn run(&self, data_dir: PathBuf, node: u16) -> Result<(), RescueError> {
        self.store.ping().await?;
        let (limits, by) = (self.limits.clone(), self.peers.number());
        let dead = on_thread(move || DeadJournal::open(&data_dir, limits, by)).await?; // 1
        let dead = Arc::new(dead);
        let ids = dead.ids();
        let mut numbers: BTreeSet<u16> = ids.iter().map(|id| id.node()).collect();
        if !numbers.is_empty() && !numbers.contains(&node) {
            return Err(RescueError::OtherNode(numbers));
        }
        self.held().entries = ids.len();
        if !dead.is_over() {
            let begun = Arc::clone(&dead);
            on_thread(move || begun.begin()).await?; // 2
            let mut deleted = HashSet::new();
            for batch in ids.chunks(BATCH) {
                deleted.extend(self.take(&dead, batch).await?); // 3
            }
            let (journal, taken) = (Arc::clone(&self.journal), Arc::clone(&dead));
            on_thread(move || journal.take_answers(&taken, &deleted)).await?; // 4
            on_thread(move || dead.close()).await?; // 5
        }
        numbers.insert(node);
        numbers.remove(&by);
        let numbers = numbers.into_iter().collect();
        self.messages.take_over_numbers(numbers, by).await?; // 6
        self.peers
            .learn_taken_over(self.messages.taken_over().await?);
        Ok(())
    }

    /// Step 3 for some entries. Returns those that were deleted while the node was dead.
    async fn take(
        &self,
        dead: &Arc<DeadJournal>,
        batch: &[FileId],
    ) -> Result<HashSet<FileId>, RescueError> {
        let deleted = self.messages.removed(batch.to_vec()).await?;
        let left = batch.iter().copied().filter(|id| !deleted.contains(id));
        let (settled, others): (Vec<_>, Vec<_>) = left.partition(|&id| dead.is_settled(id));
        let stored = self.store.find_all(settled.clone()).await?;
        let missing = settled.len().saturating_sub(stored.len());
        if missing > 0 {
            log::warn!("{missing} settled files are not in the store: deleted, or lost there");
        }
        let taking = others.into_iter().map(|id| {
            let (journal, dead) = (Arc::clone(&self.journal), Arc::clone(dead));
            async move {
                loop {
                    let (journal, dead) = (Arc::clone(&journal), Arc::clone(&dead));
                    let taken = on_thread(move || journal.take_over(&dead, id)).await;
                    if !matches!(taken, Ok(Taken::Later)) {
                        return (id, taken);
                    }
                    // No thread waits here: the request that has the key may need one.
                    sleep(AGAIN).await;
                }
            }
        });
        let mut taking = futures::stream::iter(taking).buffer_unordered(AT_ONCE);
        let mut failed = Ok(());
        while let Some((id, taken)) = taking.next().await {
            let mut progress = self.held();
            match taken {
                Ok(Taken::Here) => progress.taken += 1,
                Ok(Taken::Before) => progress.before += 1,
                Ok(Taken::Settled | Taken::Nothing | Taken::Later) => progress.settled += 1,
                Ok(Taken::Unreadable(reason)) => {
                    log::error!("{id}: stays in the dead journal: {reason}");
                    progress.unreadable += 1;
                }
                Err(err) => failed = Err(RescueError::Adopt(id, err)),
            }
        }
        let mut progress = self.held();
        progress.seen += batch.len();
        progress.deleted += deleted.len();
        progress.missing += missing;
        progress.settled += stored.len();
        drop(progress);
        failed.map(|()| deleted)
    }

    /// A panic under the lock does no harm: each change is one assignment.
    fn held(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the end of a rescue when it is dropped, also in a panic.
struct Running(Arc<Rescue>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.held().is_running = false;
    }
}
