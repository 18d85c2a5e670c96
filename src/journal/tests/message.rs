//! Messages: after a cut at any moment, package and parts exist together or not at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::adoption::pending;
use super::keys::{check as check_key, request};
use super::scratch::{LARGE, SMALL, SMALL_BYTES, Scratch, committed, content, draft, sha256_of};
use super::stage::restart;
use crate::file::{FileId, Window};
use crate::journal::inspection::Inspection;
use crate::journal::tests::fault::Fault;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{
    AdoptError, Adopted, AdoptedMessage, Deletion, Draft, Journal, MessageDraft, PartDraft,
    Standing, Work,
};
use crate::message::{Belonging, ChosenName, Party, Receivers, Stated};

/// A package that is longer than a body in the log may be. The log has it all the same.
const PACKAGE: &[u8] = br#"{"text":"a package that is longer than any small body"}"#;

/// The parts of a small message, of large ones, and of a message without parts.
pub(super) const SHAPES: [&[&[u8]]; 5] = [
    &[b"clip", SMALL],
    &[b"clip", LARGE, b""],
    &[LARGE],
    &[b"a part alone"],
    &[],
];

pub(super) fn message_draft(parts: &[&[u8]], of_package: Draft) -> MessageDraft {
    assert!(PACKAGE.len() > usize::try_from(SMALL_BYTES).unwrap());
    let mut offset = 2;
    let parts = parts.iter().zip(1..).map(|(part, number)| {
        let length = u64::try_from(part.len()).unwrap();
        let window = Window { offset, length };
        offset += length;
        PartDraft {
            window,
            draft: draft(),
            name: ChosenName::try_from(format!("part {number}")).ok(),
            sha256: sha256_of(part),
            stated: Stated {
                duration_ms: Some(number),
                ..Stated::default()
            },
        }
    });
    MessageDraft {
        package: Draft {
            sub: Some("alice's".into()),
            ..of_package
        },
        content: Bytes::from_static(PACKAGE),
        from: Party::try_from("alice".to_owned()).ok(),
        to: Receivers::read(["bob", "eve"]).unwrap(),
        client_id: None,
        parts: parts.collect(),
        linked: Vec::new(),
        id: None,
    }
}

pub(super) fn try_adopt(
    scratch: &Scratch,
    journal: &Journal,
    parts: &[&[u8]],
) -> Result<AdoptedMessage, AdoptError> {
    try_adopt_as(scratch, journal, parts, draft())
}

fn try_adopt_as(
    scratch: &Scratch,
    journal: &Journal,
    parts: &[&[u8]],
    of_package: Draft,
) -> Result<AdoptedMessage, AdoptError> {
    let draft = message_draft(parts, of_package);
    if parts.is_empty() {
        return journal.adopt_message(None, draft);
    }
    let body = scratch.spooled(&[b"--", parts.concat().as_slice()].concat());
    journal.adopt_message(Some(&body), draft)
}

/// Checks that a message is there whole, and nothing else. Returns its id.
pub(super) fn check(case: &str, scratch: &Scratch, journal: &Journal, parts: &[&[u8]]) -> FileId {
    let ids = pending(journal);
    assert_eq!(ids.len(), parts.len() + 1, "{case}: {ids:?}");
    let kept = ids
        .iter()
        .filter_map(|&id| Some((id, journal.message(id).unwrap()?)));
    let kept: Vec<_> = kept.collect();
    let [(id, kept)] = &kept[..] else {
        panic!("{case}: {kept:?}");
    };
    for pending in &ids {
        assert_eq!(journal.is_package(*pending), pending == id, "{case}");
    }
    assert_eq!(kept.content, PACKAGE, "{case}");
    assert_eq!(kept.standing, Standing::Pending, "{case}");
    assert_eq!(content(journal, *id).unwrap(), PACKAGE, "{case}");
    let draft = message_draft(parts, draft());
    assert_eq!(kept.message.to, draft.to, "{case}");
    assert_eq!(kept.message.parts.len(), parts.len(), "{case}");
    for ((part, bytes), draft) in kept.message.parts.iter().zip(parts).zip(draft.parts) {
        assert_eq!(content(journal, part.file).unwrap(), *bytes, "{case}");
        assert_eq!(part.sha256, sha256_of(bytes), "{case}");
        assert_eq!(
            (&part.name, &part.stated),
            (&draft.name, &draft.stated),
            "{case}"
        );
        let belonging = Belonging {
            sub: Some("alice's".into()),
            message: Some(*id),
            links: vec![*id],
            ..Belonging::default()
        };
        assert_eq!(belonging_of(journal, part.file), belonging, "{case}");
    }
    let package = Belonging {
        sub: Some("alice's".into()),
        message: Some(*id),
        package: Some(Arc::clone(&kept.message)),
        ..Belonging::default()
    };
    assert_eq!(belonging_of(journal, *id), package, "{case}");
    let is_small = parts.concat().len() + 2 <= usize::try_from(SMALL_BYTES).unwrap();
    let bodies = Scratch::names(&scratch.layout().bodies()).len();
    assert_eq!(bodies, if is_small { 0 } else { parts.len() }, "{case}");
    *id
}

/// Returns the belonging of a file, as its commit gets it.
pub(super) fn belonging_of(journal: &Journal, id: FileId) -> Belonging {
    let Work::Commit { promised, .. } = journal.open_work(id).unwrap() else {
        panic!("{id} is no work");
    };
    promised.belonging
}

