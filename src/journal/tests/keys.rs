//! Requests that come again with their keys, after a cut at any point.

use std::time::Duration;

use super::log::copy_forward;
use super::scratch::{LARGE, Scratch, committed, draft};
use super::stage::restart;
use crate::file::{FileId, Window};
use crate::journal::AdoptError;
use crate::journal::idempotency::{Claim, Fingerprint, Standing};
use crate::journal::record::Subject;
use crate::journal::{Adopted, Draft, Journal, UnderKey};
use crate::store::Sha256;

pub(super) fn request(key: u8) -> Fingerprint {
    Fingerprint {
        key: Sha256([key; 32]),
        content: Sha256([1; 32]),
        sender: Subject(4),
    }
}

/// Carries a request out: a file, or a form of two.
pub(super) fn try_carry_out(
    scratch: &Scratch,
    journal: &Journal,
    request: Fingerprint,
) -> Result<Vec<FileId>, AdoptError> {
    let Claim::First(running) = journal.begin(request).unwrap() else {
        panic!("{request:?} was answered");
    };
    assert!(matches!(journal.begin(request), Ok(Claim::Running)));
    let draft = Draft {
        request: Some(request),
        ..draft()
    };
    let key = request.key.0[0];
    let is_large = key.is_multiple_of(2);
    let body = if is_large { LARGE } else { b"small" };
    let body = scratch.spooled(body);
    let adopted = if (2..4).contains(&key) {
        let part = |offset, length| (Window { offset, length }, draft.clone());
        journal.adopt_form(&body, vec![part(0, 2), part(2, 3)])?
    } else {
        vec![journal.adopt(Some(&body), draft)?]
    };
    drop(running);
    Ok(adopted.iter().map(Adopted::id).collect())
}

fn carry_out(scratch: &Scratch, journal: &Journal, key: u8) -> Vec<FileId> {
    try_carry_out(scratch, journal, request(key)).unwrap()
}

/// The bodies: a large file, a small one, a large form and a small one.
pub(super) const KEYS: [u8; 4] = [0, 1, 2, 3];

pub(super) fn check(case: &str, journal: &Journal, key: u8, ids: &[FileId], standing: Standing) {
    match journal.begin(request(key)).unwrap() {
        Claim::Answered(answer) => {
            let found: Vec<_> = answer.iter().map(Adopted::id).collect();
            assert_eq!(found, ids, "{case}: {key}");
            for adopted in answer {
                assert_eq!(adopted.standing(), standing, "{case}: {key}");
            }
        }
        other @ (Claim::First(_)
        | Claim::Elsewhere(..)
        | Claim::Open(_)
        | Claim::Running
        | Claim::Other) => {
            panic!("{case}: {key}: {other:?}")
        }
    }
    let other = Fingerprint {
        content: Sha256([2; 32]),
        ..request(key)
    };
    assert!(matches!(journal.begin(other), Ok(Claim::Other)), "{case}");
}

/// The data that survive a power cut.
pub(super) fn again(case: &str, scratch: &Scratch, journal: Journal) -> Journal {
    drop(journal);
    scratch.cut_power();
    restart(case, scratch)
}

#[test]
fn a_request_gets_its_first_answer_wherever_its_files_are() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let mut journal = scratch.journal();
    let answers = KEYS.map(|key| (key, carry_out(&scratch, &journal, key)));
    let check_all = |case: &str, mut journal: Journal, standing| {
        for is_again in [false, true] {
            for (key, ids) in &answers {
                check(case, &journal, *key, ids, standing);
            }
            if !is_again {
                journal = again(case, &scratch, journal);
            }
        }
        journal
    };
    journal = check_all("promised", journal, Standing::Pending);
    for id in answers.iter().flat_map(|(_, ids)| ids) {
        journal.settle(&committed(*id)).unwrap();
    }
    journal = check_all("settled", journal, Standing::Committed);
    assert_eq!(journal.evict_settled().unwrap(), 6);
    assert_eq!(journal.state().index.len(), 0);
    journal = check_all("evicted", journal, Standing::Committed);
    // The answers are copied forward.
    copy_forward(&scratch, &journal);
    assert!(journal.log_segments() < 10);
    journal = check_all("copied forward", journal, Standing::Committed);
    assert_eq!(journal.answers_kept(), 6);
}

#[test]
fn a_deleted_file_still_answers() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let mut journal = scratch.journal();
    for key in KEYS {
        let ids = carry_out(&scratch, &journal, key);
        for &id in &ids {
            if key == 1 {
                journal.settle(&committed(id)).unwrap();
            }
            journal.delete(id).unwrap();
        }
        check("deleted", &journal, key, &ids, Standing::Deleted);
        journal = again("deleted", &scratch, journal);
        check("deleted, again", &journal, key, &ids, Standing::Deleted);
        for &id in &ids {
            if journal.known(id).is_some() {
                journal.erase(id).unwrap();
            }
        }
        check("erased", &journal, key, &ids, Standing::Deleted);
        journal = again("erased", &scratch, journal);
        check("erased, again", &journal, key, &ids, Standing::Deleted);
        assert_eq!(journal.state().index.len(), 0);
    }
}

#[test]
fn a_cut_at_any_moment_of_leaving_forgets_no_key() {
    let settled = || {
        let mut scratch = Scratch::new();
        scratch.limits.settled_grace = Duration::ZERO;
        let journal = scratch.journal();
        let answers = KEYS.map(|key| (key, carry_out(&scratch, &journal, key)));
        for id in answers.iter().flat_map(|(_, ids)| ids) {
            journal.settle(&committed(*id)).unwrap();
        }
        scratch.disk.heal();
        (scratch, journal, answers)
    };
    let calls = {
        let (scratch, journal, _) = settled();
        journal.evict_settled().unwrap();
        scratch.disk.calls().len()
    };
    for call in 0..=calls {
        for is_power_cut in [false, true] {
            let case = format!("cut before {call}, {is_power_cut}");
            let (scratch, journal, answers) = settled();
            scratch.disk.stop_at(call);
            drop(journal.evict_settled());
            drop(journal);
            scratch.disk.heal();
            if is_power_cut {
                scratch.cut_power();
            }
            let journal = restart(&case, &scratch);
            for (key, ids) in &answers {
                check(&case, &journal, *key, ids, Standing::Committed);
            }
            let journal = again(&case, &scratch, journal);
            for (key, ids) in &answers {
                check(&case, &journal, *key, ids, Standing::Committed);
            }
        }
    }
}

#[test]
fn while_a_request_under_a_key_is_carried_out_nothing_is_told_of_the_key() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let key = request(0).key;
    let Claim::First(running) = journal.begin(request(0)).unwrap() else {
        panic!("it is new");
    };
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Running);
    drop(running);
    assert_eq!(journal.under_key(key).unwrap(), UnderKey::Nothing);
}
