//! Makes a new journal and its name, and checks the format of an existing one.

mod processes;

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;

use super::layout::Layout;
use super::volume::{Disk, if_there};
use super::{Journal, OpenError};

/// The beginning of a marker, in every format.
const MARKER: &str = "gridspool journal";

/// The end of a marker in the present format.
const FORMAT: &str = ", form 2\n";

impl Journal {
    /// Makes the directories of a journal, and its marker. Does nothing if all of it exists.
    ///
    /// # Errors
    /// The disk's error; a journal of another format.
    pub fn init(data_dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
        let layout = Layout::new(data_dir);
        if layout.marker().exists() || layout.barrier().is_dir() {
            check_format(&layout)?;
        }
        for path in layout.directories() {
            fs::create_dir_all(&path).map_err(OpenError::at(&path))?;
        }
        let text = [MARKER, FORMAT].concat();
        // The barrier comes first: a journal with a marker always has it.
        let barrier = "No journal of the first form may begin here.\n";
        for (path, text) in [(layout.barrier(), barrier), (layout.marker(), &text)] {
            if !path.exists() {
                write_whole(disk, &path, text).map_err(OpenError::at(&path))?;
            }
        }
        disk.sync_directory(layout.journal())
            .map_err(OpenError::at(layout.journal()))?;
        Self::identity(data_dir, disk).map(drop)
    }

    /// The name of the journal in this data directory, which no other has: a node's number belongs to it. A
    /// restart finds it again; a copy of the directory has it, too. A journal without a name gets one.
    ///
    /// # Errors
    /// The disk's error.
    pub fn identity(data_dir: &Path, disk: &dyn Disk) -> Result<String, OpenError> {
        let layout = Layout::new(data_dir);
        let path = layout.identity();
        let found = if_there(fs::read_to_string(&path)).map_err(OpenError::at(&path))?;
        if let Some(found) = found {
            return Ok(found.trim().to_owned());
        }
        // The standard library seeds each hasher from the operating system's source of random numbers.
        let half = || RandomState::new().hash_one("journal");
        let name = format!("{:016x}{:016x}", half(), half());
        let written = write_whole(disk, &path, &format!("{name}\n"));
        let written = written.and_then(|()| disk.sync_directory(layout.journal()));
        written.map_err(OpenError::at(&path))?;
        Ok(name)
    }

    /// Whether the list of nodes has had this journal under this number, so that other nodes know it.
    ///
    /// # Errors
    /// The disk's error.
    pub fn has_joined(data_dir: &Path, number: u16) -> io::Result<bool> {
        let found = if_there(fs::read_to_string(Layout::new(data_dir).joined()))?;
        Ok(found.is_some_and(|found| found.trim() == number.to_string()))
    }

    /// Notes that the list of nodes has this journal under this number.
    ///
    /// # Errors
    /// The disk's error.
    pub fn note_joined(data_dir: &Path, number: u16, disk: &dyn Disk) -> io::Result<()> {
        let layout = Layout::new(data_dir);
        write_whole(disk, &layout.joined(), &format!("{number}\n"))?;
        disk.sync_directory(layout.journal())
    }

    /// Checks the directories of a journal without opening it: a sidecar may be working on it.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(data_dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
        let layout = Layout::new(data_dir);
        check_format(&layout)?;
        check_not_rescued(&layout)?;
        for path in layout.directories() {
            names(&path)?;
        }
        try_link(&layout, disk)
    }
}

/// Writes a file under another name first, and then renames it: half a marker would state an unknown
/// format.
pub(super) fn write_whole(disk: &dyn Disk, path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    if_there(disk.unlink(&unfinished))?;
    let file = disk.create(&unfinished, text.as_bytes())?;
    disk.sync_file(&file)?;
    disk.rename(&unfinished, path)
}

/// Checks that the marker exists, and states the format that this program reads.
pub(super) fn check_format(layout: &Layout) -> Result<(), OpenError> {
    let path = layout.marker();
    if layout.barrier().is_dir() {
        return Err(OpenError::EarlierFormat(layout.journal().to_owned()));
    }
    let text = match fs::read_to_string(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::NoMarker(path));
        }
        text => text.map_err(OpenError::at(&path))?,
    };
    match text.strip_prefix(MARKER) {
        Some(FORMAT) => Ok(()),
        Some("\n") => Err(OpenError::EarlierFormat(layout.journal().to_owned())),
        form => Err(OpenError::NewerFormat {
            path,
            form: form.unwrap_or(&text).trim().to_owned(),
        }),
    }
}

/// Checks that no other node has begun to take the entries of this journal over.
pub(super) fn check_not_rescued(layout: &Layout) -> Result<(), OpenError> {
    let path = layout.rescued();
    match fs::read_to_string(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(OpenError::at(&path)(err)),
        Ok(by) => Err(OpenError::Rescued {
            journal: layout.journal().to_owned(),
            by: by.trim().to_owned(),
        }),
    }
}

/// Adopts an empty file through the spool, like a real one, and removes it again.
pub(super) fn try_link(layout: &Layout, disk: &dyn Disk) -> Result<(), OpenError> {
    // The process id keeps it apart from the file of a check beside a running sidecar.
    let name = format!("link-test-{}", std::process::id());
    let (spooled, linked) = (layout.spool().join(&name), layout.bodies().join(&name));
    for leftover in [&spooled, &linked] {
        if_there(disk.unlink(leftover)).map_err(OpenError::at(leftover))?;
    }
    let file = disk
        .create(&spooled, &[])
        .map_err(OpenError::at(&spooled))?;
    let link = disk.link(&file, &linked);
    disk.unlink(&spooled).map_err(OpenError::at(&spooled))?;
    link.map_err(OpenError::NoLinks)?;
    disk.unlink(&linked).map_err(OpenError::at(&linked))
}

/// The names in a directory.
pub(super) fn names(path: &Path) -> Result<Vec<OsString>, OpenError> {
    let read = || -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?
            .map(|found| Ok(found?.file_name()))
            .collect()
    };
    read().map_err(OpenError::at(path))
}
