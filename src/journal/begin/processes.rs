//! The processes that have served this journal, so that a start knows which of them have ended.
//!
//! A copy of the data directory has the same name and the same numbers as the original, and both would be
//! taken for one node. So each line also has the inode of the directory: what a copy has belongs to others.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::write_whole;
use crate::journal::Journal;
use crate::journal::layout::Layout;
use crate::journal::volume::{Disk, if_there};

/// The most names that are kept: those of starts that did not come to the list of nodes pile up.
const MOST: usize = 16;

impl Journal {
    /// Notes the name of this process. Returns the names of earlier ones that served this very directory.
    /// The caller holds the journal's lock, so they have ended. If the name cannot be written, as on a full
    /// disk, the next start does not know of this process.
    ///
    /// # Errors
    /// The disk's error; the names cannot be read.
    pub fn note_process(data_dir: &Path, name: &str, disk: &dyn Disk) -> io::Result<Vec<String>> {
        let layout = Layout::new(data_dir);
        let directory = fs::metadata(layout.journal())?.ino().to_string();
        let found = if_there(fs::read_to_string(layout.processes()))?.unwrap_or_default();
        let lines = found.lines().filter_map(|line| line.split_once(' '));
        let own = lines.filter(|&(inode, _)| inode == directory);
        let earlier: Vec<_> = own.map(|(_, name)| name.to_owned()).collect();
        let kept = earlier
            .iter()
            .skip((earlier.len() + 1).saturating_sub(MOST));
        let mut text = String::new();
        for name in kept.map(String::as_str).chain([name]) {
            text.extend([&directory, " ", name, "\n"]);
        }
        let written = write_whole(disk, &layout.processes(), &text);
        if let Err(err) = written.and_then(|()| disk.sync_directory(layout.journal())) {
            log::warn!("{}: {err}", layout.processes().display());
        }
        Ok(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::LocalDisk;

    #[test]
    fn a_directory_knows_its_last_processes_and_a_copy_knows_none() {
        let scratch = tempfile::tempdir().unwrap();
        let [original, copy] = ["original", "copy"].map(|name| scratch.path().join(name));
        for data in [&original, &copy] {
            fs::create_dir_all(Layout::new(data).journal()).unwrap();
        }
        let start =
            |data: &Path, name: &str| Journal::note_process(data, name, &LocalDisk).unwrap();
        let mut names = Vec::new();
        for number in 0..MOST + 5 {
            let name = format!("host {number}");
            assert_eq!(start(&original, &name), names);
            names.push(name);
            names.drain(..names.len().saturating_sub(MOST));
        }
        let [from, to] = [&original, &copy].map(|data| Layout::new(data).processes());
        fs::copy(from, to).unwrap();
        assert_eq!(start(&copy, "other"), [""; 0]);
        assert_eq!(start(&copy, "third"), ["other"]);
        // Its name cannot be written.
        let in_the_way = Layout::new(&original).processes().with_extension("new");
        fs::create_dir(&in_the_way).unwrap();
        assert_eq!(start(&original, "unknown"), names);
        fs::remove_dir(in_the_way).unwrap();
        assert_eq!(start(&original, "next"), names);
    }
}
