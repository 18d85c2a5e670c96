//! The answers of a journal whose node leaves, in the journal of another one.

use std::time::Duration;

use super::keys::{KEYS, again, check, request, try_carry_out};
use super::log::copy_forward;
use super::scratch::{LARGE, Scratch, committed, draft};
use super::upload_made::{KEY, live};
use crate::journal::idempotency::{Claim, Standing};
use crate::journal::{Adopted, Becomes, Draft, Fingerprint};
use crate::store::Sha256;

#[test]
fn the_beginning_of_an_upload_that_became_several_files_is_answered_with_it_and_with_them() {
    for becomes in [Becomes::Form, Becomes::Message] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let begun = request(9);
        let keyed = Draft {
            request: Some(begun),
            ..draft()
        };
        let parts: &[&[u8]] = &[b"clip", LARGE];
        let (upload, files) = live(&scratch, &journal, keyed, (becomes, parts));
        let (upload, files) = (upload.unwrap(), files.unwrap());
        for &file in &files {
            journal.settle(&committed(file)).unwrap();
        }
        let page = journal.answers_to_hand_over(None, 10, u64::MAX).unwrap();
        assert_eq!((page.answers.len(), page.place), (2, None));

        let mut other = Scratch::new();
        other.limits.settled_grace = Duration::ZERO;
        let mut heir = other.journal();
        assert!(heir.take_handed_over(page.answers).unwrap());
        for case in ["taken", "after a power cut", "copied", "cut again"] {
            let case = format!("{becomes:?} {case}");
            let whole = [&[upload][..], &files].concat();
            check(&case, &heir, 9, &whole, Standing::Committed);
            check(&case, &heir, KEY, &files, Standing::Committed);
            // The whole in one request under the key of the beginning.
            let asked = Fingerprint {
                content: Sha256([5; 32]),
                ..begun
            };
            let Claim::Answered(told) = heir.begin_whole(asked, begun).unwrap() else {
                panic!("{case}: not answered");
            };
            assert_eq!(told.iter().map(Adopted::id).collect::<Vec<_>>(), files);
            heir = again(&case, &other, heir);
            if case.ends_with("power cut") {
                copy_forward(&other, &heir);
            }
        }
    }
}

#[test]
fn a_page_ends_before_it_has_too_many_bytes_and_the_pages_have_each_answer_once() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    for key in KEYS {
        try_carry_out(&scratch, &journal, request(key)).unwrap();
    }
    for (most_bytes, pages) in [(0, KEYS.len()), (1, KEYS.len()), (u64::MAX, 1)] {
        let mut told = Vec::new();
        let (mut place, mut count) = (None, 0);
        loop {
            let page = journal.answers_to_hand_over(place, 10, most_bytes).unwrap();
            count += usize::from(!page.answers.is_empty());
            told.extend(page.answers.iter().map(|files| files[0].request.key.0[0]));
            place = page.place;
            if place.is_none() {
                break;
            }
        }
        told.sort_unstable();
        assert_eq!((&*told, count), (&KEYS[..], pages), "{most_bytes}");
    }
}
