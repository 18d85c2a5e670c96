//! Bodies under a key that broke off, and the retries of their senders.

use super::uploads::{Stage, at, limited, sender, upload_of};
use super::*;
use crate::file::FileId;
use crate::journal::{Appended, Ends, UploadError};

fn keyed(declared: Option<u64>) -> NewUpload {
    NewUpload {
        key: Some("k".to_owned()),
        ..upload_of(sender("a"), declared)
    }
}

impl Stage {
    fn spooled(&self, bytes: &[u8]) -> SpooledName {
        let path = self.intake.spool.path().join(SPOOLED);
        // The bytes of a file before it may be those of an entry now.
        std::fs::remove_file(&path).unwrap_or_default();
        std::fs::write(path, bytes).unwrap();
        SpooledName {
            path: SPOOLED.into(),
            length: None,
        }
    }

    fn break_off(&self, upload: NewUpload, bytes: &[u8]) -> Result<Option<FileId>, IntakeError> {
        self.break_off_as(upload, Ends::AtLength, bytes)
    }

    fn break_off_as(
        &self,
        upload: NewUpload,
        ends: Ends,
        bytes: &[u8],
    ) -> Result<Option<FileId>, IntakeError> {
        let body = self.spooled(bytes);
        let salvaged = self.intake.salvage_beginning(upload, ends, body);
        let salvaged = self.runtime.block_on(salvaged)?;
        Ok(salvaged.map(|(id, _)| id))
    }

    fn take(&self, bytes: &[u8]) -> Result<FileId, IntakeError> {
        self.spooled(bytes);
        let upload = FileUpload {
            sender: sender("a"),
            head: head(None, Some("k")),
            content_type: ClaimedType::default(),
            filename: None,
        };
        let taken = self.runtime.block_on(self.intake.take_spooled(upload))?;
        Ok(taken.first().unwrap().id())
    }

    fn under_key(&self) -> Option<FileId> {
        self.found("a")
    }

    fn found(&self, by: &str) -> Option<FileId> {
        let by = sender(by);
        let found = self.runtime.block_on(self.intake.under_key(&by, "k"));
        let (id, elsewhere) = found.unwrap()?;
        assert!(elsewhere.is_none(), "there is no other node");
        Some(id)
    }
}

#[test]
fn a_broken_body_is_an_upload_under_its_key_and_a_longer_one_adds_its_rest() {
    let stage = Stage::new();
    assert_eq!(stage.break_off(keyed(Some(6)), b"").unwrap(), None);
    assert_eq!(stage.under_key(), None);
    let id = stage.break_off(keyed(Some(6)), b"abc").unwrap().unwrap();
    assert_eq!((stage.under_key(), stage.offset(id)), (Some(id), 3));
    for (bytes, offset) in [(&b"ab"[..], 3), (b"abc", 3), (b"abcd", 4), (b"abc", 4)] {
        let adds = offset > stage.offset(id);
        let salvaged = stage.break_off(keyed(Some(6)), bytes).unwrap();
        assert_eq!(salvaged, adds.then_some(id), "{bytes:?}");
        assert_eq!(stage.offset(id), offset);
    }
    for (upload, bytes) in [
        (keyed(Some(7)), b"abcde"),
        (keyed(Some(6)), b"abXde"),
        (keyed(Some(6)), b"abcXe"),
    ] {
        let other = stage.break_off(upload, bytes);
        assert!(matches!(other, Err(IntakeError::KeyOfAnother)), "{other:?}");
        assert_eq!(stage.offset(id), 4);
    }
    assert_eq!(stage.found("b"), None);
    let whole = stage.append(sender("a"), id, at(4), b"ef");
    assert!(matches!(whole, Ok(Appended::Complete(_))), "{whole:?}");
    assert_eq!(stage.take(b"abcdef").unwrap(), id);
    assert_eq!(stage.break_off(keyed(Some(6)), b"abc").unwrap(), None);
}

#[test]
fn a_beginning_by_the_draft_that_broke_off_completes_nothing_even_with_all_bytes() {
    let stage = Stage::new();
    for bytes in [&b"abc"[..], b"abcdef"] {
        let id = stage.break_off_as(keyed(Some(6)), Ends::Later, bytes);
        let id = id.unwrap().unwrap();
        assert_eq!(stage.offset(id), u64::try_from(bytes.len()).unwrap());
        let last = stage.append(sender("a"), id, at(stage.offset(id)), b"");
        let completes = bytes.len() == 6;
        assert_eq!(matches!(last, Ok(Appended::Complete(_))), completes);
    }
}

#[test]
fn a_beginning_does_not_overtake_an_append_that_was_let_in() {
    let stage = Stage::new();
    let (id, _) = stage.open(keyed(Some(6))).unwrap();
    stage.admit(id, 0, "first").unwrap();
    let overtaken = stage.break_off(keyed(Some(6)), b"abc");
    let is_busy = matches!(overtaken, Err(IntakeError::Upload(UploadError::Busy)));
    assert!(is_busy, "{overtaken:?}");
    assert_eq!(stage.offset(id), 0);
}

#[test]
fn a_whole_file_has_the_room_of_what_its_key_has_left() {
    let stage = limited(3000);
    let bytes = [1; 900];
    let id = stage.break_off(keyed(Some(900)), &bytes[..5]).unwrap();
    let admitted = |key| {
        let sender = sender("a");
        stage.intake.check_quota_of_file(&sender, 1200, key).is_ok()
    };
    assert!(admitted(Some("k")) && !admitted(Some("other")) && !admitted(None));
    let file = stage.take(&bytes).unwrap();
    assert_ne!(Some(file), id);
    assert_eq!(stage.under_key(), Some(file));
    let late = stage.break_off(keyed(Some(900)), &bytes[..5]);
    assert!(matches!(late, Err(IntakeError::KeyOfAnother)), "{late:?}");
    // The rest of the earlier try gave its room back.
    assert!(stage.intake.check_quota(&sender("a"), 1000).is_ok());
}
