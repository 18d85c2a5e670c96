//! Work that an admin orders from time to time: checking every file, and removing chunks that belong to
//! none and links to lost messages. It runs as a process of its own beside the sidecar, and reads the sidecar's journal but never
//! changes it. Its memory holds one page of the bucket and an index of the journal's entries.

mod fsck;
mod gc;
mod inspect;
mod lost_links;
mod nodes;
mod pace;
mod progress;
mod report;

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::bucket::{Bucket, Orphan};
use crate::config::Config;
use crate::file::FileId;
use crate::journal::OpenError;
use crate::journal::inspection::{KnownIds, SalvageError};
use crate::store::StoreError;

pub use fsck::fsck;
pub use gc::gc;
pub use inspect::inspect;
pub use nodes::nodes;
pub use progress::{Phase, Progress};
pub use report::Report;

/// The reason why the work ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal's log is damaged: any chunk may belong to a damaged part of it.
    #[error("the journal's log is damaged, so nobody knows what is in it: see `gridspool fsck`")]
    DamagedLog,
    /// The connection string is wrong.
    #[error("mongodb_uri: {0}")]
    Uri(String),
    /// MongoDB does not answer, or not sensibly.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text is no id.
    #[error("{0:?} is no id of a file: {err}", err = crate::file::InvalidFileId)]
    NoId(String),
    /// The journal has no record of this entry.
    #[error("{0} is not in the journal")]
    Absent(FileId),
    /// The journal cannot be salvaged into that place.
    #[error(transparent)]
    Salvage(SalvageError),
    /// The list of nodes does not allow it.
    #[error("{0}")]
    Nodes(String),
    /// The output cannot be written.
    #[error("the output: {0}")]
    Output(std::io::Error),
    /// A file of this work cannot be written.
    #[error("{path}: {source}")]
    State {
        /// Where.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file of the bucket does not agree with its document.
    Damaged,
    /// A settled entry of the journal has no file.
    Lost,
    /// The id of a pending entry names another file.
    Conflict,
    /// An entry waits for an admin.
    Held,
    /// Something in the journal cannot be read.
    Unreadable,
    /// Chunks belong to no file.
    Orphan,
    /// A file belongs to a message that is lost.
    LostLink,
}

/// One fault.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// A file's id, or a name in the journal.
    pub name: String,
    /// The rest, in words.
    pub detail: String,
}

/// A report while the work goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A fault was found.
    Found(&'a Finding),
    /// The work has come this far.
    Reached(&'a Progress),
}

/// Takes reports.
pub type Listener<'a> = &'a mut dyn FnMut(Event<'_>);

/// Works on the bucket of these settings, and takes leave of MongoDB at the end.
async fn in_bucket<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Bucket) -> Result<T, UpkeepError>,
) -> Result<T, UpkeepError> {
    let bucket = Bucket::new(&config.bucket, &config.data_dir).await;
    let bucket = bucket.map_err(UpkeepError::Uri)?;
    let done = work(&bucket).await;
    bucket.close().await;
    done
}

/// Chunks without a file, sorted.
#[derive(Debug, Default)]
struct Sorted {
    /// They were left behind.
    stray: Vec<Orphan>,
    /// They may be on their way: they are too young, have no known age, or are in the journal.
    waiting: u64,
    /// The log is damaged, so the contents of the journal are unknown.
    is_log_damaged: bool,
}

/// Sorts out the chunks that this node's journal knows, and those that are younger than `older_than` by
/// their id or by any chunk: another node's journal may have them.
fn sort(
    orphans: Vec<Orphan>,
    journal: &mut KnownIds,
    older_than: Duration,
    takes_foreign: bool,
) -> Result<Sorted, OpenError> {
    let with_time = |found: &Orphan| Some((found.file_id?, found.written));
    let asked: Vec<_> = orphans.iter().filter_map(with_time).collect();
    let known = journal.among(&asked)?;
    let mut sorted = Sorted::default();
    let Some(known) = known else {
        sorted.waiting = u64::try_from(orphans.len()).unwrap_or(u64::MAX);
        sorted.is_log_damaged = true;
        return Ok(sorted);
    };
    for orphan in orphans {
        let is_known = orphan.file_id.is_some_and(|id| known.contains(&id));
        // An id without a time counts as old if the admin asked for that.
        let is_old =
            |made: Option<SystemTime>| made.map_or(takes_foreign, |made| is_old(made, older_than));
        if !is_known && is_old(orphan.file_id.map(FileId::made_at)) && is_old(orphan.written) {
            sorted.stray.push(orphan);
        } else {
            sorted.waiting += 1;
        }
    }
    Ok(sorted)
}

fn is_old(made: SystemTime, older_than: Duration) -> bool {
    made.elapsed().is_ok_and(|age| age >= older_than)
}

/// The report of chunks without a file.
fn orphan(found: &Orphan) -> Finding {
    let written = match found.written {
        Some(written) => {
            let age = written.elapsed().unwrap_or_default();
            format!("written {} hours ago", age.as_secs() / 3600)
        }
        None => "of unknown age".to_owned(),
    };
    Finding {
        kind: Kind::Orphan,
        name: found.name.clone(),
        detail: format!(
            "{} chunks, {} bytes, {written}, belong to no file",
            found.chunks, found.bytes
        ),
    }
}
