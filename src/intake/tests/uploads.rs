//! Uploads that come in several bodies: their limits, their owner, and bodies that broke off.

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::runtime::Runtime;

use super::*;
use crate::file::{FileId, WholeDigests};
use crate::journal::{Appended, Becomes, Completion, Ends, OpenUpload, UploadError};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// A node, with a runtime for its tasks.
pub(super) struct Stage {
    _scratch: tempfile::TempDir,
    pub(super) runtime: Runtime,
    pub(super) intake: Arc<Intake>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::on(Box::new(LocalDisk))
    }

    pub(super) fn on(disk: Box<dyn Disk>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build();
        Self {
            intake: Arc::new(intake_on(&scratch, disk)),
            runtime: runtime.unwrap(),
            _scratch: scratch,
        }
    }

    pub(super) fn open(&self, upload: NewUpload) -> Result<(FileId, CurrentUpload), IntakeError> {
        self.runtime.block_on(self.intake.open_upload(upload))
    }

    fn open_of(&self, declared: Option<u64>) -> FileId {
        self.open(upload_of(sender("a"), declared)).unwrap().0
    }

    pub(super) fn append(
        &self,
        sender: Sender,
        id: FileId,
        append: Append,
        bytes: &[u8],
    ) -> Result<Appended, IntakeError> {
        let body = AppendBody::Inline(Bytes::copy_from_slice(bytes));
        let appending = self.intake.append(sender, id, append, body);
        self.runtime.block_on(appending)
    }

    fn grow(&self, id: FileId, offset: u64, bytes: &[u8]) -> Result<Appended, IntakeError> {
        self.append(sender("a"), id, at(offset), bytes)
    }

    fn current(&self, sub: &str, id: FileId) -> Result<Option<CurrentUpload>, IntakeError> {
        let sender = sender(sub);
        self.runtime.block_on(self.intake.upload(&sender, id))
    }

    pub(super) fn offset(&self, id: FileId) -> u64 {
        match self.current("a", id).unwrap().unwrap() {
            CurrentUpload::Open(open) => open.offset,
            CurrentUpload::Complete(adopted) => adopted.meta().length,
            CurrentUpload::Made(made) => made.length,
        }
    }

    pub(super) fn admit(&self, id: FileId, offset: u64, request: &str) -> Result<(), IntakeError> {
        let (sender, append) = (sender("a"), at(offset));
        let admitted = self
            .intake
            .admit_append(&sender, id, &append, Some(1), request);
        self.runtime.block_on(admitted)
    }

    fn salvage(
        &self,
        id: FileId,
        append: Append,
        bytes: &[u8],
        request: &str,
    ) -> Result<Appended, IntakeError> {
        let path = self.intake.spool.path().join(SPOOLED);
        // The bytes of a file before it may be those of the upload now.
        std::fs::remove_file(&path).unwrap_or_default();
        std::fs::write(path, bytes).unwrap();
        let body = SpooledName {
            path: SPOOLED.into(),
            length: None,
        };
        let salvaged = self.intake.salvage(sender("a"), id, append, body, request);
        self.runtime.block_on(salvaged)
    }
}

pub(super) fn sender(sub: &str) -> Sender {
    sender_of(Grant::sample(sub, None, None))
}

fn sender_of(grant: Grant) -> Sender {
    let subject = grant.subject().unwrap_or_default().to_owned();
    Sender { grant, subject }
}

pub(super) fn upload_of(sender: Sender, declared: Option<u64>) -> NewUpload {
    NewUpload {
        sender,
        content_type: ClaimedType::default(),
        filename: None,
        metadata: Metadata::default(),
        key: None,
        declared,
        becomes: Becomes::File,
        whole: WholeDigests::default(),
    }
}

pub(super) fn at(offset: u64) -> Append {
    Append {
        offset,
        completion: Completion::default(),
        digests: StatedDigests::default(),
    }
}

