//! A disk without fsyncs.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk::{Disk, LocalDisk};

/// The real disk without any fsync: a power cut may lose or tear uploads that were answered. For
/// measurements, and for users who may lose files.
#[derive(Debug, Clone, Copy)]
pub struct UnsyncedDisk;

impl Disk for UnsyncedDisk {
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

    fn sync_bytes(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_file(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
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
