//! A dead journal with all kinds of entries is taken over, on the same file system and on another one; its
//! rescuer is cut before each of its calls to the disk, and goes on.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::cuts::lose;
use super::intent;
use super::message;
use super::scratch::{LARGE, SMALL, Scratch, content, draft};
use super::stage::restart;
use super::upload_made;
use super::uploads::MORE;
use crate::file::FileId;
use crate::journal::record::Entry;
use crate::journal::tests::unsynced::Tear;
use crate::journal::{Becomes, DeadJournal, Journal, UploadDraft};
use crate::spool::Received;

/// An entry in words: all of it that a rescue keeps.
fn told(journal: &Journal, id: FileId) -> Option<String> {
    let found = journal.read(id).ok()?;
    Some(match found.reading.entry() {
        Entry::File(file) => {
            let body = content(journal, id).expect("a body");
            format!("{:?} {:?} {body:?}", file.meta, file.belonging)
        }
        Entry::Upload(upload) => {
            let growth = upload.growth;
            let body = fs::read(journal.layout.body(id)).unwrap_or_default();
            let kept = usize::try_from(growth.kept()).unwrap();
            let about = (
                growth.declared,
                growth.made,
                upload.becomes,
                &upload.content_type,
            );
            format!("{about:?} {:?}", &body[..kept])
        }
        Entry::Intent(intent) => format!("{intent:?}"),
        Entry::Tombstone(tombstone) => format!("{:?}", tombstone.message),
    })
}

/// Fills a journal. Returns the parts of a form.
fn fill(scratch: &Scratch, journal: &Arc<Journal>) -> Vec<FileId> {
    for parts in [&[b"clip", SMALL][..], &[b"clip", LARGE]] {
        message::try_adopt(scratch, journal, parts).unwrap();
    }
    let deleted = message::try_adopt(scratch, journal, &[LARGE, SMALL]).unwrap();
    journal.delete_message(deleted.files[0].id()).unwrap();
    // A message with files of other messages, and one that was cut before it had its package.
    intent::adopt(scratch, journal, &[LARGE]).unwrap();
    drop(journal.intend(vec![deleted.files[1].id()]).unwrap());
    for becomes in [
        Becomes::File,
        Becomes::Part,
        Becomes::Form,
        Becomes::Message,
    ] {
        let upload = UploadDraft {
            draft: draft(),
            declared: Some(500),
            becomes,
            sha512: None,
        };
        let id = journal.open_upload(upload).unwrap().0;
        let body = scratch.spooled(LARGE);
        journal.append(id, 0, (&body).into(), MORE).unwrap();
        let tail = Received::Inline(SMALL);
        journal.append(id, body.length(), tail, MORE).unwrap();
    }
    let form: (_, &[&[u8]]) = (Becomes::Form, &[b"clip", LARGE]);
    let (_, made) = upload_made::live(scratch, journal, draft(), form);
    assert!(made.is_some());
    scratch.try_adopt_form(journal, &[LARGE, LARGE]).unwrap()
}

fn take_all(own: &Journal, dead: &DeadJournal) -> bool {
    let ids = dead.ids().into_iter();
    let mut taken = ids.map(|id| own.take_over(dead, id).is_ok());
    taken.all(|is_taken| is_taken) && own.take_answers(dead, &HashSet::new()).is_ok()
}

#[test]
fn messages_uploads_and_forms_are_taken_whole_after_every_cut_and_from_another_file_system() {
    let scratch = Scratch::new();
    let journal = Arc::new(scratch.journal());
    let form = fill(&scratch, &journal);
    let mut ids = Vec::new();
    journal.each_known(&mut |id, _| ids.push(id));
    let expected: Vec<_> = ids.iter().map(|&id| told(&journal, id)).collect();
    assert!(expected.iter().all(Option::is_some) && ids.len() > 16);
    drop(Arc::into_inner(journal).expect("no other owner"));
    scratch.cut_power();
    let dead = DeadJournal::open(scratch.path(), scratch.limits.clone(), 2).unwrap();
    dead.begin().unwrap();
    let tears = [None, Some(Tear::Nothing), Some(Tear::End)];
    // A real disk is slow.
    let memory: fn() -> Scratch = Scratch::new;
    for (place, step, tears) in [
        (memory, 1, &tears[..]),
        (Scratch::on_disk, 11, &tears[1..2]),
    ] {
        let own = place();
        let journal = own.journal();
        own.disk.heal();
        assert!(take_all(&journal, &dead));
        let calls = own.disk.calls();
        let body = |id| fs::metadata(own.layout().body(id)).unwrap();
        assert_eq!(
            body(form[0]).ino(),
            body(form[1]).ino(),
            "a form has one body"
        );
        for call in (0..calls.len()).step_by(step) {
            for &tear in tears {
                let case = format!("cut before {call} of {calls:?}, {tear:?}");
                let own = place();
                let journal = own.journal();
                own.disk.stop_at(call);
                // A cut behind the last promise is none for its caller.
                let is_cut = !take_all(&journal, &dead);
                assert!(is_cut || call + 1 >= calls.len(), "{case}");
                drop(journal);
                lose(&own, tear);
                let journal = restart(&case, &own);
                for (&id, expected) in ids.iter().zip(&expected) {
                    let found = told(&journal, id);
                    assert!(found.is_none() || found == *expected, "{case}: {found:?}");
                }
                assert!(take_all(&journal, &dead), "{case}");
                for (&id, expected) in ids.iter().zip(&expected) {
                    assert_eq!(told(&journal, id), *expected, "{case}");
                }
            }
        }
    }
}
