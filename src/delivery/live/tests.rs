//! Readers of uploads that grow, on a journal.

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt as _;

use super::*;
use crate::config::JournalConfig;
use crate::delivery::tests::limits::limits;
use crate::file::{MediaType, Metadata};
use crate::journal::{
    Announcer, Becomes, Completion, Draft, Ends, LocalDisk, Subject, UploadDraft,
};
use crate::spool::Received;

/// A time in which nobody loses patience.
const LONG: Duration = Duration::from_hours(1);

fn start(
    directory: &Path,
    max_readers: usize,
    patience: Duration,
) -> (Arc<LiveUploads>, Arc<Journal>) {
    let uploads = LiveUploads::new(&LiveConfig {
        max_readers,
        patience,
    });
    let hearer = Arc::clone(&uploads);
    let announcer = Announcer::new(move |announcement| hearer.hear(announcement));
    Journal::init(directory, &LocalDisk).unwrap();
    let limits = JournalConfig {
        max_bytes: 1024 * 1024,
        ..limits(0)
    };
    let opened = Journal::open(directory, limits, Box::new(LocalDisk), announcer);
    (uploads, Arc::new(opened.unwrap().0))
}

fn begin(journal: &Journal, becomes: Becomes) -> FileId {
    let draft = Draft {
        content_type: MediaType::octet_stream(),
        filename: None,
        metadata: Metadata::default(),
        request: None,
        subject: Subject::default(),
        sub: None,
        stated: None,
        sha256: None,
    };
    let upload = UploadDraft {
        draft,
        declared: None,
        becomes,
        sha512: None,
    };
    journal.open_upload(upload).unwrap().0
}

fn append(journal: &Journal, id: FileId, at: u64, bytes: &[u8], is_last: bool) {
    let completion = Completion {
        ends: if is_last { Ends::Now } else { Ends::AtLength },
        ..Completion::default()
    };
    journal
        .append(id, at, Received::Inline(bytes), completion)
        .unwrap();
}

async fn reader(uploads: &Arc<LiveUploads>, journal: &Arc<Journal>, id: FileId) -> LiveReader {
    uploads.open(journal, id).await.unwrap().unwrap().1
}

#[tokio::test]
async fn readers_get_bytes_as_they_come_share_one_file_and_end_with_the_upload() {
    let scratch = tempfile::tempdir().unwrap();
    let (uploads, journal) = start(scratch.path(), 3, LONG);
    let id = begin(&journal, Becomes::File);
    let whole = reader(&uploads, &journal, id).await;
    append(&journal, id, 0, b"abc", false);
    let rest = reader(&uploads, &journal, id).await;
    let part = reader(&uploads, &journal, id).await;
    let followed = Arc::clone(&whole.followed);
    assert!(Arc::ptr_eq(&followed, &rest.followed));
    assert_eq!(uploads.readers(), 3);
    let full = uploads.open(&journal, id).await;
    assert!(matches!(full, Err(LiveError::Full)));
    let mut whole = pin!(whole.stream(0..u64::MAX));
    let mut rest = pin!(rest.stream(3..u64::MAX));
    let part: Vec<_> = part.stream(1..2).collect().await;
    assert_eq!(
        part.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(whole.next().await.unwrap().unwrap(), "abc");
    let waits = rest
        .as_mut()
        .poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(waits, Poll::Pending));
    append(&journal, id, 3, b"def", false);
    for stream in [&mut whole, &mut rest] {
        assert_eq!(stream.next().await.unwrap().unwrap(), "def");
    }
    append(&journal, id, 6, b"g", true);
    for stream in [&mut whole, &mut rest] {
        assert_eq!(stream.next().await.unwrap().unwrap(), "g");
        assert!(stream.next().await.is_none());
    }
    assert!(uploads.open(&journal, id).await.unwrap().is_none());
    assert_eq!(Arc::strong_count(followed.body.get().unwrap()), 1);
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let (uploads, journal) = start(scratch.path(), 10, Duration::from_millis(1));
    let [ended, shorter, still, at_stop] = [(); 4].map(|()| begin(&journal, Becomes::File));
    let mut readers = Vec::new();
    for id in [ended, shorter, still, at_stop] {
        readers.push(reader(&uploads, &journal, id).await.stream(2..u64::MAX));
    }
    journal.end_upload(ended).unwrap();
    append(&journal, shorter, 0, b"a", true);
    let mut outcomes = Vec::new();
    for (number, reader) in readers.into_iter().enumerate() {
        if number == 3 {
            uploads.end();
        }
        outcomes.push(pin!(reader).next().await.unwrap().unwrap_err());
    }
    assert!(matches!(
        outcomes.as_slice(),
        [
            LiveError::Ended,
            LiveError::Shorter,
            LiveError::StoodStill,
            LiveError::Stopping
        ]
    ));
    assert!(uploads.followed().is_empty());
    assert_eq!(uploads.readers(), 0);
}

#[tokio::test]
async fn a_part_of_a_later_file_and_an_unknown_upload_have_no_readers() {
    let scratch = tempfile::tempdir().unwrap();
    let (uploads, journal) = start(scratch.path(), 10, LONG);
    let unknown = "0123456789abcdef01234567".parse().unwrap();
    for id in [begin(&journal, Becomes::Part), unknown] {
        assert!(uploads.open(&journal, id).await.unwrap().is_none());
    }
    assert!(uploads.followed().is_empty());
}

#[tokio::test]
async fn an_earlier_state_that_is_announced_late_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (uploads, journal) = start(scratch.path(), 10, LONG);
    let id = begin(&journal, Becomes::File);
    append(&journal, id, 0, b"abc", false);
    let mut reader = reader(&uploads, &journal, id).await;
    for (progress, expected) in [
        (UploadProgress::Grown(1), 3),
        (UploadProgress::Grown(5), 5),
        (UploadProgress::Grown(4), 5),
        (UploadProgress::Complete(6), 6),
        (UploadProgress::Grown(5), 6),
    ] {
        uploads.hear(Announcement::Upload { id, progress });
        let piece = reader.next_piece(&(0..u64::MAX)).await.unwrap();
        assert_eq!(piece, Some(0..expected));
    }
}
