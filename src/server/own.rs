//! This node, as the list of nodes has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use actix_web::web;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::{ServeError, disk};
use crate::bucket::Bucket;
use crate::config::{Config, Durability};
use crate::http::Node;
use crate::journal::{Journal, Room};
use crate::peers::{Obstacle, OwnNode};
use crate::store::{LEASE, NodeLoad};

/// How long a start waits for the list, to learn whether its number belongs to another journal.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same for a journal that has had its number before: it is seldom taken away.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);

/// The pause before the list is asked again whether another process serves this journal.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) struct OwnPlace {
    node: web::Data<Node>,
    data_dir: PathBuf,
    durability: Durability,
    journal: String,
    /// The earlier processes of this directory.
    ended: Vec<String>,
    has_joined: AtomicBool,
    /// The node took no uploads any more at the last look.
    was_closed: AtomicBool,
}

impl OwnPlace {
    pub(super) fn new(node: web::Data<Node>, config: &Config) -> Result<Self, ServeError> {
        let durability = config.journal.durability;
        let journal = Journal::identity(&config.data_dir, &*disk(durability))?;
        let instance = node.peers.instance();
        let ended = Journal::note_process(&config.data_dir, instance, &*disk(durability));
        let ended = ended.map_err(ServeError::at(&config.data_dir))?;
        let joined = Journal::has_joined(&config.data_dir, config.journal.node);
        let joined = joined.map_err(ServeError::at(&config.data_dir))?;
        Ok(Self {
            node,
            data_dir: config.data_dir.clone(),
            durability,
            journal,
            ended,
            has_joined: joined.into(),
            was_closed: false.into(),
        })
    }

    /// Registers this node before it serves anybody, if MongoDB answers soon. If another process has served this
    /// journal elsewhere, as on the machine that its disk comes from, this waits until that one has ended.
    ///
    /// # Errors
    /// `NumberTaken`.
    pub(super) async fn take(&self, bucket: &Bucket) -> Result<(), ServeError> {
        let peers = &self.node.peers;
        peers.begin(self);
        let patience = if self.has_joined() {
            SHORT_PATIENCE
        } else {
            PATIENCE
        };
        let last = Instant::now() + LEASE + PATIENCE;
        loop {
            // The watch goes on with it.
            let taking = async {
                peers.register(bucket, self).await?;
                // A key that comes at once is asked for by the lists that others tell.
                peers.read_list(bucket).await;
                Ok(())
            };
            let taken = timeout(patience, taking).await.unwrap_or(Ok(()));
            let is_copied = matches!(peers.obstacle(), Some(Obstacle::Copied(_)));
            match taken {
                Err(words) if is_copied && Instant::now() < last => {
                    log::warn!("{words}. Waiting for that");
                    sleep(PAUSE).await;
                }
                taken => return taken.map_err(ServeError::NumberTaken),
            }
        }
    }
}

impl OwnNode for OwnPlace {
    fn journal(&self) -> &str {
        &self.journal
    }

    fn load(&self) -> BoxFuture<'_, NodeLoad> {
        let node = self.node.clone();
        if node.peers.is_leaving() {
            node.edge.drain();
        }
        let (peers, rescue) = (Arc::clone(&node.peers), Arc::clone(&node.rescue));
        async move {
            let is_closed = node.edge.is_closed();
            // It reads directories.
            let figures = web::block(move || node.journal.figures()).await;
            let Ok(figures) = figures else {
                return NodeLoad::default();
            };
            let is_deleted = |room: &Room| *room == Room::Deleted;
            let tombstones = figures.rooms.iter().find(|(room, _)| is_deleted(room));
            let has_tombstones = tombstones.is_some_and(|(_, totals)| totals.entries > 0);
            let is_closed = is_closed && figures.spool_bodies == 0 && !has_tombstones;
            let waits = |room: &Room| matches!(room, Room::Incoming | Room::Deferred | Room::Hold);
            let waiting = figures.rooms.iter().filter(|(room, _)| waits(room));
            let oldest = figures.oldest_pending_seconds.map(Duration::from_secs);
            let files = waiting.clone().map(|(_, totals)| totals.entries).sum();
            let open_uploads = figures.open_uploads.entries;
            // A small upload that had begun before has ended by the next look.
            let is_closed = self.was_closed.swap(is_closed, Ordering::Relaxed) && is_closed;
            // A rescue that began before still adds answers to keys.
            let is_rescuing = rescue.progress().is_running;
            let has_nothing = is_closed && files == 0 && open_uploads == 0 && !is_rescuing;
            let may_go = peers.may_go(has_nothing);
            NodeLoad {
                files,
                bytes: waiting.map(|(_, totals)| totals.bytes).sum(),
                oldest: oldest.and_then(|age| SystemTime::now().checked_sub(age)),
                open_uploads,
                is_closed: is_closed && may_go,
            }
        }
        .boxed()
    }

    fn ended(&self) -> &[String] {
        &self.ended
    }

    fn has_joined(&self) -> bool {
        self.has_joined.load(Ordering::Relaxed)
    }

    fn note_joined(&self) {
        let number = self.node.peers.number();
        match Journal::note_joined(&self.data_dir, number, &*disk(self.durability)) {
            Ok(()) => self.has_joined.store(true, Ordering::Relaxed),
            Err(err) => log::error!("{}: {err}", self.data_dir.display()),
        }
    }
}
