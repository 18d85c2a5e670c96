//! A rollback to a program that does not know the journal's format: it must refuse to start, and leave
//! everything unchanged.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{io, str};

use kit::{Site, finish};

/// `EX_CONFIG`.
const REFUSED: i32 = 78;

/// Puts another format into the marker, tries a start, and restores the marker.
pub(crate) fn strike(site: &mut Site) -> Result<(), String> {
    site.kill_sidecar();
    let journal = site.data_dir().join("journal");
    let marker = journal.join("gridspool-journal");
    let own = fs::read(&marker).expect("the marker");
    let text = str::from_utf8(&own).expect("a text");
    let other = text.replace("form 2", "form 3");
    assert_ne!(other, text, "the marker tells the form");
    write(&marker, other.as_bytes()).expect("to write the marker");
    let before = files(&journal).expect("the journal");
    let output = finish(&mut site.command());
    let after = files(&journal).expect("the journal");
    write(&marker, &own).expect("to write the marker");
    site.start_sidecar();
    if output.status.code() != Some(REFUSED) {
        return Err(format!("a journal of another format: {output:?}"));
    }
    if before != after {
        return Err(format!(
            "a start that was refused has changed {before:?} to {after:?}"
        ));
    }
    Ok(())
}

/// Writes a file that survives a power cut.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    File::open(path)?.sync_all()
}

/// Returns all files below a directory, with their lengths and the times of their last writes.
fn files(directory: &Path) -> io::Result<Vec<(PathBuf, u64, std::time::SystemTime)>> {
    let mut files = Vec::new();
    for found in fs::read_dir(directory)? {
        let path = found?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push((path, metadata.len(), metadata.modified()?));
        }
    }
    files.sort();
    Ok(files)
}
