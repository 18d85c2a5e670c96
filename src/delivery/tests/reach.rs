//! A store that is away, or that hangs.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_asked_and_one_that_hangs_not_waited_for_before_the_owner() {
    let scratch = tempfile::tempdir().unwrap();
    let (delivery, store) = start(scratch.path(), 1);
    let [key, foreign] = keys();
    assert!(matches!(
        delivery.find(&key).await.unwrap(),
        Found::Stored { .. }
    ));
    store.is_away.store(true, Ordering::Relaxed);
    // What is known already needs no question.
    assert!(delivery.find(&key).await.is_ok());
    let away = delivery.find(&foreign).await.unwrap_err();
    let DeliveryError::Store(StoreError::Unavailable(_)) = away else {
        panic!("{away}");
    };
    assert_eq!(store.lookups.load(Ordering::Relaxed), 1);
    store.is_away.store(false, Ordering::Relaxed);
    let hangs = delivery.before_owner(delivery.stored(&foreign));
    assert!(hangs.await.unwrap().is_none());
    assert_eq!(store.lookups.load(Ordering::Relaxed), 2);
}
