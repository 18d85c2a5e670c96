//! Adoptions, and cuts during them.

use std::sync::mpsc;

use super::scratch::{LARGE, SMALL, Scratch, content, draft, room, sha256_of};
use super::stage::restart;
use crate::file::FileId;
use crate::journal::admission::backlog;
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{AdoptError, Room};
use crate::journal::{Adopted, Draft, Journal, Lookup, Waiter, Work};
use crate::store::Sha256;

/// The number of ways to adopt.
pub(super) const WAYS_IN: usize = 5;

/// Adopts in one way; returns the entries with their contents.
pub(super) fn adopt(
    scratch: &Scratch,
    journal: &Journal,
    way: usize,
) -> Result<Vec<(FileId, &'static [u8])>, AdoptError> {
    let form = |parts: [&'static [u8]; 3]| {
        let ids = scratch.try_adopt_form(journal, &parts)?;
        Ok(ids.into_iter().zip(parts).collect())
    };
    match way {
        0 => Ok(vec![(scratch.try_adopt(journal, SMALL)?.id(), SMALL)]),
        1 => Ok(vec![(scratch.try_adopt(journal, LARGE)?.id(), LARGE)]),
        2 => {
            let adopted = journal.adopt(crate::spool::Received::Inline(LARGE), draft());
            Ok(vec![(adopted?.id(), LARGE)])
        }
        3 => form([b"a", b"", b"small"]),
        _ => form([b"a", LARGE, b"small"]),
    }
}

/// Returns all entries that wait for a commit, in the order of their ids.
pub(super) fn pending(journal: &Journal) -> Vec<FileId> {
    let mut ids: Vec<_> = journal.work().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids
}

