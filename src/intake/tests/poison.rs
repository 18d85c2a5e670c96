//! The word of a node whose log is poisoned.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::uploads::{Stage, sender, upload_of};
use super::*;
use crate::file::FileId;
use crate::journal::AdoptError;
use crate::peers::KeyQuestion;
use crate::store::Ballot;

/// A disk whose syncs fail from some moment on.
#[derive(Debug, Clone, Default)]
struct Failing(Arc<AtomicBool>);

impl Failing {
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::other("a sync fails"));
        }
        Ok(())
    }
}

impl Disk for Failing {
    fn link(&self, file: &File, to: &Path) -> io::Result<()> {
        LocalDisk.link(file, to)
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        LocalDisk.create(path, content)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        LocalDisk.allocate(file, bytes)
    }

    fn write_at(&self, file: &File, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        LocalDisk.write_at(file, pieces, offset)
    }

    fn copy(&self, from: &File, to: &File, offset: u64, length: u64) -> io::Result<()> {
        LocalDisk.copy(from, to, offset, length)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        LocalDisk.truncate(file, length)
    }

    fn sync_bytes(&self, file: &File) -> io::Result<()> {
        self.check()?;
        LocalDisk.sync_bytes(file)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.check()?;
        LocalDisk.sync_file(file)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        LocalDisk.sync_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        LocalDisk.unlink(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        LocalDisk.free_bytes(path)
    }
}

fn id(byte: u8) -> FileId {
    FileId::from_bytes([byte; FileId::BYTES])
}

#[test]
fn a_node_whose_sync_failed_does_not_tell_that_there_is_nothing_under_a_key() {
    let disk = Failing::default();
    let stage = Stage::on(Box::new(disk.clone()));
    let keyed = NewUpload {
        key: Some("k".to_owned()),
        ..upload_of(sender("a"), Some(16))
    };
    let (opened, _) = stage.open(keyed).unwrap();
    let known = fingerprint::key_of(&sender("a"), "k");
    let ballot = |byte| Ballot {
        key: digest_of(&[byte]),
        sender: 1,
        attempt: id(byte),
        replaces: Vec::new(),
    };
    let [voted, failed] = [8, 9].map(ballot);
    stage
        .intake
        .journal
        .votes(std::slice::from_ref(&voted))
        .unwrap();
    let tell = |key, content| {
        let question = KeyQuestion {
            key,
            content,
            opened: None,
            asked_by: id(7),
        };
        stage.runtime.block_on(stage.intake.tell_of_key(question))
    };
    let contents = [None, Some(digest_of(b"content"))];
    let nothing = [digest_of(b"free"), voted.key, failed.key];
    let all = || {
        nothing
            .into_iter()
            .flat_map(|key| contents.map(|content| (key, content)))
    };
    for (key, content) in all() {
        assert!(tell(key, content).is_ok());
    }
    disk.0.store(true, Ordering::Relaxed);
    stage
        .intake
        .journal
        .votes(std::slice::from_ref(&failed))
        .unwrap_err();
    for (key, content) in all() {
        let told = tell(key, content);
        let is_poison = matches!(told, Err(IntakeError::Adopt(AdoptError::Poisoned(_))));
        assert!(is_poison, "{told:?}");
    }
    // What it knows, it tells.
    assert!(tell(known, None).unwrap().contains(&opened.to_string()));
    assert!(tell(known, contents[1]).unwrap().contains("other"));
}
