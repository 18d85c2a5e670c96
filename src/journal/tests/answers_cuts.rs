//! The lives of entries that have keys, cut and failing: no answer that was given is forgotten.

use super::answers::{
    Step, answer, assert_answered, lives, request, restart, scratches, try_adopt, try_adopt_form,
};
use super::cuts::End;
use super::disk::Fault;
use super::scratch::{Scratch, room};
use crate::file::FileId;
use crate::journal::{Journal, Room};

/// Adopts under key 1, and lives on as long as the disk lets it; what was promised.
fn live(scratch: &Scratch, journal: &Journal, life: &[Step], is_form: bool) -> Option<Vec<FileId>> {
    let adopted = if is_form {
        try_adopt_form(scratch, journal, 1)
    } else {
        try_adopt(scratch, journal, 1).map(|id| vec![id])
    };
    let ids = adopted.ok()?;
    for (step, _) in life {
        for &id in &ids {
            if step(journal, id).is_err() {
                return Some(ids);
            }
        }
    }
    Some(ids)
}

/// Every life on both routes, of files and of forms.
fn each_life(mut act: impl FnMut(&str, &[Step], bool, usize)) {
    for (number, life) in lives().into_iter().enumerate() {
        for is_form in [false, true] {
            for route in 0..2 {
                let name = format!("life {number}, form {is_form}, route {route}");
                act(&name, &life, is_form, route);
            }
        }
    }
}

fn scratch_of(route: usize) -> Scratch {
    let [files, log] = scratches();
    if route == 0 { files } else { log }
}

#[test]
fn a_cut_at_any_moment_of_an_entrys_life_loses_no_key_whose_answer_was_given() {
    each_life(|name, life, is_form, route| {
        let scratch = scratch_of(route);
        let journal = scratch.journal();
        scratch.disk.heal();
        live(&scratch, &journal, life, is_form).unwrap();
        for call in 0..=scratch.disk.calls().len() {
            for end in End::all() {
                let case = format!("{name}, cut before call {call}, {end:?}");
                let scratch = scratch_of(route);
                let journal = scratch.journal();
                end.stop(&scratch.disk, call);
                let told = live(&scratch, &journal, life, is_form);
                drop(journal);
                let found = end.lose(&scratch, |journal| answer(journal, request(1)));
                let journal = restart(&scratch, scratch.journal());
                if let Some(Some(found)) = found {
                    let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
                    assert_answered(&case, &journal, request(1), &ids);
                }
                match (told, answer(&journal, request(1))) {
                    (Some(ids), _) => assert_answered(&case, &journal, request(1), &ids),
                    (None, None) => assert_eq!(journal.totals(Room::Incoming).entries, 0),
                    // It was promised, and nobody was told: it is the answer all the same.
                    (None, Some(files)) => {
                        assert_eq!(files.len(), 1 + usize::from(is_form), "{case}");
                        for (id, _) in files {
                            assert_eq!(room(&journal, id), Some(Room::Incoming), "{case}");
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn one_failing_call_in_an_entrys_life_loses_no_key_whose_answer_was_given() {
    each_life(|name, life, is_form, route| {
        let scratch = scratch_of(route);
        let journal = scratch.journal();
        scratch.disk.heal();
        live(&scratch, &journal, life, is_form).unwrap();
        for call in 0..scratch.disk.calls().len() {
            for fault in Fault::ALL {
                let case = format!("{name}, call {call}, {fault:?}");
                let scratch = scratch_of(route);
                let journal = scratch.journal();
                scratch.disk.fail_once(call, fault);
                let told = live(&scratch, &journal, life, is_form);
                scratch.disk.heal();
                let Some(ids) = told else {
                    assert_eq!(answer(&journal, request(1)), None, "{case}");
                    continue;
                };
                assert_answered(&case, &journal, request(1), &ids);
                for (step, _) in life {
                    // Some of it was done already.
                    for &id in &ids {
                        drop(step(&journal, id));
                    }
                }
                assert_answered(&case, &journal, request(1), &ids);
                let journal = restart(&scratch, journal);
                assert_answered(&format!("{case}, after"), &journal, request(1), &ids);
            }
        }
    });
}
