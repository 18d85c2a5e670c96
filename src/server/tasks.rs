//! The tasks beside the requests: they watch the store, other nodes and the threads of this process, and tend
//! the journal.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::own::OwnPlace;
use super::{Life, ServeError};
use crate::bucket::Bucket;
use crate::config::Config;
use crate::http::Node;
use crate::journal::Journal;
use crate::store::Indexes as _;
use crate::watchdog::Watchdog;

/// The pause between two searches for settled bodies to evict.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a panic before a watch begins again.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Begins to watch the other nodes, the store, its indexes, nginx's cache and the lists of
/// receivers.
pub(super) fn keep_watching(
    tasks: &TaskTracker,
    stopping: &CancellationToken,
    own: &Arc<OwnPlace>,
    node: &web::Data<Node>,
    bucket: &Arc<Bucket>,
    config: &Config,
) {
    let (cache_check, slack) = (config.cache_check, config.commit.delete_watch);
    let watched = || (node.clone(), Arc::clone(bucket), stopping.clone());
    let (node, bucket, stop) = watched();
    let own = Arc::clone(own);
    tasks.spawn(keep_going("peers", stopping.clone(), move || {
        let (node, bucket, stop) = (node.clone(), bucket.clone(), stop.clone());
        let own = Arc::clone(&own);
        async move { node.peers.watch(&*bucket, &*own, stop).await }
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
    tasks.spawn(keep_going("keys", stopping.clone(), move || {
        let (node, stop) = (node.clone(), stop.clone());
        async move {
            let carrying = node.intake.keep_carrying();
            stop.run_until_cancelled(carrying).await.unwrap_or_default();
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
            node.links.keep_sweeping(is_up, slack, stop).await;
        }
    }));
}

/// Begins to watch whether the threads go on. Each worker that serves nginx has a pulse of its own.
pub(super) fn watch_threads(
    watchdog: &Arc<Watchdog>,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
    tell: fn(Life),
) -> Result<(), ServeError> {
    let runtime = watchdog.pulse("the runtime").beat();
    let blocking = watchdog
        .pulse("the threads that wait for the disk")
        .beat_blocking();
    let beating = futures::future::join(runtime, blocking);
    tasks.spawn(stopping.clone().run_until_cancelled_owned(beating));
    let looking = watchdog.keep_looking(move || tell(Life::GoesOn));
    looking.map_err(ServeError::Serving)
}

/// Evicts settled bodies and cleans the spool from time to time.
pub(super) fn tend(
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
pub(super) async fn sweep(journal: &Arc<Journal>, act: fn(&Journal)) {
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

pub(super) fn close(journal: &Journal) {
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
