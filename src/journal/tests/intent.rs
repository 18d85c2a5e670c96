//! Intents: a message and its links come together, or the links are undone.

use std::sync::Arc;

use bytes::Bytes;

use super::cuts::{TEARS, lose};
use super::message::message_draft;
use super::scratch::{LARGE, SMALL, Scratch, draft};
use super::stage::restart;
use crate::file::{FileId, FileName, MediaType};
use crate::journal::tests::fault::Fault;
use crate::journal::{AdoptError, Announcement, Deletion, Intention, Journal, MessageDraft, Work};
use crate::message::{Part, Stated};
use crate::store::Sha256;

const FILES: [FileId; 2] = [
    FileId::from_bytes([7; FileId::BYTES]),
    FileId::from_bytes([9; FileId::BYTES]),
];

/// The own parts of a message that also refers to two files.
const SHAPES: [&[&[u8]]; 3] = [&[], &[b"clip", SMALL], &[LARGE]];

fn linked(file: FileId) -> Part {
    Part {
        file,
        name: None,
        filename: FileName::of_id(file),
        content_type: MediaType::octet_stream(),
        length: 3,
        sha256: Sha256([5; 32]),
        stated: Stated::default(),
    }
}

fn draft_of(parts: &[&[u8]], intention: &Intention) -> MessageDraft {
    MessageDraft {
        linked: vec![(0, linked(FILES[1])), (parts.len() + 1, linked(FILES[0]))],
        id: Some(intention.id()),
        ..message_draft(parts, draft())
    }
}

pub(super) fn adopt(
    scratch: &Scratch,
    journal: &Arc<Journal>,
    parts: &[&[u8]],
) -> Result<FileId, AdoptError> {
    let files = vec![FILES[1], FILES[0], FILES[1]];
    let intention = journal.intend(files)?;
    let draft = draft_of(parts, &intention);
    let body = scratch.spooled(&[b"--", parts.concat().as_slice()].concat());
    let body = Some(&body).filter(|_| !parts.is_empty());
    journal.adopt_message(body, draft)?;
    Ok(intention.id())
}

/// The message, or the files that must lose their links; and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    Intent(FileId),
    Message(FileId),
}

fn look(case: &str, journal: &Journal, parts: &[&[u8]]) -> Found {
    let work: Vec<_> = journal.work().into_iter().map(|(id, _)| id).collect();
    let mut found = Found::Nothing;
    for &id in &work {
        if let Work::Undo { files } = journal.open_work(id).unwrap() {
            assert_eq!((work.len(), &files[..]), (1, &FILES[..]), "{case}");
            assert_eq!(journal.delete(id).unwrap(), Deletion::NotHere, "{case}");
            found = Found::Intent(id);
        } else if let Some(kept) = journal.message(id).unwrap() {
            let files: Vec<_> = kept.message.parts.iter().map(|part| part.file).collect();
            assert_eq!(work.len(), parts.len() + 1, "{case}");
            assert_eq!(files.len(), parts.len() + 2, "{case}");
            assert_eq!(
                (files.first(), files.last()),
                (Some(&FILES[1]), Some(&FILES[0])),
                "{case}"
            );
            found = Found::Message(id);
        }
    }
    assert!(!work.is_empty() || found == Found::Nothing, "{case}");
    found
}

#[test]
fn a_cut_at_any_moment_leaves_the_message_or_links_to_undo() {
    for parts in SHAPES {
        let calls = {
            let scratch = Scratch::new();
            let journal = Arc::new(scratch.journal());
            scratch.disk.heal();
            adopt(&scratch, &journal, parts).unwrap();
            scratch.disk.calls().len()
        };
        let mut seen = [0; 3];
        for call in 0..=calls {
            for tear in TEARS {
                let case = format!("{} parts, cut before {call}, {tear:?}", parts.len());
                let scratch = Scratch::new();
                let journal = Arc::new(scratch.journal());
                scratch.disk.stop_at(call);
                let adopted = adopt(&scratch, &journal, parts);
                drop(journal);
                lose(&scratch, tear);
                let journal = restart(&case, &scratch);
                let found = look(&case, &journal, parts);
                if let Ok(id) = adopted {
                    assert_eq!(found, Found::Message(id), "{case}");
                }
                // The outcome was reported: no power cut takes it back.
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(look(&case, &journal, parts), found, "{case}");
                seen[match found {
                    Found::Nothing => 0,
                    Found::Intent(_) => 1,
                    Found::Message(_) => 2,
                }] += 1;
                let Found::Intent(id) = found else { continue };
                journal.undone(id).unwrap();
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                assert_eq!(look(&case, &journal, parts), Found::Nothing, "{case}");
            }
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }
}

#[test]
fn a_call_that_fails_leaves_links_to_undo_at_once_and_no_start_finds_the_promise() {
    for parts in SHAPES {
        for fault in [Fault::Full, Fault::Broken, Fault::Short] {
            for call in 0.. {
                let case = format!("{} parts, {fault:?} in {call}", parts.len());
                let scratch = Scratch::new();
                let journal = Arc::new(scratch.journal());
                scratch.disk.fail_once(call, fault);
                let adopted = adopt(&scratch, &journal, parts);
                if call >= scratch.disk.calls().len() {
                    break;
                }
                scratch.disk.heal();
                let announced = scratch.announced();
                let found = look(&case, &journal, parts);
                let is_poisoned = journal.poison().is_some();
                match (&adopted, &found) {
                    (Ok(id), _) => assert_eq!(found, Found::Message(*id), "{case}"),
                    (Err(_), Found::Intent(id)) => {
                        assert_eq!(announced, [Announcement::ToClear(*id)], "{case}");
                    }
                    (Err(_), Found::Nothing) => {}
                    (Err(_), Found::Message(_)) => panic!("{case}: refused and there"),
                }
                drop(journal);
                scratch.cut_power();
                let journal = restart(&case, &scratch);
                let later = look(&case, &journal, parts);
                // Only the next start knows the result of a failed fsync: no link is undone before.
                let is_open = is_poisoned && adopted.is_err();
                assert!(!is_open || found == Found::Nothing, "{case}: {found:?}");
                if !is_open {
                    assert_eq!(later, found, "{case}");
                }
            }
        }
    }
}

#[test]
fn links_that_are_being_made_are_no_work_before_their_message_is_given_up() {
    let scratch = Scratch::new();
    let journal = Arc::new(scratch.journal());
    let intention = journal.intend(FILES.to_vec()).unwrap();
    let id = intention.id();
    assert!(journal.work().is_empty());
    assert!(matches!(journal.open_work(id).unwrap(), Work::Nothing));
    assert!(journal.message(id).unwrap().is_none());
    assert_eq!(journal.try_lookup(id).unwrap(), None);
    assert!(journal.undone(id).is_err());
    journal.copy_one(id).unwrap();
    drop(intention);
    assert_eq!(scratch.announced(), [Announcement::ToClear(id)]);
    assert_eq!(look("given up", &journal, &[]), Found::Intent(id));
    // No promise comes after that.
    let late = MessageDraft {
        id: Some(id),
        content: Bytes::new(),
        ..message_draft(&[], draft())
    };
    assert!(journal.adopt_message(None, late).is_err());
    journal.copy_one(id).unwrap();
    journal.undone(id).unwrap();
    assert_eq!(look("undone", &journal, &[]), Found::Nothing);
    assert_eq!(journal.work_count(), 0);
}