fn last_at(offset: u64) -> Append {
    let completion = Completion {
        ends: Ends::Now,
        ..Completion::default()
    };
    Append {
        completion,
        ..at(offset)
    }
}

fn open(current: CurrentUpload) -> OpenUpload {
    match current {
        CurrentUpload::Open(open) => open,
        complete @ (CurrentUpload::Complete(_) | CurrentUpload::Made(_)) => panic!("{complete:?}"),
    }
}

/// The reason why an append did not count.
fn reason(outcome: Result<Appended, IntakeError>) -> UploadError {
    let err = outcome.unwrap_err();
    let IntakeError::Upload(err) = err else {
        panic!("{err}");
    };
    err
}

#[test]
fn an_upload_is_a_file_with_the_type_of_its_bytes_when_all_have_come() {
    let stage = Stage::new();
    let (id, begun) = stage.open(upload_of(sender("a"), Some(16))).unwrap();
    assert_eq!(open(begun).offset, 0);
    stage.grow(id, 0, &PNG[..5]).unwrap();
    assert_eq!(stage.offset(id), 5);
    let Appended::Complete(adopted) = stage.grow(id, 5, &PNG[5..16]).unwrap() else {
        panic!("it is complete");
    };
    assert_eq!(adopted.id(), id);
    assert_eq!(adopted.meta().length, 16);
    assert_eq!(adopted.meta().content_type.as_str(), "image/png");
    let again = reason(stage.grow(id, 16, b""));
    assert!(matches!(again, UploadError::Complete(_)), "{again}");
    // One without a length ends when its sender says so.
    let id = stage.open_of(None);
    stage.grow(id, 0, b"some").unwrap();
    let last = stage.append(sender("a"), id, last_at(4), b"");
    assert!(matches!(last, Ok(Appended::Complete(_))));
}

#[test]
fn bytes_at_another_offset_or_with_another_digest_leave_the_upload_as_it_was() {
    let stage = Stage::new();
    let id = stage.open_of(Some(100));
    stage.grow(id, 0, b"hello").unwrap();
    let elsewhere = reason(stage.grow(id, 4, b"world"));
    assert!(matches!(elsewhere, UploadError::Offset(5)), "{elsewhere}");
    let wrong = Append {
        digests: StatedDigests {
            sha1: vec![vec![0; 20]],
            ..StatedDigests::default()
        },
        ..at(5)
    };
    let refused = stage.append(sender("a"), id, wrong, b"world");
    assert!(matches!(refused, Err(IntakeError::DigestMismatch)));
    assert_eq!(stage.offset(id), 5);
}

#[test]
fn an_upload_is_absent_for_all_but_its_owner() {
    let stage = Stage::new();
    let id = stage.open_of(Some(100));
    assert!(stage.current("b", id).unwrap().is_none());
    let other = reason(stage.append(sender("b"), id, at(0), b"theirs"));
    assert!(matches!(other, UploadError::Absent), "{other}");
    let sender_b = sender("b");
    let ended = stage
        .runtime
        .block_on(stage.intake.end_upload(&sender_b, id));
    assert!(matches!(
        ended,
        Err(IntakeError::Upload(UploadError::Absent))
    ));
    let sender_a = sender("a");
    let ended = stage
        .runtime
        .block_on(stage.intake.end_upload(&sender_a, id));
    assert!(ended.unwrap());
    let ended = reason(stage.grow(id, 0, b"late"));
    assert!(matches!(ended, UploadError::Ended), "{ended}");
}

