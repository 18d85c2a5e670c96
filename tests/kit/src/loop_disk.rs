//! File systems on loop devices. Only root can make them.

use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Makes a file system of this kind and size in a sparse file. `options` go to its mkfs.
///
/// # Errors
/// The thing that the machine lacks for it.
pub fn make(image: &Path, kind: &str, bytes: u64, options: &[&str]) -> Result<(), String> {
    let made = File::create(image).and_then(|file| file.set_len(bytes));
    made.map_err(|err| format!("{}: {err}", image.display()))?;
    let mut command = Command::new(format!("mkfs.{kind}"));
    run(command.args(options).arg("-q").arg(image))
}

/// Mounts a file system on a directory.
///
/// # Errors
/// The thing that the machine lacks for it, or forbids.
pub fn mount(image: &Path, at: &Path) -> Result<(), String> {
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(image)
        .arg(at))
}

/// Unmounts a file system that no process uses any more.
///
/// # Errors
/// An error, if a process still uses it.
pub fn unmount(at: &Path) -> Result<(), String> {
    run(Command::new("umount").arg(at))
}

/// Runs a command without output.
fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {output:?}")),
        Err(err) => Err(format!("{command:?}: {err}")),
    }
}
