//! Slices of files that are gone, in nginx's cache: nginx keeps a slice for as long as it is asked for, and
//! has no word for taking one out.
//!
//! 1. A file that is deleted here leaves the cache of this node with its delete: its slices have names that
//!    follow from its key, tag and length.
//! 2. All others are found out by a walk through the cache, again and again: what was deleted by another node
//!    or another driver, or replaced, or came into the cache in the moment of a delete. Each of nginx's files
//!    begins with its key; the store is asked which of a hundred files are there still.
//!
//! A file of the cache is emptied and not unlinked: nginx unlinks it in its own time, and complains in its log
//! of one that is not there. It takes an empty one for none; at its start it says so.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Delivery, Found};
use crate::accel::{self, Slices};
use crate::file::{FileId, FileKey, FileMeta};
use crate::journal::{Glimpse, Room};
use crate::store::StoreError;

/// Bytes in which a file of nginx's cache has its key: a head of less than 512 bytes, and the key.
const HEAD_BYTES: u64 = 2048;

/// Files that the store is asked for by one question.
const AT_ONCE: usize = 128;

/// The pause between two directories of a walk, and between two questions about keys of other drivers, which
/// are asked for one by one. A full cache has 4,096 directories, so a walk takes a minute, and longer with
/// many such keys; it asks MongoDB a hundred questions a second, or little more.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a delete waits for a description that it can do without.
const PATIENCE: Duration = Duration::from_millis(500);

/// The files of the cache that have slices of one content.
type Contents = HashMap<(FileKey, String), Vec<PathBuf>>;

impl Delivery {
    /// Walks through nginx's cache again and again, until it is told to stop.
    pub async fn watch_cache(&self, interval: Duration, stop: CancellationToken) {
        let walks = async {
            loop {
                tokio::time::sleep(interval).await;
                match self.clear_cache().await {
                    Ok(0) => {}
                    Ok(emptied) => log::info!("emptied {emptied} slices of files that are gone"),
                    // A slice that is not known to be of such a file stays.
                    Err(err) => log::debug!("nginx's cache is not looked through: {err}"),
                }
            }
        };
        stop.run_until_cancelled(walks).await;
    }

    /// Empties what the cache has of files that are gone; how many slices that were.
    pub(super) async fn clear_cache(&self) -> Result<usize, StoreError> {
        let mut emptied = 0;
        for directory in self.off_thread(leaves).await {
            let contents = self.off_thread(move |_| contents_of(&directory)).await;
            let gone = self.gone(&contents).await?;
            let paths: Vec<_> = contents
                .into_iter()
                .filter(|(content, _)| gone.contains(content))
                .flat_map(|(_, paths)| paths)
                .collect();
            if !paths.is_empty() {
                emptied += self.off_thread(move |_| empty_all(&paths)).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(emptied)
    }

    /// Which of these contents nobody can ask for any more.
    async fn gone(&self, contents: &Contents) -> Result<Vec<(FileKey, String)>, StoreError> {
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for (key, version) in contents.keys() {
            match *key {
                // A part of a form is served by way of the cache from here.
                FileKey::Id(id) if self.may_be_gone(id) => ids.push((id, version.clone())),
                FileKey::Id(_) => {}
                FileKey::Foreign(_) => others.push((key.clone(), version.clone())),
            }
        }
        let mut gone = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let asked: Vec<FileId> = some.iter().map(|(id, _)| *id).collect();
            let found = self.store.find_all(asked).await?;
            let there: HashMap<_, _> = found.iter().map(|file| (&file.key, &file.meta)).collect();
            for (id, version) in some {
                let key = FileKey::Id(*id);
                let is_there = there
                    .get(&key)
                    .is_some_and(|meta| accel::version(meta) == *version);
                if !is_there && self.may_be_gone(*id) {
                    gone.push((key, version.clone()));
                }
            }
        }
        for (key, version) in others {
            tokio::time::sleep(PAUSE).await;
            let found = self.store.find(&key, false).await?;
            let is_there = found.is_some_and(|file| accel::version(&file.meta) == version);
            if !is_there {
                gone.push((key, version));
            }
        }
        Ok(gone)
    }

    /// Whether the journal has nothing of a file, or has it deleted.
    fn may_be_gone(&self, id: FileId) -> bool {
        let known = self.journal.glance(id);
        matches!(known, Ok(None))
            || matches!(
                known,
                Ok(Some(Glimpse {
                    room: Room::Deleted,
                }))
            )
    }

    /// The slices that the cache may have of a file that is about to be deleted.
    pub(super) async fn cached(&self, key: &FileKey) -> Option<Slices> {
        let of = |key: &FileKey, meta: &FileMeta| Slices::of(key, meta);
        if let Ok(Some(Found::Kept(kept))) = self.in_journal(key).await {
            return Some(of(key, &kept.meta));
        }
        if !(self.is_store_up)() {
            return None;
        }
        // The walk finds what is not found now.
        let found = tokio::time::timeout(PATIENCE, self.stored(key)).await;
        match found {
            Ok(Ok(Some(Found::Stored { file, .. }))) => Some(of(&file.key, &file.meta)),
            _ => None,
        }
    }

    /// Empties them.
    pub(super) async fn empty(&self, slices: Slices) {
        self.off_thread(move |cache| {
            let paths: Vec<_> = slices.names().map(|name| cache.join(name)).collect();
            empty_all(&paths)
        })
        .await;
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> T {
        let cache = self.journal.layout().cache();
        match tokio::task::spawn_blocking(move || act(&cache)).await {
            Ok(done) => done,
            Err(lost) => std::panic::resume_unwind(lost.into_panic()),
        }
    }
}

/// The directories of the cache that have files in them: those of the second level.
fn leaves(cache: &Path) -> Vec<PathBuf> {
    let below = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    below(cache).iter().flat_map(|one| below(one)).collect()
}

fn contents_of(directory: &Path) -> Contents {
    let mut contents = Contents::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // nginx may have removed it since.
        if let Some(content) = head(&path).ok().and_then(|head| accel::content_in(&head)) {
            contents.entry(content).or_default().push(path);
        }
    }
    contents
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// How many of them were there.
fn empty_all(paths: &[PathBuf]) -> usize {
    let empty = |path: &PathBuf| {
        let emptied = OpenOptions::new().write(true).truncate(true).open(path);
        match emptied {
            Ok(_) => true,
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => {
                log::warn!(
                    "{}: a deleted file stays in nginx's cache: {err}",
                    path.display()
                );
                false
            }
        }
    };
    paths.iter().filter(|path| empty(path)).count()
}