#[test]
fn limits_are_those_of_the_whole_upload() {
    let stage = Stage::new();
    // The node takes 1000 bytes.
    let refused = stage.open(upload_of(sender("a"), Some(1001)));
    assert!(matches!(refused, Err(IntakeError::TooLarge)));
    let id = stage.open_of(None);
    stage.grow(id, 0, &[0; 600]).unwrap();
    let refused = stage.grow(id, 600, &[0; 401]);
    assert!(matches!(refused, Err(IntakeError::TooLarge)));
    let declared = Append {
        completion: Completion {
            declared: Some(1001),
            ..Completion::default()
        },
        ..at(600)
    };
    let refused = stage.append(sender("a"), id, declared, &[0; 1]);
    assert!(matches!(refused, Err(IntakeError::TooLarge)));
    let small = || sender_of(Grant::sample("s", Some(10), None));
    let refused = stage.open(upload_of(small(), Some(11)));
    assert!(matches!(refused, Err(IntakeError::LargerThanAllowed)));
    let (id, _) = stage.open(upload_of(small(), None)).unwrap();
    stage.append(small(), id, at(0), &[0; 6]).unwrap();
    let refused = stage.append(small(), id, at(6), &[0; 5]);
    assert!(matches!(refused, Err(IntakeError::LargerThanAllowed)));
    let id = stage.open_of(Some(5));
    let beyond = reason(stage.grow(id, 0, b"123456"));
    assert!(
        matches!(beyond, UploadError::TooLong { declared: 5 }),
        "{beyond}"
    );
}

#[test]
fn a_type_that_the_token_forbids_is_seen_through_all_pieces() {
    let stage = Stage::new();
    let only_images = || sender_of(Grant::sample("s", None, Some("image/*")));
    let mut upload = upload_of(only_images(), Some(16));
    upload.content_type = ClaimedType::read(Some(b"text/html"));
    assert!(matches!(
        stage.open(upload),
        Err(IntakeError::TypeNotAllowed)
    ));
    let (id, _) = stage.open(upload_of(only_images(), Some(16))).unwrap();
    stage.append(only_images(), id, at(0), b"%").unwrap();
    let refused = stage.append(only_images(), id, at(1), b"PDF-1.7 and more");
    assert!(
        matches!(refused, Err(IntakeError::Upload(_))),
        "{refused:?}"
    );
    let refused = stage.append(only_images(), id, at(1), b"PDF-1.7 and mor");
    assert!(
        matches!(refused, Err(IntakeError::TypeNotAllowed)),
        "{refused:?}"
    );
    let (id, _) = stage.open(upload_of(only_images(), Some(16))).unwrap();
    stage.append(only_images(), id, at(0), &PNG[..1]).unwrap();
    let taken = stage.append(only_images(), id, at(1), &PNG[1..16]);
    assert!(matches!(taken, Ok(Appended::Complete(_))), "{taken:?}");
}

#[test]
fn the_rest_of_a_broken_body_counts_unless_a_newer_append_was_let_in() {
    let stage = Stage::new();
    let id = stage.open_of(Some(10));
    let unknown = reason(stage.salvage(id, at(0), b"abc", "first"));
    assert!(matches!(unknown, UploadError::Busy), "{unknown}");
    stage.admit(id, 0, "first").unwrap();
    stage.admit(id, 0, "second").unwrap();
    let overtaken = reason(stage.salvage(id, at(0), b"abc", "first"));
    assert!(matches!(overtaken, UploadError::Busy), "{overtaken}");
    assert_eq!(stage.offset(id), 0);
    stage.salvage(id, at(0), b"abc", "second").unwrap();
    assert_eq!(stage.offset(id), 3);
    // The statements of the request about the whole do not hold for a piece of its body.
    stage.admit(id, 3, "third").unwrap();
    stage.salvage(id, last_at(3), b"def", "third").unwrap();
    assert_eq!(stage.offset(id), 6);
    let mut stated = at(6);
    stated.digests.sha256 = vec![digest_of(b"ghi").0.to_vec()];
    stage.admit(id, 6, "fourth").unwrap();
    let refused = reason(stage.salvage(id, stated, b"ghi", "fourth"));
    assert!(matches!(refused, UploadError::Busy), "{refused}");
    let beyond = reason(stage.salvage(id, at(6), b"ghijk", "fourth"));
    assert!(matches!(beyond, UploadError::TooLong { .. }), "{beyond}");
    let whole = stage.salvage(id, at(6), b"ghij", "fourth");
    assert!(matches!(whole, Ok(Appended::Complete(_))), "{whole:?}");
}

