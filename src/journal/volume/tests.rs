//! Files that exist durably or not at all, and no success after a failed fsync.

use std::fs;
use std::path::{Path, PathBuf};

use super::Volume;
use crate::journal::tests::disk::FaultyDisk;
use crate::journal::tests::fault::Fault;

struct Stage {
    scratch: tempfile::TempDir,
    disk: FaultyDisk,
    volume: Volume,
}

fn stage() -> Stage {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("wal");
    fs::create_dir(&directory).unwrap();
    let disk = FaultyDisk::new(scratch.path().join("graveyard"));
    let volume = Volume::new(Box::new(disk.clone()), &directory);
    Stage {
        scratch,
        disk,
        volume,
    }
}

fn directory(scratch: &Path) -> PathBuf {
    scratch.join("wal")
}

#[test]
fn a_file_is_made_whole_and_survives_a_power_cut() {
    let stage = stage();
    stage.volume.make(3, 200_000).unwrap();
    let calls = ["create", "allocate", "sync_bytes", "sync_directory"];
    assert_eq!(stage.disk.calls(), calls);
    stage.disk.cut_power(&[directory(stage.scratch.path())]);
    assert_eq!(stage.volume.numbers().unwrap(), [3]);
    let bytes = fs::read(stage.volume.path(3)).unwrap();
    assert_eq!(bytes, vec![0; 200_000]);
}

#[test]
fn a_file_that_cannot_be_made_leaves_its_number_free() {
    for call in 0..4 {
        for fault in [Fault::Full, Fault::Broken, Fault::TooManyFiles] {
            let stage = stage();
            stage.disk.fail_once(call, fault);
            assert!(stage.volume.make(1, 9_000).is_err(), "{call} {fault:?}");
            let is_created = call == 0 && fault != Fault::TooManyFiles;
            if !is_created {
                assert!(stage.volume.numbers().unwrap().is_empty(), "{call}");
            }
            let is_poison = call >= 2 && fault != Fault::TooManyFiles;
            assert_eq!(stage.volume.check().is_err(), is_poison, "{call} {fault:?}");
        }
    }
}

#[test]
fn after_a_failed_fsync_the_volume_touches_nothing() {
    let stage = stage();
    let file = stage.volume.make(1, 9_000).unwrap();
    stage.disk.fail_once(0, Fault::Broken);
    stage.volume.sync(&file).unwrap_err();
    stage.disk.heal();
    assert!(stage.volume.write(&file, &[b"a"], 0).is_err());
    assert!(stage.volume.sync(&file).is_err());
    assert!(stage.volume.make(2, 9_000).is_err());
    assert!(stage.volume.remove(&[1]).is_err());
    assert_eq!(stage.disk.calls(), Vec::<&str>::new());
    assert!(stage.volume.open(1).is_ok());
}

#[test]
fn only_names_that_a_volume_gives_are_its_files() {
    let stage = stage();
    stage.volume.make(12, 4_096).unwrap();
    stage.volume.make(123_456_789, 4_096).unwrap();
    for name in ["1.wal", "00000007", "0000000x.wal", "+0000007.wal", "notes"] {
        fs::write(directory(stage.scratch.path()).join(name), b"other").unwrap();
    }
    assert_eq!(stage.volume.numbers().unwrap(), [12, 123_456_789]);
    stage.volume.remove(&[12, 99]).unwrap();
    stage.disk.cut_power(&[]);
    assert_eq!(stage.volume.numbers().unwrap(), [123_456_789]);
}
