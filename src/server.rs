//! Wiring: this makes the parts of the sidecar, and starts and stops them in order.
//!
//! Start: journal (recovered before any request), bucket (it connects by itself as soon as MongoDB
//! answers), sockets, committer. Stop: the sockets end first, so that running uploads are adopted;
//! then the committer ends. Everything else stays in the journal.

mod check;
mod sockets;

use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bucket::Bucket;
use crate::commit::{Commits, Committer, StoreStanding};
use crate::config::{Config, Durability};
use crate::delivery::{Delivery, Lists, LiveUploads};
use crate::http::{self, Access, Edge, Node};
use crate::intake::{Intake, Promised};
use crate::journal::{Announcer, Disk, Journal, LocalDisk, OpenError, UnsyncedDisk};
use crate::linking::Links;
use crate::peers::Peers;
use crate::spool::Spool;
use crate::store::{Indexes as _, Store};
use crate::token::{Keyring, KeysError};

use sockets::Sockets;

pub use check::{Check, Outcome, check};

/// The pause between two searches for settled bodies to evict.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a panic before a watch begins again.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// The reason why the sidecar does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The connection string is wrong.
    #[error("mongodb_uri: {0}")]
    Uri(String),
    /// The keys of tokens cannot be used.
    #[error("token_keys: {0}")]
    Keys(#[from] KeysError),
    /// The keys that nodes share cannot be used.
    #[error("peer_key: {0}")]
    PeerKeys(KeysError),
    /// Another process answers on one of our sockets.
    #[error("{0}: another process answers there")]
    SocketTaken(PathBuf),
    /// A path cannot be used.
    #[error("{path}: {source}")]
    Path {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The data belong to another user.
    #[error(
        "{path} belongs to user {owner}, and this runs as user {user}: run it as the other one"
    )]
    Stranger {
        /// The path.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// The HTTP server or a task failed.
    #[error("serving: {0}")]
    Serving(io::Error),
}

impl ServeError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Path { path, source }
    }
}

/// Makes the data directory and its marker, as the user that the sidecar runs as.
///
/// # Errors
/// The disk's error, and `Stranger` if the directory belongs to another user.
pub fn init(config: &Config) -> Result<(), ServeError> {
    require_owner(&config.data_dir)?;
    Ok(Journal::init(&config.data_dir, &LocalDisk)?)
}

/// Leaves the data of another user alone: that user's sidecar could not use files that root makes
/// there.
fn require_owner(data_dir: &Path) -> Result<(), ServeError> {
    let owner = match std::fs::metadata(data_dir) {
        Ok(found) => found.uid(),
        // The user that makes the directory will own it.
        Err(_) => return Ok(()),
    };
    let user = rustix::process::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    Err(ServeError::Stranger {
        path: data_dir.to_owned(),
        owner,
        user,
    })
}

