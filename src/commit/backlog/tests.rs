//! The order in which entries are handed out.

use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt as _;

use super::*;

const LIMITS: GroupConfig = GroupConfig {
    small_bytes: 100,
    entries: 3,
    bytes: 200,
    large: 1,
};

fn id(byte: u8) -> FileId {
    FileId::from_bytes([byte; 12])
}

/// Ids up to 99 stand for small entries of ten bytes, higher ids for large ones.
fn length(id: FileId) -> u64 {
    match id.bytes()[0] {
        small @ ..100 => u64::from(small).min(10),
        large => u64::from(large) * 10,
    }
}

fn push(backlog: &Backlog, due: &[u8]) {
    for &byte in due {
        backlog.push(id(byte), Lane::Files, UnixMillis(0));
    }
}

/// The ids that are handed out now; empty if none is due.
fn next(backlog: &Backlog) -> Vec<u8> {
    let taken = backlog.next(Lane::Files, &LIMITS, length).now_or_never();
    let ids = taken.into_iter().flatten();
    ids.map(|id| id.bytes()[0]).collect()
}

#[tokio::test]
async fn ids_come_in_order_of_their_time_and_not_before_it() {
    let backlog = Backlog::default();
    backlog.push(id(110), Lane::Files, UnixMillis(2));
    backlog.push(id(2), Lane::Files, UnixMillis(3));
    backlog.push(id(1), Lane::Files, UnixMillis(1));
    backlog.push(id(3), Lane::Files, UnixMillis(u64::MAX));
    assert_eq!(next(&backlog), [1, 2], "a group goes past a large one");
    assert_eq!(next(&backlog), [110]);
    assert!(next(&backlog).is_empty());
    assert_eq!(backlog.in_flight(), 3);
}

#[test]
fn a_group_has_as_many_entries_and_bytes_as_it_may() {
    let backlog = Backlog::default();
    push(&backlog, &[1, 2, 3, 4, 5]);
    assert_eq!(next(&backlog), [1, 2, 3]);
    assert_eq!(next(&backlog), [4, 5]);
    let limits = GroupConfig {
        bytes: 15,
        ..LIMITS
    };
    push(&backlog, &[20, 21, 22]);
    let taken = || {
        backlog
            .next(Lane::Files, &limits, length)
            .now_or_never()
            .unwrap()
    };
    assert_eq!(taken(), [id(20)], "two are twenty bytes");
    assert_eq!(taken(), [id(21)]);
}

#[test]
fn large_ones_go_alone_and_wait_for_each_other_but_hold_no_small_one_up() {
    let backlog = Backlog::default();
    push(&backlog, &[1, 100, 101]);
    backlog.push(id(2), Lane::Files, UnixMillis(1));
    assert_eq!(next(&backlog), [1, 2]);
    assert_eq!(next(&backlog), [100]);
    assert!(next(&backlog).is_empty());
    push(&backlog, &[3]);
    assert_eq!(next(&backlog), [3]);
    backlog.finish(id(100), None);
    assert_eq!(next(&backlog), [101]);
    backlog.finish(id(101), Some(UnixMillis(0)));
    assert_eq!(next(&backlog), [101]);
}

#[test]
fn a_large_one_that_is_due_longer_goes_before_small_ones() {
    let backlog = Backlog::default();
    push(&backlog, &[100, 101]);
    assert_eq!(next(&backlog), [100]);
    backlog.push(id(1), Lane::Files, UnixMillis(1));
    backlog.finish(id(100), None);
    assert_eq!(next(&backlog), [101]);
    assert_eq!(next(&backlog), [1]);
}

#[test]
fn an_id_in_flight_is_handed_out_again_only_when_it_has_ended() {
    let backlog = Backlog::default();
    push(&backlog, &[1]);
    assert_eq!(next(&backlog), [1]);
    push(&backlog, &[1]);
    assert!(next(&backlog).is_empty());
    backlog.finish(id(1), None);
    assert_eq!(next(&backlog), [1]);
    backlog.finish(id(1), None);
    assert!(next(&backlog).is_empty());
}