#[test]
fn a_cut_at_any_moment_of_a_message_leaves_all_of_it_or_nothing() {
    for parts in SHAPES {
        let calls = {
            let scratch = Scratch::new();
            let journal = scratch.journal();
            scratch.disk.heal();
            try_adopt(&scratch, &journal, parts).unwrap();
            scratch.disk.calls().len()
        };
        assert!(calls > 1);
        for call in 0..=calls {
            let tears = [None, Some(Tear::Sectors(1)), Some(Tear::Sectors(3))];
            for tear in tears.into_iter().chain(Tear::ALL.map(Some)) {
                let case = format!("{} parts, cut before {call}, {tear:?}", parts.len());
                let scratch = Scratch::new();
                let journal = scratch.journal();
                scratch.disk.stop_at(call);
                let adopted = try_adopt(&scratch, &journal, parts);
                drop(journal);
                scratch.disk.heal();
                if let Some(tear) = tear {
                    scratch.disk.set_tear(tear);
                    scratch.cut_power();
                }
                let journal = restart(&case, &scratch);
                if adopted.is_err() && pending(&journal).is_empty() {
                    let bodies = Scratch::names(&scratch.layout().bodies());
                    assert!(bodies.is_empty(), "{case}: {bodies:?}");
                    continue;
                }
                let id = check(&case, &scratch, &journal, parts);
                if let Ok(adopted) = &adopted {
                    assert_eq!(adopted.files[0].id(), id, "{case}");
                }
                // It was promised: no power cut takes it back.
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(check(&case, &scratch, &journal, parts), id, "{case}");
            }
        }
    }
}

#[test]
fn a_call_that_fails_leaves_nothing_of_a_message_and_the_next_one_goes_well() {
    for parts in SHAPES {
        for fault in [Fault::Full, Fault::Broken, Fault::Short] {
            for call in 0.. {
                let case = format!("{} parts, {fault:?} in {call}", parts.len());
                let scratch = Scratch::new();
                let journal = scratch.journal();
                scratch.disk.fail_once(call, fault);
                let adopted = try_adopt(&scratch, &journal, parts);
                if call >= scratch.disk.calls().len() {
                    break;
                }
                scratch.disk.heal();
                if adopted.is_ok() {
                    check(&case, &scratch, &journal, parts);
                    continue;
                }
                assert!(pending(&journal).is_empty(), "{case}");
                if journal.poison().is_none() {
                    // A segment may have begun in the log's reserve.
                    journal.evict_settled().unwrap();
                    try_adopt(&scratch, &journal, parts).unwrap();
                    check(&case, &scratch, &journal, parts);
                }
            }
        }
    }
}

#[test]
fn a_message_that_is_copied_forward_piece_by_piece_stays_whole() {
    for parts in SHAPES {
        let case = format!("{} parts", parts.len());
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let adopted = try_adopt(&scratch, &journal, parts).unwrap();
        for file in &adopted.files {
            journal.copy_one(file.id()).unwrap();
            check(&case, &scratch, &journal, parts);
        }
        let inspection = Inspection::new(scratch.layout().journal());
        assert_eq!(inspection.verify().unwrap(), [], "{case}");
        drop(journal);
        let journal = restart(&case, &scratch);
        let id = check(&case, &scratch, &journal, parts);
        for file in &adopted.files {
            journal.defer(file.id(), "not now", Duration::ZERO).unwrap();
            journal.copy_one(file.id()).unwrap();
        }
        assert_eq!(belonging_of(&journal, id).package, Some(adopted.message));
        journal.settle(&committed(id)).unwrap();
        let kept = journal.message(id).unwrap().unwrap();
        assert_eq!(kept.standing, Standing::Committed);
        for file in &adopted.files {
            assert_eq!(journal.delete(file.id()).unwrap(), Deletion::Linked);
        }
        journal.delete_unlinked(id).unwrap();
        assert!(journal.message(id).unwrap().is_none());
    }
}

#[test]
fn a_message_that_is_sent_again_under_its_key_gets_the_same_files() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let mut told = Vec::new();
    for (key, parts) in (0..).zip(SHAPES) {
        let running = journal.begin(request(key)).unwrap();
        let keyed = Draft {
            request: Some(request(key)),
            ..draft()
        };
        let adopted = try_adopt_as(&scratch, &journal, parts, keyed).unwrap();
        drop(running);
        let ids: Vec<_> = adopted.files.iter().map(Adopted::id).collect();
        told.push((key, ids));
    }
    for case in ["at once", "after a start"] {
        for (key, ids) in &told {
            check_key(case, &journal, *key, ids, Standing::Pending);
        }
        drop(journal);
        journal = restart(case, &scratch);
    }
}

#[test]
fn no_part_is_taken_without_the_body_that_it_is_in() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let refused = journal.adopt_message(None, message_draft(&[b"clip"], draft()));
    assert!(refused.is_err());
    assert!(pending(&journal).is_empty());
}

#[test]
fn a_file_alone_belongs_to_nothing_and_no_message_has_its_id() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for body in [SMALL, LARGE] {
        let id = scratch.adopt(&journal, body);
        assert!(belonging_of(&journal, id).is_none());
        assert!(journal.message(id).unwrap().is_none());
    }
    let absent = FileId::from_bytes([1; FileId::BYTES]);
    assert!(journal.message(absent).unwrap().is_none());
}
