//! Takes slices of deleted and replaced files out of nginx's cache. nginx itself keeps a slice as long
//! as clients ask for it, and has no command to remove one.
//!
//! 1. A delete on this node removes the file's slices from this node's cache at once: their names
//!    follow from the file's key, tag and length.
//! 2. A repeated walk through the cache finds all others: slices of files that another node or another
//!    driver deleted or replaced, and slices that came into the cache at the moment of a delete. Each
//!    file of the cache begins with its key; one question to the store covers a hundred files.
//!
//! A file of the cache is emptied and not unlinked. nginx unlinks it itself later, and would log an
//! error if the file were missing. nginx ignores an empty file; at its start it writes a line about it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Delivery, Found};
use crate::accel::{self, Slices};
use crate::blocking::on_thread;
use crate::file::{FileId, FileKey, FileMeta};
use crate::journal::Room;
use crate::store::StoreError;

/// A file of nginx's cache has its key within these bytes: a head of less than 512 bytes, then the key.
const HEAD_BYTES: u64 = 2048;

/// Files in one question to the store.
const AT_ONCE: usize = 128;

/// The pause between two directories of a walk, and between two questions about keys of other drivers,
/// which are asked for one by one. A full cache has 4,096 directories, so a walk takes a minute, and
/// longer with many such keys. It asks MongoDB little more than a hundred questions a second.
const PAUSE: Duration = Duration::from_millis(10);

/// The time that a delete waits for the file's description, which it needs only for the cache.
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
                    // A slice stays unless the store says that its file is gone.
                    Err(err) => log::debug!("nginx's cache is not looked through: {err}"),
                }
            }
        };
        stop.run_until_cancelled(walks).await;
    }

    /// Empties the slices of files that are gone. Returns how many it emptied.
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

    /// Returns the contents among these that no request can name any more.
    async fn gone(&self, contents: &Contents) -> Result<Vec<(FileKey, String)>, StoreError> {
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for (key, version) in contents.keys() {
            match *key {
                // A part of a form in the journal is served through this cache too: it must stay.
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

    /// Whether the journal does not know the file, or knows that it was deleted.
    fn may_be_gone(&self, id: FileId) -> bool {
        let known = self.journal.try_lookup(id);
        matches!(known, Ok(None)) || matches!(known, Ok(Some(Room::Deleted)))
    }

    /// The slices that the cache may have of a file before its delete.
    pub(super) async fn cached(&self, key: &FileKey) -> Option<Slices> {
        let of = |key: &FileKey, meta: &FileMeta| Slices::of(key, meta);
        if let Ok(Some(Found::Kept(kept))) = self.in_journal(key).await {
            return Some(of(key, &kept.meta));
        }
        if !self.is_store_up() {
            return None;
        }
        // Slices that are not found now are left to the walk.
        let found = tokio::time::timeout(PATIENCE, self.stored(key)).await;
        match found {
            Ok(Ok(Some(Found::Stored { file, .. }))) => Some(of(&file.key, &file.meta)),
            _ => None,
        }
    }

    /// Empties these slices.
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
        on_thread(move || act(&cache)).await
    }
}

/// The directories of the second level, which hold the cache's files.
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

/// Empties these files. Returns how many existed.
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
