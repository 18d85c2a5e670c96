//! A data directory on a file system that a test can fill. It is in memory, and only root can make
//! it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::StatVfs;
use rustix::process::geteuid;

use crate::{Site, finish, skip, wait_until};

/// A small file system over a site's data directory. Dropping it removes it.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of this size, in mount(8)'s words, and starts the site on it. Returns
    /// `None` where that is not allowed; the test is then reported as skipped.
    pub fn below(site: &mut Site, test: &str, room: &str) -> Option<Self> {
        if !geteuid().is_root() {
            skip(test, "only root can mount a small file system");
            return None;
        }
        site.stop_nginx();
        site.stop_sidecar();
        let directory = site.data_dir();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", room, "gridspool-test"])
            .arg(&directory)
            .output()
            .expect("mount");
        if !mounted.status.success() {
            skip(test, &String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        let disk = Self { directory };
        let made = finish(site.command().arg("init"));
        assert!(made.status.success());
        site.start_sidecar();
        site.start_nginx();
        Some(disk)
    }

    /// Takes all inodes except for `count`, by empty files.
    pub fn leave_inodes(&self, count: u64) {
        let filler = self.filler();
        for number in count..self.free().f_favail {
            std::fs::write(filler.join(number.to_string()), "").expect("an empty file");
        }
    }

    /// Takes all room except for `count` bytes, by one file.
    pub fn leave_bytes(&self, count: u64) {
        let free = self.free();
        let length = (free.f_bavail * free.f_frsize).saturating_sub(count);
        let content = vec![0; usize::try_from(length).expect("a small disk")];
        std::fs::write(self.filler().join("bytes"), content).expect("a file");
    }

    /// Gives back the room that [`SmallDisk::leave_inodes`] or [`SmallDisk::leave_bytes`] took.
    pub fn give_back(&self) {
        std::fs::remove_dir_all(self.directory.join("filler")).expect("the filler");
    }

    /// Waits until `bytes` bytes are free: a file gives its room back some time after it has lost
    /// its name.
    pub fn wait_until_free(&self, bytes: u64) {
        wait_until("there is room on the disk", || {
            let free = self.free();
            free.f_bavail * free.f_frsize >= bytes
        });
    }

    fn free(&self) -> StatVfs {
        rustix::fs::statvfs(&self.directory).expect("a file system")
    }

    fn filler(&self) -> PathBuf {
        let filler = Path::new(&self.directory).join("filler");
        std::fs::create_dir_all(&filler).expect("the filler");
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // This is a lazy unmount: processes with open files may end later.
        let gone = Command::new("umount")
            .arg("-l")
            .arg(&self.directory)
            .status();
        if !gone.is_ok_and(|gone| gone.success()) {
            eprintln!("{} stays mounted", self.directory.display());
        }
    }
}