#[test]
fn an_id_that_is_due_at_two_times_is_not_handed_out_twice_at_once() {
    let backlog = Backlog::default();
    for byte in [1, 100] {
        for due in [0, 1] {
            backlog.push(id(byte), Lane::Files, UnixMillis(due));
        }
        assert_eq!(next(&backlog), [byte]);
        assert!(next(&backlog).is_empty());
        backlog.finish(id(byte), None);
        assert_eq!(next(&backlog), [byte]);
        backlog.finish(id(byte), None);
        assert!(next(&backlog).is_empty());
    }
}

#[tokio::test]
async fn packages_go_in_a_lane_of_their_own_and_come_again_in_it() {
    let backlog = Arc::new(Backlog::default());
    let next_packages = || {
        let taken = backlog.next(Lane::Packages, &LIMITS, length).now_or_never();
        taken.unwrap_or_default()
    };
    push(&backlog, &[1, 2, 3, 4, 100]);
    let packages = [5, 6, 7, 8].map(id);
    for package in packages {
        backlog.push(package, Lane::Packages, UnixMillis(9));
    }
    assert_eq!(next_packages(), packages[..3], "they wait for no file");
    assert_eq!(next(&backlog), [1, 2, 3], "no file waits for them");
    assert_eq!(backlog.count(), 9);
    assert_eq!(next_packages(), packages[3..]);
    // One entry is deleted meanwhile, and the attempt of another one failed.
    backlog.push_now(packages[0], Lane::Files);
    assert_eq!(next(&backlog), [4]);
    backlog.finish(packages[0], None);
    backlog.finish(packages[1], Some(UnixMillis(0)));
    assert_eq!(next_packages(), [packages[1], packages[0]]);
    assert_eq!(next(&backlog), [100]);
    let waiting = Arc::clone(&backlog);
    let taker = tokio::spawn(async move { waiting.next(Lane::Packages, &LIMITS, length).await });
    tokio::task::yield_now().await;
    backlog.push_now(id(9), Lane::Packages);
    assert_eq!(taker.await.unwrap(), [id(9)]);
}

#[tokio::test]
async fn a_clock_that_is_set_delays_nothing_and_brings_nothing_early() {
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
    let now = SystemTime::now();
    // As if the system's clock had been set back, or forward, since this one began.
    for began_at in [now + 3 * hour, now - 40 * day] {
        let backlog = Backlog {
            clock: EvenClock::begin_at(began_at),
            ..Backlog::default()
        };
        backlog.push_now(id(1), Lane::Files);
        backlog.push(id(2), Lane::Files, backlog.after(hour));
        assert_eq!(next(&backlog), [1]);
        assert!(next(&backlog).is_empty());
        assert!(backlog.lateness() < hour);
        backlog.push_found(id(3), Lane::Files, Some(Duration::ZERO), hour);
        backlog.push_found(id(4), Lane::Files, None, hour);
        backlog.push_found(id(5), Lane::Files, Some(3 * hour), Duration::ZERO);
        backlog.push_found(id(6), Lane::Files, Some(3 * hour), hour);
        let mut found = next(&backlog);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5]);
        assert!(next(&backlog).is_empty());
    }
}

/// A task that waits because nothing is due.
async fn waiting_taker(backlog: &Arc<Backlog>) -> tokio::task::JoinHandle<Vec<FileId>> {
    let backlog = Arc::clone(backlog);
    let taker = tokio::spawn(async move { backlog.next(Lane::Files, &LIMITS, length).await });
    tokio::task::yield_now().await;
    taker
}

#[tokio::test]
async fn a_waiting_taker_learns_of_a_new_id() {
    let backlog = Arc::default();
    let taker = waiting_taker(&backlog).await;
    push(&backlog, &[1]);
    assert_eq!(taker.await.unwrap(), [id(1)]);
}

#[tokio::test]
async fn a_waiting_taker_learns_that_a_large_one_has_ended() {
    let backlog = Arc::default();
    push(&backlog, &[100, 101]);
    assert_eq!(next(&backlog), [100]);
    let taker = waiting_taker(&backlog).await;
    backlog.finish(id(100), None);
    assert_eq!(taker.await.unwrap(), [id(101)]);
}
