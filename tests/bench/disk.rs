//! The file system that is measured: ext4 with a journal, on a loop device if the machine permits
//! one.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kit::loop_disk;

use crate::block::Body;
use crate::options::Options;
use crate::process::{remove_at_end, unmount_at_end};
use crate::stats::{MIB, Sample, float};

/// The size of the loop device in bytes: room for the data of a run. The file behind it is sparse.
const BYTES: u64 = 16 << 30;

/// The bytes that are written to measure the disk's own rate.
const PROBE: u64 = 512 << 20;

/// The bytes of memory that are touched before a measurement: more than it writes through the page
/// cache.
const TOUCHED: usize = 2 << 30;

#[derive(Debug)]
pub(crate) struct Disk {
    /// The directory of the data that is measured.
    pub(crate) data: PathBuf,
    /// The directory of everything else.
    pub(crate) scratch: PathBuf,
    /// The file system, as the report names it.
    pub(crate) words: String,
    is_quick: bool,
}

impl Disk {
    pub(crate) fn prepare(options: &Options) -> Self {
        let name = format!("gridspool-bench.{}", std::process::id());
        let scratch = options.dir.join(name);
        fs::create_dir_all(&scratch).unwrap_or_else(|err| panic!("{}: {err}", scratch.display()));
        let scratch = scratch.canonicalize().expect("the directory just made");
        remove_at_end(&scratch);
        let data = scratch.join("data");
        fs::create_dir(&data).expect("a directory");
        let words = if mount_loop(&scratch.join("disk"), &data) {
            format!(
                "ext4 with a journal, on a loop device on {}",
                kind_of(&scratch)
            )
        } else {
            format!(
                "{} (no loop mount: not root, or not permitted)",
                kind_of(&data)
            )
        };
        Self {
            data,
            scratch,
            words,
            is_quick: options.is_quick,
        }
    }

    /// Waits until the file system has written everything, so that no measurement pays for the one
    /// before.
    pub(crate) fn settle(&self) {
        let directory = File::open(&self.data).expect("the data directory");
        rustix::fs::syncfs(&directory).expect("syncfs");
    }

    /// Waits like [`Disk::settle`]. Unless the run is quick, it also touches memory for the page
    /// cache.
    pub(crate) fn settle_and_touch(&self) {
        self.settle();
        if !self.is_quick {
            touch_memory();
        }
    }

    /// Returns the MiB that were written to the device below the data, since the device exists.
    pub(crate) fn written_mib(&self) -> f64 {
        const SECTOR: f64 = 512.0;
        let device = fs::metadata(&self.data).expect("the data directory").dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let table = fs::read_to_string("/proc/diskstats").unwrap_or_default();
        let sectors = table.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let is_it = words.first()?.parse() == Ok(major) && words.get(1)?.parse() == Ok(minor);
            is_it.then(|| words.get(9)?.parse::<f64>().ok()).flatten()
        });
        sectors.unwrap_or(0.0) * SECTOR / MIB
    }

    /// Measures the disk's own rate as `dd conv=fsync` does: one large write, then one fsync.
    pub(crate) fn own_rate(&self) -> Sample {
        let path = self.data.join("probe");
        let mut file = File::create(&path).expect("a file");
        let body = Body::of(0, PROBE);
        let begun = Instant::now();
        let mut position = 0;
        while position < PROBE {
            let piece = body.at(position);
            let piece = &piece[..piece.len().min(1 << 20)];
            file.write_all(piece).expect("room on the disk");
            position += u64::try_from(piece.len()).expect("small");
        }
        file.sync_all().expect("fsync");
        let seconds = begun.elapsed().as_secs_f64();
        drop(file);
        fs::remove_file(path).expect("the file just written");
        let mib = float(PROBE) / MIB / seconds;
        Sample::default().with("mib", mib).with("seconds", seconds)
    }
}

/// Uses much of the free memory, and frees it again. A virtual machine may have given that memory
/// back to its host; then its first use takes as long as a copy.
fn touch_memory() {
    const PAGE: usize = 4096;
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = table.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.strip_suffix("kB")?;
        kib.trim().parse::<usize>().ok()
    });
    let bytes = (available.unwrap_or(0) / 2 * 1024).min(TOUCHED);
    let mut memory = vec![0_u8; bytes];
    for byte in memory.iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    std::hint::black_box(memory);
}

/// Mounts an ext4 on a loop device; returns false if this machine does not permit it.
fn mount_loop(image: &Path, at: &Path) -> bool {
    let is_made = loop_disk::make(image, "ext4", BYTES, &[])
        .and_then(|()| loop_disk::mount(image, at))
        .is_ok();
    if is_made {
        unmount_at_end(at);
    } else {
        fs::remove_file(image).unwrap_or_default();
    }
    is_made
}

/// Returns the type of the file system that a directory is on.
fn kind_of(directory: &Path) -> String {
    let found = Command::new("findmnt")
        .args(["-n", "-o", "FSTYPE", "-T"])
        .arg(directory)
        .output();
    let found = found.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&found).trim().to_owned()
}

/// Empties a directory, but keeps the directory itself.
pub(crate) fn empty(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                panic!("{}: {err}", path.display())
            }
            _ => {}
        }
    }
}

/// Makes a directory for sockets. Their paths must be short.
pub(crate) fn sockets() -> PathBuf {
    let directory = tempfile::Builder::new()
        .prefix("gridspool-bench")
        .tempdir_in("/tmp");
    let path = directory.expect("a directory in /tmp").keep();
    remove_at_end(&path);
    path
}