#[test]
fn an_append_that_cannot_count_is_refused_before_its_body() {
    let stage = Stage::new();
    let id = stage.open_of(Some(10));
    let err = stage.admit(id, 1, "a").unwrap_err();
    assert!(matches!(err, IntakeError::Upload(UploadError::Offset(0))));
    let (sender_b, append) = (sender("b"), at(0));
    let admitted = stage
        .intake
        .admit_append(&sender_b, id, &append, Some(1), "a");
    let err = stage.runtime.block_on(admitted).unwrap_err();
    assert!(matches!(err, IntakeError::Upload(UploadError::Absent)));
    let (sender_a, append) = (sender("a"), at(0));
    let admitted = stage
        .intake
        .admit_append(&sender_a, id, &append, Some(11), "a");
    let err = stage.runtime.block_on(admitted).unwrap_err();
    assert!(matches!(
        err,
        IntakeError::Upload(UploadError::TooLong { declared: 10 })
    ));
}

#[test]
fn a_key_finds_its_upload_again_as_long_as_the_statements_are_the_same() {
    let stage = Stage::new();
    let keyed = |declared| NewUpload {
        key: Some("k".to_owned()),
        ..upload_of(sender("a"), declared)
    };
    let (id, _) = stage.open(keyed(Some(6))).unwrap();
    stage.grow(id, 0, b"abc").unwrap();
    let (again, current) = stage.open(keyed(Some(6))).unwrap();
    assert_eq!((again, open(current).offset), (id, 3));
    let part = NewUpload {
        becomes: Becomes::Part,
        ..keyed(Some(6))
    };
    for other in [keyed(Some(7)), part] {
        let other = stage.open(other);
        assert!(matches!(other, Err(IntakeError::KeyOfAnother)), "{other:?}");
    }
    stage.grow(id, 3, b"def").unwrap();
    let (again, current) = stage.open(keyed(Some(6))).unwrap();
    assert_eq!(again, id);
    assert!(matches!(current, CurrentUpload::Complete(_)));
}

/// A node that lets each sender have so many bytes pending.
pub(super) fn limited(subject_pending_bytes: u64) -> Stage {
    let scratch = tempfile::tempdir().unwrap();
    let mut node = intake(&scratch);
    node.quotas = Quotas::new(&AccessConfig {
        tokens: None,
        is_open: true,
        max_body_bytes: 1000,
        subject_uploads_per_minute: 0,
        subject_pending_bytes,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Stage {
        _scratch: scratch,
        runtime: runtime.unwrap(),
        intake: Arc::new(node),
    }
}

#[test]
fn an_open_upload_counts_as_pending_with_its_whole_length_until_it_ends() {
    let stage = limited(3000);
    let sender_a = sender("a");
    let left = |bytes| stage.intake.check_quota(&sender_a, bytes).is_ok();
    let id = stage.open_of(Some(500));
    assert!(left(1400) && !left(1500));
    // Its bytes were counted when it began.
    stage.grow(id, 0, &[0; 100]).unwrap();
    assert!(left(1400) && !left(1500));
    let ended = stage.intake.end_upload(&sender_a, id);
    let ended = stage.runtime.block_on(ended.boxed_local());
    assert!(ended.unwrap() && left(3000));
    // Each append to an upload without a length counts.
    let id = stage.open_of(None);
    assert!(left(1900));
    stage.grow(id, 0, &[0; 300]).unwrap();
    stage.grow(id, 300, &[0; 300]).unwrap();
    assert!(left(1300) && !left(1400));
}
