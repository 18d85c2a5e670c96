//! The word of a node whose log is poisoned.

use super::uploads::{Stage, sender, upload_of};
use super::*;
use crate::file::FileId;
use crate::journal::{AdoptError, Fault, FaultyDisk};
use crate::peers::KeyQuestion;
use crate::store::Ballot;

/// The sync of a group, behind its write.
const SYNC: usize = 1;

fn id(byte: u8) -> FileId {
    FileId::from_bytes([byte; FileId::BYTES])
}

#[test]
fn a_node_whose_sync_failed_tells_nobody_that_there_is_nothing_under_a_key() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(scratch.path().join("graveyard"));
    let stage = Stage::on(Box::new(disk.clone()));
    let keyed = NewUpload {
        key: Some("k".to_owned()),
        ..upload_of(sender("a"), Some(16))
    };
    let (opened, _) = stage.open(keyed).unwrap();
    let known = fingerprint::key_of(&sender("a"), "k");
    let ballot = |byte| Ballot {
        key: digest_of(&[byte]),
        sender: 1,
        attempt: id(byte),
        replaces: Vec::new(),
    };
    let [voted, failed] = [8, 9].map(ballot);
    stage
        .intake
        .journal
        .votes(std::slice::from_ref(&voted))
        .unwrap();
    let tell = |key, content| {
        let question = KeyQuestion {
            key,
            content,
            opened: None,
            asked_by: id(7),
        };
        stage.runtime.block_on(stage.intake.tell_of_key(question))
    };
    let contents = [None, Some(digest_of(b"content"))];
    let nothing = [digest_of(b"free"), voted.key, failed.key];
    let all = || {
        nothing
            .into_iter()
            .flat_map(|key| contents.map(|content| (key, content)))
    };
    for (key, content) in all() {
        assert!(tell(key, content).is_ok());
    }
    disk.fail_once(SYNC, Fault::Broken);
    stage
        .intake
        .journal
        .votes(std::slice::from_ref(&failed))
        .unwrap_err();
    for (key, content) in all() {
        let told = tell(key, content);
        let is_poison = matches!(told, Err(IntakeError::Adopt(AdoptError::Poisoned(_))));
        assert!(is_poison, "{told:?}");
    }
    let own = |key| {
        let sender = sender("a");
        let found = stage.intake.under_key(&sender, key);
        stage.runtime.block_on(found)
    };
    let told = own("free");
    let is_poison = matches!(told, Err(IntakeError::Adopt(AdoptError::Poisoned(_))));
    assert!(is_poison, "{told:?}");
    // It tells what it knows.
    assert!(matches!(own("k"), Ok(Some((id, None))) if id == opened));
    assert!(tell(known, None).unwrap().contains(&opened.to_string()));
    assert!(tell(known, contents[1]).unwrap().contains("other"));
}
