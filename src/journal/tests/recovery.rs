//! Each row of the table of recovery, forged.

use std::fs;
use std::time::Duration;

use super::scratch::{HOUR, Scratch, id, record, room};
use crate::journal::{Journal, Look, OpenError, Recovered, Room, Totals};

const PENDING: [Room; 3] = [Room::Incoming, Room::Deferred, Room::Hold];

fn nothing() -> Recovered {
    Recovered::default()
}

#[test]
fn an_empty_journal_opens_with_nothing_to_recover() {
    let scratch = Scratch::new();
    assert_eq!(scratch.open().1, nothing());
}

#[test]
fn anything_in_tmp_is_removed() {
    let scratch = Scratch::new();
    let tmp = scratch.layout().tmp();
    fs::write(scratch.layout().record_in_writing(id(1)), b"{").unwrap();
    fs::write(tmp.join("whatever"), b"").unwrap();
    let recovered = scratch.open().1;
    assert_eq!(recovered.removed, 2);
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn a_body_without_a_record_is_removed() {
    let scratch = Scratch::new();
    scratch.forge_body(id(1), b"body");
    let recovered = scratch.open().1;
    assert_eq!(
        recovered,
        Recovered {
            removed: 1,
            ..nothing()
        }
    );
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn a_pending_record_with_its_body_is_kept() {
    for pending in PENDING {
        let scratch = Scratch::new();
        scratch.forge_record(pending, id(1), 4);
        scratch.forge_body(id(1), b"body");
        let before = scratch.files();
        let (journal, recovered) = scratch.open();
        assert_eq!(
            recovered,
            Recovered {
                pending: 1,
                ..nothing()
            }
        );
        assert_eq!(room(&journal, id(1)), Some(pending));
        let record = &before[&format!("{pending}/{}.json", id(1))];
        let totals = Totals {
            record_bytes: record.len().try_into().unwrap(),
            ..Totals::of(4)
        };
        assert_eq!(journal.totals(pending), totals);
        assert_eq!(scratch.files(), before);
        assert!(journal.index().get(id(1)).unwrap().is_begun, "{pending}");
    }
}

#[test]
fn of_two_rooms_the_later_ones_record_is_kept_whichever_was_written_first() {
    for (index, earlier) in Room::ALL.into_iter().enumerate() {
        for later in Room::ALL.into_iter().skip(index + 1) {
            for order in [[earlier, later], [later, earlier]] {
                let scratch = Scratch::new();
                for written in order {
                    scratch.forge_record(written, id(1), 4);
                }
                scratch.forge_body(id(1), b"body");
                let (journal, recovered) = scratch.open();
                assert_eq!(room(&journal, id(1)), Some(later));
                assert_eq!((recovered.removed, recovered.corrupt), (1, 0));
                assert_eq!(
                    scratch.names(),
                    [format!("body/{}", id(1)), format!("{later}/{}.json", id(1))]
                );
                assert_eq!(journal.totals(earlier), Totals::default());
            }
        }
    }
}

#[test]
fn of_two_rooms_with_one_torn_record_the_body_stays_with_the_good_one() {
    for good in PENDING {
        for torn in Room::ALL.into_iter().filter(|&torn| torn != good) {
            let scratch = Scratch::new();
            scratch.forge_record(good, id(1), 4);
            fs::write(scratch.layout().record(torn, id(1)), b"{\"format\":1").unwrap();
            scratch.forge_body(id(1), b"body");
            let (journal, recovered) = scratch.open();
            assert_eq!(room(&journal, id(1)), Some(good), "{torn} is torn");
            assert_eq!((recovered.pending, recovered.corrupt), (1, 1));
            let files = scratch.files();
            assert_eq!(files[&format!("body/{}", id(1))], b"body");
            assert_eq!(
                files[&format!("corrupt/{torn}-{}.json", id(1))],
                b"{\"format\":1"
            );
            assert_eq!(files.len(), 3);
        }
    }
}

#[test]
fn a_settled_record_with_its_body_is_kept() {
    let scratch = Scratch::new();
    scratch.forge_record(Room::Settled, id(1), 4);
    scratch.forge_body(id(1), b"body");
    let (journal, recovered) = scratch.open();
    assert_eq!(
        recovered,
        Recovered {
            settled: 1,
            ..nothing()
        }
    );
    assert!(matches!(journal.look(id(1)), Ok(Look::Kept(_))));
    assert_eq!(journal.evict_settled().unwrap(), 0);
}

#[test]
fn a_settled_record_without_its_body_is_removed() {
    let scratch = Scratch::new();
    scratch.forge_record(Room::Settled, id(1), 4);
    let (journal, recovered) = scratch.open();
    assert_eq!(
        recovered,
        Recovered {
            removed: 1,
            ..nothing()
        }
    );
    assert!(matches!(journal.look(id(1)), Ok(Look::Absent)));
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn a_deleted_record_is_kept_with_and_without_its_body() {
    for with_body in [true, false] {
        let scratch = Scratch::new();
        scratch.forge_record(Room::Deleted, id(1), 4);
        if with_body {
            scratch.forge_body(id(1), b"body");
        }
        let before = scratch.files();
        let (journal, recovered) = scratch.open();
        assert_eq!(
            recovered,
            Recovered {
                deleted: 1,
                ..nothing()
            }
        );
        assert!(matches!(journal.look(id(1)), Ok(Look::Deleted)));
        assert_eq!(scratch.files(), before);
        journal.erase(id(1)).unwrap();
        assert_eq!(scratch.names(), Vec::<String>::new());
    }
}

#[test]
fn a_record_that_is_torn_or_unknown_goes_to_corrupt_with_its_body() {
    let mut unknown = record(id(1), 4).encode().unwrap();
    unknown[10] = b'7';
    let other = record(id(2), 4).encode().unwrap();
    for bytes in [&b""[..], b"{", &unknown, &other] {
        for found in Room::ALL {
            let scratch = Scratch::new();
            fs::write(scratch.layout().record(found, id(1)), bytes).unwrap();
            scratch.forge_body(id(1), b"body");
            let (journal, recovered) = scratch.open();
            assert_eq!(
                recovered,
                Recovered {
                    corrupt: 1,
                    ..nothing()
                }
            );
            assert!(matches!(journal.look(id(1)), Ok(Look::Absent)));
            let files = scratch.files();
            assert_eq!(files.len(), 2);
            assert_eq!(files[&format!("corrupt/{found}-{}.json", id(1))], bytes);
            assert_eq!(files[&format!("corrupt/body-{}", id(1))], b"body");
        }
    }
}

#[test]
fn a_promise_whose_body_is_missing_or_short_goes_to_corrupt() {
    for body in [None, Some(&b"bod"[..])] {
        for pending in PENDING {
            let scratch = Scratch::new();
            scratch.forge_record(pending, id(1), 4);
            if let Some(content) = body {
                scratch.forge_body(id(1), content);
            }
            let (journal, recovered) = scratch.open();
            assert_eq!(
                recovered,
                Recovered {
                    corrupt: 1,
                    ..nothing()
                }
            );
            assert_eq!(room(&journal, id(1)), None);
            let names = scratch.names();
            assert!(names.iter().all(|name| name.starts_with("corrupt/")));
            assert_eq!(names.len(), 1 + usize::from(body.is_some()));
        }
    }
}

#[test]
fn a_strange_name_goes_to_corrupt_from_a_room_and_is_left_alone_elsewhere() {
    let scratch = Scratch::new();
    let layout = scratch.layout();
    fs::write(layout.room(Room::Hold).join("notes.txt"), b"mine").unwrap();
    fs::write(layout.bodies().join("notes.txt"), b"mine").unwrap();
    fs::write(layout.corrupt().join("notes.txt"), b"mine").unwrap();
    let recovered = scratch.open().1;
    assert_eq!(
        recovered,
        Recovered {
            corrupt: 1,
            ..nothing()
        }
    );
    assert_eq!(
        scratch.names(),
        [
            "body/notes.txt",
            "corrupt/hold-notes.txt",
            "corrupt/notes.txt"
        ]
    );
}

#[test]
fn nothing_in_corrupt_is_ever_overwritten() {
    let scratch = Scratch::new();
    let layout = scratch.layout();
    for content in [b"one", b"two", b"six"] {
        fs::write(layout.room(Room::Hold).join("notes"), content).unwrap();
        fs::write(layout.record(Room::Incoming, id(1)), content).unwrap();
        scratch.forge_body(id(1), content);
        assert_eq!(scratch.open().1.corrupt, 2);
    }
    let files = scratch.files();
    assert_eq!(files.len(), 9, "{files:?}");
    for content in [b"one", b"two", b"six"] {
        assert_eq!(files.values().filter(|&found| found == content).count(), 3);
    }
}

#[test]
fn recovering_twice_is_the_same_as_once() {
    let scratch = Scratch::new();
    for (number, found) in (1..).zip(Room::ALL) {
        scratch.forge_record(found, id(number), 4);
        scratch.forge_body(id(number), b"body");
    }
    scratch.forge_record(Room::Incoming, id(2), 4);
    scratch.forge_record(Room::Settled, id(10), 4);
    scratch.forge_record(Room::Incoming, id(11), 4);
    scratch.forge_body(id(12), b"lone");
    fs::write(scratch.layout().tmp().join("left"), b"").unwrap();
    let first = scratch.open().1;
    assert_eq!(
        first,
        Recovered {
            pending: 3,
            settled: 1,
            deleted: 1,
            removed: 4,
            corrupt: 1
        }
    );
    let files = scratch.files();
    let second = scratch.open().1;
    assert_eq!(
        second,
        Recovered {
            removed: 0,
            corrupt: 0,
            ..first
        }
    );
    assert_eq!(scratch.files(), files);
}

#[test]
fn a_journal_without_its_marker_is_not_opened_and_nothing_in_it_is_touched() {
    let scratch = Scratch::new();
    scratch.forge_body(id(1), b"body");
    fs::remove_file(scratch.layout().marker()).unwrap();
    assert!(matches!(scratch.try_open(), Err(OpenError::NoMarker(_))));
    assert_eq!(scratch.names().len(), 1);
}

#[test]
fn beginning_a_journal_anew_leaves_what_is_there() {
    let scratch = Scratch::new();
    let promised = scratch.adopt(&scratch.journal(), b"body");
    let layout = scratch.layout();
    Journal::init(layout.spool().parent().unwrap(), &scratch.disk).unwrap();
    assert_eq!(room(&scratch.journal(), promised), Some(Room::Incoming));
}

#[test]
fn a_journal_has_one_sidecar_at_a_time() {
    let scratch = Scratch::new();
    let first = scratch.journal();
    scratch.forge_body(id(1), b"being adopted by the first");
    assert!(matches!(scratch.try_open(), Err(OpenError::Locked(_))));
    assert_eq!(scratch.names().len(), 1, "the second has touched nothing");
    drop(first);
    assert!(scratch.try_open().is_ok());
}

#[test]
fn a_spool_file_is_removed_only_when_it_is_old_and_no_process_has_it_open() {
    let mut scratch = Scratch::new();
    scratch.limits.spool_orphan = HOUR;
    let body = scratch.spooled(b"young, and open here");
    let journal = scratch.journal();
    assert_eq!(journal.remove_spool_orphans().unwrap(), 0);
    drop(journal);
    scratch.limits.spool_orphan = Duration::ZERO;
    let journal = scratch.journal();
    assert_eq!(journal.remove_spool_orphans().unwrap(), 0);
    drop(body);
    assert_eq!(journal.remove_spool_orphans().unwrap(), 1);
    assert_eq!(fs::read_dir(scratch.layout().spool()).unwrap().count(), 0);
}