/// Serves until `stop` ends, then drains. It uses its sockets among `inherited` as they are.
///
/// # Errors
/// [`ServeError`]; then nothing is served.
pub async fn run(
    config: Config,
    inherited: Vec<UnixListener>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let access = Access::new(keyring(&config)?);
    let peers = Peers::new(config.journal.node, &config.cluster).map_err(ServeError::PeerKeys)?;
    let peers = Arc::new(peers);
    let disk = disk(config.journal.durability);
    let commits = Arc::new(Commits::new(&config.commit));
    let live = LiveUploads::new(&config.live);
    let hearers = (Arc::clone(&commits), Arc::clone(&live));
    let announcer = Announcer::new(move |announcement| {
        hearers.0.hear(announcement);
        hearers.1.hear(announcement);
    });
    let limits = config.journal.clone();
    let (journal, recovered) = Journal::open(&config.data_dir, limits, disk, announcer)?;
    log::info!("journal {}: {recovered:?}", config.data_dir.display());
    let journal = Arc::new(journal);
    let bucket = Bucket::new(&config.bucket, &config.data_dir).await;
    let bucket = Arc::new(bucket.map_err(ServeError::Uri)?);
    let store: Arc<dyn Store> = bucket.clone();
    let links: Arc<_> = Links::new(Arc::clone(&journal), bucket.clone(), Arc::clone(&peers)).into();
    let committer = Committer {
        journal: Arc::clone(&journal),
        store: Arc::clone(&store),
        links: Arc::clone(&links),
        commits: Arc::clone(&commits),
        config: config.commit.clone(),
    };
    let store_seen = Arc::clone(&commits);
    let delivery = Arc::new(Delivery::new(
        Arc::clone(&journal),
        Arc::clone(&store),
        bucket.clone(),
        Arc::clone(&links),
        Arc::clone(&peers),
        Box::new(move || store_seen.store_state().standing != StoreStanding::Down),
        config.lists.cache_bytes,
    ));
    let lists = Lists::new(Arc::clone(&delivery), bucket.clone(), &config.lists);
    let lists = Arc::new(lists);
    let node = web::Data::new(Node {
        journal: Arc::clone(&journal),
        intake: Arc::new(intake(&journal, &links, &config, &delivery, &lists)?),
        delivery: Arc::clone(&delivery),
        subjects: bucket.clone(),
        indexes: bucket.clone(),
        lists: Arc::clone(&lists),
        live: Arc::clone(&live),
        commits: Arc::clone(&commits),
        links,
        peers: Arc::clone(&peers),
        access,
        edge: Edge::default(),
    });
    let mut sockets = Sockets::new(&config, inherited);
    let traffic = Some(Arc::clone(commits.traffic()));
    let for_nginx = sockets.listen(&config.socket, 0o660, &node, traffic, http::public)?;
    let for_admins = sockets.listen(&config.admin_socket, 0o600, &node, None, http::admin)?;

    let stopping = CancellationToken::new();
    let tasks = TaskTracker::new();
    keep_watching(&tasks, &stopping, &node, &bucket, config.cache_check);
    tend(&journal, &config, &tasks, &stopping);
    tasks.spawn(committer.run(stopping.clone(), config.stop_grace / 2));
    log::info!(
        "node {} serves nginx on {}",
        config.journal.node,
        config.socket.display()
    );
    let stop = async move {
        stop.await;
        // Uploads that wait for a commit stop waiting, and get an answer.
        commits.end_waiting();
        // Receivers that wait for messages stop waiting, too.
        lists.end_waiting();
        // So do readers of uploads that are not complete.
        live.end();
    };
    sockets.serve(for_nginx, for_admins, stop).await?;
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
    sweep(&journal, close).await;
    log::info!("stopped; what is pending goes on at the next start");
    Ok(())
}

/// Begins to watch the other nodes, the store, its indexes, nginx's cache and the lists of
/// receivers.
fn keep_watching(
    tasks: &TaskTracker,
    stopping: &CancellationToken,
    node: &web::Data<Node>,
    bucket: &Arc<Bucket>,
    cache_check: Duration,
) {
    let watched = || (node.clone(), Arc::clone(bucket), stopping.clone());
    let (node, bucket, stop) = watched();
    tasks.spawn(keep_going("peers", stopping.clone(), move || {
        let (node, bucket, stop) = (node.clone(), bucket.clone(), stop.clone());
        async move { node.peers.watch(&*bucket, stop).await }
    }));
    let (node, bucket, stop) = watched();
    tasks.spawn(keep_going("store", stopping.clone(), move || {
        let (node, bucket, stop) = (node.clone(), bucket.clone(), stop.clone());
        async move { node.commits.watch(&*bucket, stop).await }
    }));
    let (node, bucket, stop) = watched();
    tasks.spawn(keep_going("indexes", stopping.clone(), move || {
        let (node, bucket, stop) = (node.clone(), bucket.clone(), stop.clone());
        async move {
            let keep = bucket.keep(node.peers.instance());
            stop.run_until_cancelled(keep).await.unwrap_or_default();
        }
    }));
    let (node, _, stop) = watched();
    tasks.spawn(keep_going("cache", stopping.clone(), move || {
        let (node, stop) = (node.clone(), stop.clone());
        async move { node.delivery.watch_cache(cache_check, stop).await }
    }));
    let (node, _, stop) = watched();
    tasks.spawn(keep_going("lists", stopping.clone(), move || {
        let (node, stop) = (node.clone(), stop.clone());
        async move { node.lists.watch(stop).await }
    }));
    let (node, _, stop) = watched();
    tasks.spawn(keep_going("deletes", stopping.clone(), move || {
        let (node, stop) = (node.clone(), stop.clone());
        async move {
            let is_up = || node.commits.store_state().standing.is_up();
            node.links.keep_sweeping(is_up, stop).await;
        }
    }));
}

