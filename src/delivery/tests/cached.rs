//! The walk through nginx's cache.

use super::*;
use crate::accel::STORE;

#[tokio::test(start_paused = true)]
async fn a_walk_through_the_cache_pauses_between_all_questions() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), usize::MAX >> 3);
    let leaf = Layout::new(scratch.path()).cache().join("a/bc");
    std::fs::create_dir_all(&leaf).unwrap();
    let count = 50;
    for number in 0..count {
        let key = FileKey::Foreign(format!("file {number}")).to_segment();
        let head = format!("\nKEY: {STORE}/{key}/v\n");
        std::fs::write(leaf.join(number.to_string()), head).unwrap();
    }
    store.is_there.store(false, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    assert_eq!(delivery.clear_cache().await.ok(), Some(count));
    assert_eq!(store.lookups.load(Ordering::Relaxed), count);
    assert!(begun.elapsed() >= Duration::from_millis(10) * u32::try_from(count).unwrap());
}
