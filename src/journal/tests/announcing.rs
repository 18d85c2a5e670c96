//! The announcements of the journal, and their moments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use super::adoption::{WAYS_IN, adopt, pending};
use super::scratch::{LARGE, SHAPE, SMALL, Scratch, committed, draft};
use super::stage::{OPERATIONS, Stage, WAYS};
use super::uploads::{LAST, MORE, opened};
use crate::file::FileId;
use crate::journal::tests::fault::Fault;
use crate::journal::{Announcement, Announcer, Journal, UploadProgress, UploadState};
use crate::spool::Received;

/// The announcements of new entries.
fn to_commit(ids: &[FileId]) -> Vec<Announcement> {
    let announcement = |&id: &FileId| Announcement::ToCommit {
        id,
        is_package: false,
    };
    ids.iter().map(announcement).collect()
}

#[test]
fn each_entry_that_is_promised_is_announced_once_and_no_other_is() {
    for way in 0..WAYS_IN {
        for is_panic in [false, true] {
            for call in 0.. {
                let case = format!("way {way}, call {call}, panic {is_panic}");
                let scratch = Scratch::new();
                let journal = scratch.journal();
                if is_panic {
                    scratch.disk.panic_once(call);
                } else {
                    scratch.disk.fail_once(call, Fault::Broken);
                }
                let adopting = AssertUnwindSafe(|| drop(adopt(&scratch, &journal, way)));
                drop(catch_unwind(adopting));
                let is_last = call >= scratch.disk.calls().len();
                scratch.disk.heal();
                let mut announced = scratch.announced();
                announced.sort_by_key(|announcement| format!("{announcement:?}"));
                assert_eq!(announced, to_commit(&pending(&journal)), "{case}");
                if is_last {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_operation_announces_what_it_leaves_to_others() {
    for operation in &OPERATIONS {
        for way in WAYS {
            let stage = Stage::new();
            stage.scratch.announced();
            let entry = stage.entry(way, operation.state);
            let (id, bytes) = (entry.id, u64::try_from(entry.content.len()).unwrap());
            (operation.run)(&stage.journal, id).unwrap();
            let expected = match (operation.name, operation.state) {
                ("settle" | "settle a deferred one" | "settle a held one", _) => {
                    vec![Announcement::Settled { id, bytes }]
                }
                ("retry", _) => to_commit(&[id]),
                // A settled entry is only in the store then.
                ("delete a settled one", _) => Vec::new(),
                (_, "waiting" | "begun" | "held") if operation.name.starts_with("delete") => {
                    vec![Announcement::ToClear(id)]
                }
                _ => Vec::new(),
            };
            assert_eq!(
                stage.scratch.announced(),
                expected,
                "{way}, {}",
                operation.name
            );
            let count = stage.journal.work().len();
            assert_eq!(stage.journal.work_count(), u64::try_from(count).unwrap());
        }
    }
}

#[test]
fn whoever_hears_an_announcement_may_ask_the_journal_and_finds_it_so() {
    let scratch = Scratch::new();
    let journal = Arc::new(OnceLock::<Journal>::new());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (asked, list) = (Arc::clone(&journal), Arc::clone(&heard));
    let announcer = Announcer::new(move |announcement| {
        let journal = asked.get().unwrap();
        let work = journal.work().into_iter().map(|(id, _)| id);
        let is_so = match announcement {
            Announcement::ToCommit { id, .. } => journal.is_pending(id) && work.count() > 0,
            Announcement::ToClear(id) => journal.is_deleted(id) && work.count() > 0,
            Announcement::Settled { id, .. } => !journal.is_pending(id),
            Announcement::Upload { id, progress } => progress_of(journal, id) == progress,
        };
        list.lock().unwrap().push(is_so);
    });
    let limits = scratch.limits.clone();
    let disk = Box::new(scratch.disk.clone());
    let made = Journal::open_shaped(scratch.path(), limits, disk, announcer, SHAPE);
    let journal = journal.get_or_init(|| made.unwrap().0);
    for body in [SMALL, LARGE] {
        let [settled, deleted] = [(); 2].map(|()| {
            let body = scratch.spooled(body);
            journal.adopt(Some(&body), draft()).unwrap().id()
        });
        journal.settle(&committed(settled)).unwrap();
        journal.delete(deleted).unwrap();
        assert!(pending(journal).contains(&deleted));
    }
    assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [true; 8]);
    let [completed, ended] = [(); 2].map(|()| opened(journal, None));
    for id in [completed, ended] {
        journal.append(id, 0, Received::Inline(b"a"), MORE).unwrap();
    }
    let end = Received::Inline(b"b");
    journal.append(completed, 1, end, LAST).unwrap();
    assert!(journal.end_upload(ended).unwrap());
    journal.delete(completed).unwrap();
    // The file is announced twice, as it is to be committed, and so is the end, which is to be cleared away.
    assert_eq!(*heard.lock().unwrap(), [true; 7]);
}

fn progress_of(journal: &Journal, id: FileId) -> UploadProgress {
    match journal.upload_state(id).unwrap() {
        Some(UploadState::Open(open)) => UploadProgress::Grown(open.offset),
        Some(UploadState::Complete { adopted, .. }) => {
            UploadProgress::Complete(adopted.meta().length)
        }
        Some(UploadState::Made(_) | UploadState::Ended) | None => UploadProgress::Ended,
    }
}
