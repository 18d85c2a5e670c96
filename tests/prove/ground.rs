//! The file system under a journal or a mongod. It can be filled, and its power can be cut.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::{loop_disk, wait_until};

/// The number of inodes is small, so that they run out soon in a fault. nginx's cache takes one for
/// each small file that was read, and for its directories.
const INODES: &str = "32768";

/// A file system on a loop device. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Ground {
    image: PathBuf,
    at: PathBuf,
}

impl Ground {
    /// Makes a file system of this kind and size in a new directory, as root only. Its file is
    /// sparse.
    pub(crate) fn make(kind: &str, bytes: u64, scratch: &Path) -> Self {
        let ground = Self {
            image: scratch.join("disk"),
            at: scratch.join("mounted"),
        };
        fs::create_dir_all(&ground.at).expect("a directory");
        // XFS makes inodes as it needs them.
        let inodes = if kind == "ext4" {
            &["-N", INODES][..]
        } else {
            &[]
        };
        loop_disk::make(&ground.image, kind, bytes, inodes).expect("a disk");
        ground.mount();
        ground
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.at.clone()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    fn mount(&self) {
        loop_disk::mount(&self.image, &self.at).expect("to mount the disk");
    }

    /// Makes everything that was written until now durable.
    pub(crate) fn sync(&self) {
        let directory = File::open(&self.at).expect("the disk");
        rustix::fs::syncfs(&directory).expect("syncfs");
    }

    /// From here on nothing more reaches the disk, neither bytes nor the file system's own journal (the
    /// ioctl GOINGDOWN without a flush), and every write fails.
    pub(crate) fn cut(&self) {
        let shutdown = ["-x", "-c", "shutdown"];
        run(Command::new("xfs_io").args(shutdown).arg(&self.at));
    }

    /// Mounts it again with everything that had reached the disk. No process may have a file open
    /// there.
    pub(crate) fn restore(&self) {
        self.unmount();
        self.mount();
    }

    fn unmount(&self) {
        wait_until("nobody uses the disk", || {
            loop_disk::unmount(&self.at).is_ok()
        });
    }

    /// Takes all the room, until [`Ground::make_room`].
    pub(crate) fn fill(&self) {
        let ballast = File::create(self.at.join("ballast")).expect("a file");
        let mut bytes: u64 = 1 << 40;
        while bytes >= 4096 {
            let end = ballast.metadata().expect("a file").len();
            let flags = rustix::fs::FallocateFlags::empty();
            if rustix::fs::fallocate(&ballast, flags, end, bytes).is_err() {
                bytes /= 2;
            }
        }
    }

    /// Takes all the inodes, until [`Ground::make_room`]. Only a file system with a fixed number of
    /// inodes runs out of them.
    pub(crate) fn fill_inodes(&self) {
        let directory = self.at.join("many");
        fs::create_dir(&directory).expect("a directory");
        let mut number = 0;
        while number < 1_000_000 && File::create(directory.join(number.to_string())).is_ok() {
            number += 1;
        }
    }

    pub(crate) fn make_room(&self) {
        let gone = |result: std::io::Result<()>| match result {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => panic!("{err}"),
            _ => {}
        };
        gone(fs::remove_file(self.at.join("ballast")));
        gone(fs::remove_dir_all(self.at.join("many")));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|err| panic!("{command:?}: {err}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