/// Evicts settled bodies and cleans the spool from time to time.
fn tend(
    journal: &Arc<Journal>,
    config: &Config,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) {
    let spool_interval = (config.journal.spool_orphan / 4).max(EVICTION_INTERVAL);
    let again = |interval, act: fn(&Journal)| {
        tasks.spawn(repeat(interval, Arc::clone(journal), stopping.clone(), act));
    };
    again(EVICTION_INTERVAL, evict_settled);
    again(spool_interval, sweep_spool);
}

/// Makes the intake. Every promise is passed to the rooms that look files up.
fn intake(
    journal: &Arc<Journal>,
    links: &Arc<Links>,
    config: &Config,
    delivery: &Arc<Delivery>,
    lists: &Arc<Lists>,
) -> Result<Intake, ServeError> {
    let spool_path = journal.layout().spool();
    let spool = Spool::open(&spool_path).map_err(ServeError::at(&spool_path))?;
    let delivery = Arc::clone(delivery);
    let tell = move |promised: Promised<'_>| {
        let Promised {
            adopted,
            is_whole_body,
            content,
        } = promised;
        delivery.learn(adopted, is_whole_body, content);
    };
    let (journal, links) = (Arc::clone(journal), Arc::clone(links));
    let intake = Intake::new(journal, links, spool, &config.access, tell);
    let lists = Arc::clone(lists);
    Ok(intake.with_receivers(move |receivers| lists.take(receivers)))
}

/// Returns the disk that keeps promises as the setting says.
fn disk(durability: Durability) -> Box<dyn Disk> {
    match durability {
        Durability::Disk => Box::new(LocalDisk),
        Durability::Os => {
            log::warn!(
                "durability = \"os\": DANGEROUS. Nothing is fsynced: a crash of this host or a \
                 power cut loses or tears uploads that were answered with 201"
            );
            Box::new(UnsyncedDisk)
        }
    }
}

/// Reads the keys of tokens; `None` without them: the settings then say that everybody may do
/// everything.
fn keyring(config: &Config) -> Result<Option<Keyring>, KeysError> {
    let Some(tokens) = &config.access.tokens else {
        log::warn!("insecure_no_auth: whoever reaches the socket may upload, download and delete");
        return Ok(None);
    };
    Keyring::load(&tokens.keys, &tokens.audience).map(Some)
}

/// Runs a watch, and begins it again after a panic: nobody would notice a watch that has silently
/// ended.
async fn keep_going<W: Future<Output = ()>>(
    watched: &str,
    stop: CancellationToken,
    watch: impl Fn() -> W,
) {
    while AssertUnwindSafe(watch()).catch_unwind().await.is_err() {
        log::error!("the watch of the {watched} panicked; it begins anew");
        let pause = tokio::time::sleep(WATCH_PAUSE);
        if stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
}

/// Does something to the journal again and again, until `stop`.
async fn repeat(
    interval: Duration,
    journal: Arc<Journal>,
    stop: CancellationToken,
    act: fn(&Journal),
) {
    while stop
        .run_until_cancelled(tokio::time::sleep(interval))
        .await
        .is_some()
    {
        sweep(&journal, act).await;
    }
}

/// Does something to the journal on the blocking pool.
async fn sweep(journal: &Arc<Journal>, act: fn(&Journal)) {
    let journal = Arc::clone(journal);
    if let Err(lost) = tokio::task::spawn_blocking(move || act(&journal)).await {
        log::error!("a sweep was lost: {lost}");
    }
}

fn evict_settled(journal: &Journal) {
    match journal.end_expired_uploads() {
        Ok(0) => {}
        Ok(ended) => log::info!("{ended} uploads stood still for too long; ended"),
        Err(err) => log::error!("ending uploads that stand still: {err}"),
    }
    if let Err(err) = journal.evict_settled() {
        log::error!("evicting settled bodies: {err}");
    }
}

fn close(journal: &Journal) {
    if let Err(err) = journal.close() {
        log::warn!("the journal's log is not closed in order, as after a kill: {err}");
    }
}

fn sweep_spool(journal: &Journal) {
    match journal.remove_spool_orphans() {
        Ok(0) => {}
        Ok(removed) => log::warn!("{removed} spool files were left behind; removed"),
        Err(err) => log::error!("sweeping the spool: {err}"),
    }
}