#[test]
fn a_cut_at_any_moment_of_an_adoption_leaves_all_of_it_or_nothing() {
    for way in 0..WAYS_IN {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.heal();
            adopt(&scratch, &journal, way).unwrap();
            scratch.disk.calls().len()
        };
        for call in 0..=calls {
            for tear in [None, Some(Tear::Sectors(3))]
                .into_iter()
                .chain(Tear::ALL.map(Some))
            {
                let case = format!("way {way}, cut before {call}, {tear:?}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                let before = scratch.adopt(&journal, b"before");
                scratch.disk.stop_at(call);
                let adopted = adopt(&scratch, &journal, way);
                drop(journal);
                scratch.disk.heal();
                if let Some(tear) = tear {
                    scratch.disk.set_tear(tear);
                    scratch.cut_power();
                }
                let journal = restart(&case, &scratch);
                let found = pending(&journal);
                match &adopted {
                    Ok(adopted) => assert_eq!(found.len(), adopted.len() + 1, "{case}"),
                    Err(_) => assert!([1, 2, 4].contains(&found.len()), "{case}: {found:?}"),
                }
                let expected = |id| {
                    adopted.as_ref().map_or_else(
                        |_| None,
                        |adopted| {
                            adopted
                                .iter()
                                .find(|(one, _)| *one == id)
                                .map(|(_, content)| *content)
                        },
                    )
                };
                for &id in found.iter().filter(|&&id| id != before) {
                    let content = content(&journal, id).unwrap();
                    assert!(
                        adopted.is_err() || expected(id) == Some(&content[..]),
                        "{case}"
                    );
                    assert!(
                        [SMALL, LARGE, b"a", b""].contains(&&content[..]),
                        "{case}: {content:?}"
                    );
                }
                let linked = Scratch::names(&scratch.layout().bodies()).len();
                let expected_bodies = if matches!(way, 0 | 3) {
                    0
                } else {
                    found.len() - 1
                };
                assert_eq!(linked, expected_bodies, "{case}");
                // They were promised: no power cut takes them back.
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(pending(&journal), found, "{case}, told and cut");
                for &id in &found {
                    content(&journal, id).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_call_that_fails_leaves_nothing_of_an_adoption_and_the_next_one_goes_well() {
    for way in 0..WAYS_IN {
        for fault in Fault::ALL {
            for call in 0.. {
                let case = format!("way {way}, {fault:?} in {call}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                scratch.disk.fail_once(call, fault);
                let adopted = adopt(&scratch, &journal, way);
                let calls = scratch.disk.calls().len();
                if call >= calls {
                    break;
                }
                let found = pending(&journal);
                let bodies = Scratch::names(&scratch.layout().bodies()).len();
                match adopted {
                    // The log's last head alone promises nothing.
                    Ok(adopted) => assert_eq!(found.len(), adopted.len(), "{case}"),
                    Err(err) => {
                        assert!(found.is_empty(), "{case}: {err}");
                        assert!(
                            bodies == 0 || journal.poison().is_some(),
                            "{case}: {bodies}"
                        );
                        let is_full = matches!(err, AdoptError::NoSpace(_));
                        let is_poison = journal.poison().is_some();
                        assert!(is_full == fault.is_no_space() || is_poison, "{case}: {err}");
                    }
                }
                scratch.disk.heal();
                if journal.poison().is_none() {
                    // A segment may have begun in the log's reserve.
                    journal.evict_settled().unwrap();
                    adopt(&scratch, &journal, way).unwrap();
                } else {
                    assert!(matches!(
                        adopt(&scratch, &journal, way),
                        Err(AdoptError::Poisoned(_))
                    ));
                }
                let told = pending(&journal);
                drop(journal);
                let journal = restart(&case, &scratch);
                let is_kept = told.iter().all(|id| pending(&journal).contains(id));
                assert!(is_kept, "{case}");
            }
        }
    }
}

#[test]
fn a_file_is_looked_at_read_and_committed_with_the_digest_that_was_checked() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for body in [SMALL, LARGE] {
        let draft = Draft {
            stated: Some(sha256_of(body)),
            ..draft()
        };
        let adopted = journal.adopt(Some(&scratch.spooled(body)), draft).unwrap();
        let id = adopted.id();
        assert_eq!(content(&journal, id).unwrap(), body);
        let Lookup::Kept(kept) = journal.lookup(id).unwrap() else {
            panic!("{id} is not here");
        };
        assert_eq!(&kept.meta, adopted.meta());
        let at_hand = journal.kept(&adopted, true, kept.content.clone()).unwrap();
        assert_eq!(format!("{at_hand:?}"), format!("{kept:?}"));
        assert_eq!(journal.kept(&adopted, true, None).is_some(), body == LARGE);
        assert_eq!((kept.room, kept.sha256), (Room::Incoming, None));
        assert_eq!(kept.is_whole_file, body == LARGE);
        assert_eq!(kept.content.is_some(), body == SMALL);
        for is_retry in [false, true] {
            let Work::Commit { promised, attempts } = journal.open_work(id).unwrap() else {
                panic!("{id} is no work");
            };
            assert_eq!((promised.is_retry, attempts), (is_retry, 0));
            let mut bytes = vec![0; body.len()];
            promised.body.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, body);
            assert!(
                promised
                    .body
                    .read_exact_at(&mut [0], kept.meta.length)
                    .is_err()
            );
            promised.body.verify(sha256_of(body)).unwrap();
            let err = promised.body.verify(Sha256([0; 32])).unwrap_err();
            assert_eq!(err.kind(), std::io::ErrorKind::InvalidData);
        }
    }
}

/// A waiter that reports to a test.
struct Told(mpsc::Sender<Option<Result<Adopted, AdoptError>>>);

impl Waiter for Told {
    fn lead(&self) {
        self.0.send(None).unwrap();
    }

    fn told(self: Box<Self>, outcome: Result<Adopted, AdoptError>) {
        self.0.send(Some(outcome)).unwrap();
    }
}

#[test]
fn one_who_waits_on_no_thread_is_told_when_it_is_a_promise() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let free = journal.free().unwrap();
    let (send, told) = mpsc::channel();
    let soon = |body: &[u8]| journal.adopt_soon(body, draft(), free, Box::new(Told(send.clone())));
    soon(b"one").unwrap();
    soon(b"two").unwrap();
    assert!(told.recv().unwrap().is_none());
    assert!(pending(&journal).is_empty());
    journal.lead();
    let mut ids: Vec<_> = (0..2)
        .map(|_| told.recv().unwrap().unwrap().unwrap().id())
        .collect();
    ids.sort();
    assert_eq!(pending(&journal), ids);
    assert_eq!(scratch.announced().len(), 2);
    // The write fails: nothing is kept.
    soon(b"three").unwrap();
    scratch.disk.fail_once(0, Fault::Full);
    journal.lead();
    assert!(told.recv().unwrap().is_none());
    let failed = told.recv().unwrap().unwrap();
    assert!(matches!(failed, Err(AdoptError::NoSpace(_))), "{failed:?}");
    assert_eq!(pending(&journal), ids);
    // The leader panics: nothing is kept, and no other upload is blocked.
    soon(b"four").unwrap();
    scratch.disk.panic_once(0);
    let led = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| journal.lead()));
    assert!(led.is_err());
    scratch.disk.heal();
    assert_eq!(pending(&journal), ids);
    assert_eq!(scratch.announced(), []);
    assert_eq!(journal.state().index.len(), 2);
    // Poison: it is refused at once.
    soon(b"five").unwrap();
    scratch.disk.fail_once(1, Fault::Broken);
    journal.lead();
    scratch.disk.heal();
    assert!(journal.poison().is_some());
    assert!(matches!(soon(b"six"), Err(AdoptError::Poisoned(_))));
    assert_eq!(room(&journal, ids[0]), Some(Room::Incoming));
    assert_eq!(content(&journal, ids[0]).unwrap().len(), 3);
}

#[test]
fn levels_and_the_spool_are_told() {
    let mut scratch = Scratch::new();
    scratch.limits.spool_orphan = std::time::Duration::ZERO;
    let journal = scratch.journal();
    for _ in 0..100 {
        scratch.adopt(&journal, SMALL);
    }
    let free = journal.free().unwrap();
    let [.., bytes, entries] = journal.levels(free).map(|level| (level.now, level.limit));
    let records = backlog(&journal.state()).record_bytes;
    assert!(records > 0);
    assert_eq!((bytes, entries), ((500 + records, 100_000), (100, 200)));
    assert_eq!(journal.fullness_percent(), 50);
    assert!(journal.spooled_bytes().unwrap() > 0);
    assert_eq!(journal.remove_spool_orphans().unwrap(), 1);
    assert_eq!(journal.spooled_bytes().unwrap(), 0);
}
