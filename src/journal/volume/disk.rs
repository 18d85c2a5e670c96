//! Every call that changes what a crash leaves behind: link, write, fsync, rename, unlink; and reads of
//! the log.
//!
//! No other code of the crate makes such a call, so none can be forgotten unnoticed. As it is a trait,
//! tests can make each call fail.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags};
use rustix::io::Errno;

/// The bytes that are copied at once if the kernel does not copy them itself.
const PIECE: usize = 256 * 1024;

/// The file system under the journal.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Gives an open file one more name. It links this very file, even if its old name means another
    /// file by now (linkat(2) through /proc/self/fd).
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; any error of the system.
    fn link(&self, file: &File, to: &Path) -> io::Result<()>;

    /// Writes a new file, and leaves it open and unsynced.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; any error of the system.
    fn create(&self, path: &Path, content: &[u8]) -> io::Result<File>;

    /// Fills a new file with this many zeros, and reserves the room for them on the disk; unsynced
    /// (fallocate(2)).
    ///
    /// # Errors
    /// `StorageFull` if there is no such room; any error of the system.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Writes all pieces one behind the other at an offset of a file, and leaves them unsynced.
    ///
    /// # Errors
    /// Any error of the system; then any part of the pieces may be written.
    fn write_at(&self, file: &File, pieces: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Writes this many bytes from the beginning of a file to an offset of another, and leaves them
    /// unsynced. The file system may share the blocks (`copy_file_range(2)`).
    ///
    /// # Errors
    /// `UnexpectedEof` if the first file is shorter; any error of the system. Then any part of them may
    /// be written.
    fn copy(&self, from: &File, to: &File, offset: u64, length: u64) -> io::Result<()>;

    /// Cuts a file off behind this many bytes, unsynced.
    ///
    /// # Errors
    /// Any error of the system.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;

    /// Makes a file's bytes and its length survive a power cut (fdatasync(2)).
    ///
    /// # Errors
    /// As [`Disk::sync_file`].
    fn sync_bytes(&self, file: &File) -> io::Result<()>;

    /// Makes a file's bytes and times survive a power cut (fsync(2)).
    ///
    /// # Errors
    /// Any error of the system. The pages may be lost then: do not try again and believe the result.
    fn sync_file(&self, file: &File) -> io::Result<()>;

    /// Makes the names in a directory survive a power cut.
    ///
    /// # Errors
    /// As [`Disk::sync_file`].
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, and replaces any file with the new name.
    ///
    /// # Errors
    /// Any error of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// `NotFound` if there is none; any error of the system.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Reads from an offset of a file; fewer bytes than the buffer has only at its end, or by chance
    /// (pread(2)).
    ///
    /// # Errors
    /// Any error of the system. The bytes may be readable later.
    fn read_at(&self, file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(into, offset)
    }

    /// Bytes that this process may still write below `path`.
    ///
    /// # Errors
    /// Any error of the system.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Files that this process may still make below `path`.
    ///
    /// # Errors
    /// Any error of the system.
    fn free_inodes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        // A file system that makes inodes as it needs them counts none.
        Ok(if found.f_files == 0 {
            u64::MAX
        } else {
            found.f_favail
        })
    }
}

/// `None` instead of `NotFound`: a file that is gone already needs no removal.
pub(crate) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// The real one.
#[derive(Debug, Clone, Copy)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn link(&self, file: &File, to: &Path) -> io::Result<()> {
        let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(
            CWD,
            open_file,
            CWD,
            to,
            AtFlags::SYMLINK_FOLLOW,
        )?)
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        Ok(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            // The file system lacks fallocate: write the zeros.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(file, bytes),
            allocated => Ok(allocated?),
        }
    }

    fn write_at(&self, file: &File, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let (mut left, mut place) = (slices.as_mut_slice(), offset);
        // This drops empty pieces at the beginning, so that the first one has something to write.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            // The kernel takes a limited number of pieces in one call, beginning with the first.
            match rustix::io::pwritev(file, left, place) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut left, written);
                    place += u64::try_from(written).map_err(io::Error::other)?;
                }
                Err(Errno::INTR) => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }

    fn copy(&self, from: &File, to: &File, offset: u64, length: u64) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let (mut at, mut place) = (done, offset + done);
            let left = usize::try_from(length - done).unwrap_or(usize::MAX);
            let copied =
                rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut place), left);
            let copied = match copied {
                // The kernel copies nothing between these files.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    copy_piece(from, to, done, offset + done, left)?
                }
                Err(Errno::INTR) => continue,
                copied => copied?,
            };
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += u64::try_from(copied).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync_bytes(&self, file: &File) -> io::Result<()> {
        file.sync_data()?;
        confirm_alive(file)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        confirm_alive(file)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = File::open(path)?;
        directory.sync_all()?;
        confirm_alive(&directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// Writes this many zeros from the beginning of a file.
fn fill(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = [0; 16 * 1024];
    let mut place = 0;
    while place < bytes {
        let left = usize::try_from(bytes - place).unwrap_or(usize::MAX);
        let some = zeros.get(..left).unwrap_or(&zeros);
        LocalDisk.write_at(file, &[some], place)?;
        place += u64::try_from(some.len()).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Writes some bytes of a file, at most this many, to a place in another. Returns their number.
fn copy_piece(from: &File, to: &File, at: u64, place: u64, most: usize) -> io::Result<usize> {
    let mut piece = vec![0; most.min(PIECE)];
    let read = from.read_at(&mut piece, at)?;
    let piece = piece.get(..read).unwrap_or_default();
    LocalDisk.write_at(to, &[piece], place)?;
    Ok(read)
}

/// Confirms that a reported sync really happened. XFS reports success even if it shuts down meanwhile
/// and drops unwritten data; after such a shutdown this call fails.
fn confirm_alive(file: &File) -> io::Result<()> {
    file.metadata().map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn any_number_of_pieces_is_written_behind_each_other_and_none_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        let file = LocalDisk.create(&path, b"ab").unwrap();
        let numbers: Vec<_> = (0..3_000).map(|n| n.to_string()).collect();
        let pieces: Vec<_> = numbers
            .iter()
            .flat_map(|number| [number.as_bytes(), b""])
            .collect();
        LocalDisk.write_at(&file, &pieces, 1).unwrap();
        LocalDisk.write_at(&file, &[], 0).unwrap();
        LocalDisk.write_at(&file, &[b"", b""], 0).unwrap();
        let mut written = String::new();
        File::open(&path)
            .unwrap()
            .read_to_string(&mut written)
            .unwrap();
        assert_eq!(written, format!("a{}", numbers.concat()));
    }
}
