//! Files that are in the journal.

use super::*;

/// Looks a file up that was just promised, after the disk has lost everything of it.
async fn look_up_without_disk(content: Option<Bytes>, log_body_bytes: u32) -> Lookup {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, _) = start_with_log(scratch.path(), 0, log_body_bytes);
    let adopted = delivery
        .journal
        .adopt(Received::Inline(b"abc"), Draft::sample());
    let adopted = adopted.unwrap();
    delivery.learn(&adopted, true, content);
    let journal = Layout::new(scratch.path()).journal().to_owned();
    std::fs::remove_dir_all(journal).unwrap();
    let id = adopted.id();
    let room = delivery.journal.try_lookup(id).unwrap();
    assert_eq!(room, Some(Room::Incoming));
    delivery.lookup(id).await.unwrap()
}

#[tokio::test]
async fn a_file_that_was_just_promised_is_found_without_a_look_at_the_disk() {
    let content = Bytes::from_static(b"abc");
    for (content, log_body_bytes, is_whole_file) in [
        (Some(content.clone()), 100, false),
        (Some(content), 0, true),
        (None, 0, true),
    ] {
        let lookup = look_up_without_disk(content.clone(), log_body_bytes).await;
        let Lookup::Kept(kept) = lookup else {
            panic!("{lookup:?}");
        };
        assert_eq!(kept.meta.length, 3);
        assert_eq!((kept.is_whole_file, kept.content), (is_whole_file, content));
    }
}

#[tokio::test]
async fn a_file_that_is_settled_tells_its_digest_whatever_was_kept_of_it_and_after_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 0);
    let adopted = delivery
        .journal
        .adopt(Received::Inline(b"abc"), Draft::sample());
    let (id, sha256) = (adopted.unwrap().id(), Sha256([7; 32]));
    let digest = async |delivery: &Delivery| match delivery.lookup(id).await.unwrap() {
        Lookup::Kept(kept) => kept.sha256,
        lookup @ (Lookup::Absent | Lookup::Deleted | Lookup::Growing) => panic!("{lookup:?}"),
    };
    assert_eq!(digest(&delivery).await, None);
    let sent = Sent { length: 3, sha256 };
    let evidence = Evidence {
        length: 3,
        sha256: Some(sha256),
        chunk_size_bytes: 4,
        chunks: 1,
        chunk_bytes: Some(3),
    };
    let committed = Committed::prove(id, sent, evidence).unwrap();
    delivery.journal.settle(&committed).unwrap();
    for _ in 0..2 {
        assert_eq!(digest(&delivery).await, Some(sha256));
    }
    drop(delivery);
    let (delivery, again) = start(scratch.path(), 0);
    assert_eq!(digest(&delivery).await, Some(sha256));
    let lookups = [store, again].map(|store| store.lookups.load(Ordering::Relaxed));
    assert_eq!(lookups, [0, 0], "the store is not asked");
}
