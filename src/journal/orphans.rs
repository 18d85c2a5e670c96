//! Spool files that nobody will claim.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use rustix::process::geteuid;

use super::point;
use super::volume::{Disk, if_there};

/// Removes spool files that have not changed for this long and that no process has open. nginx unlinks
/// its own files, unless it is killed. Returns their number.
///
/// # Errors
/// When the spool or /proc cannot be read; then nothing more is removed.
pub(super) fn remove(disk: &dyn Disk, spool: &Path, age: Duration) -> io::Result<usize> {
    let mut old = Vec::new();
    for found in fs::read_dir(spool)? {
        let path = found?.path();
        // nginx may have removed it meanwhile.
        if let Some(file) = if_there(fs::symlink_metadata(&path))?
            && file.is_file()
            && file.modified()?.elapsed().unwrap_or_default() >= age
        {
            old.push((path, (file.dev(), file.ino())));
        }
    }
    if old.is_empty() {
        return Ok(0);
    }
    // A client on a slow link changes its file rarely, but nginx keeps it open.
    let open = open_files()?;
    let mut removed = 0;
    for (path, file) in old {
        if !open.contains(&file) && if_there(disk.unlink(&path))?.is_some() {
            point!("sweep.orphan-unlinked");
            removed += 1;
        }
    }
    Ok(removed)
}

/// Device and inode of every file that a process of this user has open: nginx's workers run as the same
/// user. A process in another PID namespace is not in this `/proc`, and is not seen.
///
/// # Errors
/// When a process of this user cannot be examined, or may be hidden, as in a user namespace: it may be
/// an nginx, and a file that seems left behind may be a body on its way.
fn open_files() -> io::Result<HashSet<(u64, u64)>> {
    if may_hide_own(
        fs::exists("/proc/1")?,
        &fs::read_to_string("/proc/self/uid_map")?,
    ) {
        let hidden =
            "/proc hides processes that may be nginx's: see PrivateUsers= and ProtectProc=";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, hidden));
    }
    let user = geteuid().as_raw();
    let mut open = HashSet::new();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let handles = match fs::read_dir(process.path().join("fd")) {
            Ok(handles) => handles,
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                match process.metadata() {
                    Ok(found) if found.uid() == user => return Err(err),
                    // It belongs to another user, or is gone.
                    _ => continue,
                }
            }
            // It is not a process, or has ended.
            Err(_) => continue,
        };
        let files = handles.flatten().map(|handle| fs::metadata(handle.path()));
        open.extend(files.flatten().map(|file| (file.dev(), file.ino())));
    }
    Ok(open)
}

/// Whether `/proc` may hide processes of this very user. It does so if it shows only one's own
/// processes (`ProtectProc=invisible`: then even process 1 is hidden) and this process is in a user
/// namespace of its own (`PrivateUsers=`), for which all processes outside belong to others.
fn may_hide_own(shows_first: bool, uid_map: &str) -> bool {
    // user_namespaces(7): the first namespace maps every user to itself.
    let is_first_namespace = uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
    !shows_first && !is_first_namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_this_user_are_hidden_only_by_a_closed_proc_and_a_user_namespace_together() {
        let (first, own) = ("         0          0 4294967295\n", "33 33 1\n");
        for (shows_first, uid_map, may_hide) in [
            (true, first, false),
            (true, own, false),
            (false, first, false),
            (false, own, true),
        ] {
            assert_eq!(may_hide_own(shows_first, uid_map), may_hide, "{uid_map}");
        }
    }
}
