//! Files that are in the journal.

use super::*;
use crate::file::{MediaType, Metadata};
use crate::journal::{Draft, Glimpse};
use crate::spool::Received;

/// Looks for a file that was just promised, when the disk has nothing of it any more.
async fn look_without_disk(content: Option<Bytes>, log_body_bytes: u32) -> Look {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, _) = start_with_log(scratch.path(), 0, log_body_bytes);
    let draft = Draft {
        filename: None,
        content_type: MediaType::octet_stream(),
        metadata: Metadata::default(),
        request: None,
    };
    let adopted = delivery.journal.adopt(Received::Passed(b"abc"), draft);
    let adopted = adopted.unwrap();
    delivery.learn(&adopted, true, content);
    let journal = Layout::new(scratch.path()).journal().to_owned();
    std::fs::remove_dir_all(journal).unwrap();
    let id = adopted.id();
    let glimpse = delivery.journal.glance(id).unwrap();
    assert_eq!(
        glimpse.map(|Glimpse { room, .. }| room),
        Some(Room::Incoming)
    );
    delivery.look(id).await.unwrap()
}

#[tokio::test]
async fn a_file_that_was_just_promised_is_found_without_a_look_at_the_disk() {
    let content = Bytes::from_static(b"abc");
    for (content, log_body_bytes, is_whole_file) in [
        (Some(content.clone()), 100, false),
        (Some(content), 0, true),
        (None, 0, true),
    ] {
        let look = look_without_disk(content.clone(), log_body_bytes).await;
        let Look::Kept(kept) = look else {
            panic!("{look:?}");
        };
        assert_eq!(kept.meta.length, 3);
        assert_eq!((kept.is_whole_file, kept.content), (is_whole_file, content));
    }
}

/// Leaves a file in a journal as a sidecar does that is killed after the commit.
fn leave_settled(directory: &Path) -> FileId {
    Journal::init(directory, &LocalDisk).unwrap();
    let (layout, id) = (Layout::new(directory), FileId::from_bytes([1; 12]));
    let record = Record::new(id, file(&FileKey::Id(id)).meta, 0);
    let bytes = record.encode().unwrap();
    std::fs::write(layout.record(Room::Settled, id), bytes).unwrap();
    std::fs::write(layout.body(id), b"a").unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_was_forgotten_in_a_restart_is_asked_for_once_and_not_for_long() {
    let scratch = tempfile::tempdir().unwrap();
    let id = leave_settled(scratch.path());
    let (delivery, store) = start(scratch.path(), 0);
    let digest = async || match delivery.look(id).await.unwrap() {
        Look::Kept(kept) => kept.sha256,
        look @ (Look::Absent | Look::Deleted) => panic!("{look:?}"),
    };
    let began = tokio::time::Instant::now();
    assert_eq!(digest().await, None);
    assert_eq!(began.elapsed().as_millis(), PATIENCE.as_millis());
    store.answers.add_permits(1);
    for _ in 0..3 {
        assert_eq!(digest().await, Some(Sha256([7; 32])));
    }
    assert_eq!(store.lookups.load(Ordering::Relaxed), 2);
}
