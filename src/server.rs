//! Wiring: this makes the parts of the sidecar, and starts and stops them in order.
//!
//! Start: journal (recovered before any request), bucket (it connects by itself as soon as MongoDB
//! answers), sockets, committer. Stop: the sockets end first, so that running uploads are adopted;
//! then the committer ends. Everything else stays in the journal.

mod check;
mod own;
mod sockets;
mod tasks;

use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::web;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bucket::Bucket;
use crate::commit::{Commits, Committer, StoreStanding, StoreState};
use crate::config::{Config, Durability};
use crate::delivery::{Delivery, Lists, LiveUploads, Reach};
use crate::http::{self, Access, Edge, Node};
use crate::intake::{Intake, Promised};
use crate::journal::{Announcer, Disk, Journal, LocalDisk, OpenError, UnsyncedDisk};
use crate::linking::Links;
use crate::peers::Peers;
use crate::rescue::Rescue;
use crate::spool::Spool;
use crate::store::Store;
use crate::token::{Keyring, KeysError};
use crate::watchdog::Watchdog;

use own::OwnPlace;
use sockets::Sockets;
use tasks::{close, keep_watching, sweep, tend, watch_threads};

pub use check::{Check, Outcome, check};

/// The process that started this one, such as systemd.
#[derive(Debug)]
pub struct Manager {
    /// The sockets that it keeps open.
    pub sockets: Vec<UnixListener>,
    /// Tells it the state of this process. This may be called by any thread.
    pub tell: fn(Life),
}

/// The state of this process, for its manager (`sd_notify(3)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Requests are answered from now on.
    Ready,
    /// All threads go on. This is told once a second.
    GoesOn,
    /// It has begun to stop.
    Stops,
}

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
    /// The list of nodes does not give this journal its number; the words tell why.
    #[error("{0}")]
    NumberTaken(String),
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

/// Serves until `stop` ends, then drains. It uses its sockets among those of the manager as they are.
///
/// # Errors
/// [`ServeError`]; then nothing is served.
pub async fn run(
    config: Config,
    manager: Manager,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Manager { sockets, tell } = manager;
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
        Box::new(move || reach(&store_seen.store_state())),
        config.lists.cache_bytes,
    ));
    let lists = Lists::new(Arc::clone(&delivery), bucket.clone(), &config.lists);
    let lists = Arc::new(lists);
    let watchdog = Arc::new(Watchdog::default());
    let node = web::Data::new(Node {
        journal: Arc::clone(&journal),
        intake: Arc::new(
            intake(&journal, &links, &config, &delivery, &lists)?.with_cluster(
                Arc::clone(&peers),
                config.when_unsure,
                bucket.clone(),
            ),
        ),
        delivery: Arc::clone(&delivery),
        subjects: bucket.clone(),
        indexes: bucket.clone(),
        lists: Arc::clone(&lists),
        rescue: Rescue::new(&journal, &store, bucket.clone(), &peers, &config.journal),
        live: Arc::clone(&live),
        commits: Arc::clone(&commits),
        links,
        peers: Arc::clone(&peers),
        watchdog: Arc::clone(&watchdog),
        access,
        edge: Edge::default(),
    });
    let own = Arc::new(OwnPlace::new(node.clone(), &config)?);
    let mut sockets = Sockets::new(&config, sockets);
    let nginx = sockets.bind(&config.socket, 0o660)?;
    let admins = sockets.bind(&config.admin_socket, 0o600)?;
    // Later than the sockets: a start that fails there leaves no trace in the list.
    own.take(&bucket).await?;
    let traffic = Some(Arc::clone(commits.traffic()));
    let for_nginx = sockets.listen(&config.socket, nginx, &node, traffic, http::public)?;
    let for_admins = sockets.listen(&config.admin_socket, admins, &node, None, http::admin)?;

    let stopping = CancellationToken::new();
    let tasks = TaskTracker::new();
    keep_watching(&tasks, &stopping, &own, &node, &bucket, &config);
    tend(&journal, &config, &tasks, &stopping);
    watch_threads(&watchdog, &tasks, &stopping, tell)?;
    tasks.spawn(committer.run(stopping.clone(), config.stop_grace / 2));
    log::info!(
        "node {} serves nginx on {}",
        config.journal.node,
        config.socket.display()
    );
    tell(Life::Ready);
    let stop = async move {
        stop.await;
        tell(Life::Stops);
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
    bucket.close().await;
    log::info!("stopped; what is pending goes on at the next start");
    Ok(())
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
/// What readers need to know of the store.
fn reach(store: &StoreState) -> Reach {
    if store.standing != StoreStanding::Down {
        return Reach::Up;
    }
    let silent = store.silent_since.map(|since| since.elapsed());
    if silent.is_some_and(|silent| silent >= Reach::PATIENCE) {
        Reach::Away
    } else {
        Reach::Silent
    }
}

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
