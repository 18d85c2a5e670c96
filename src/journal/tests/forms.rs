//! Forms: all their parts are promised or none, whatever fails and wherever they are cut.

use super::disk::Fault;
use super::operations::{Entry, Place, Stage, check, check_after_restart, unchanged};
use super::scratch::{Scratch, draft};
use crate::file::{FileId, Window};
use crate::journal::{AdoptError, Adopted, Disk as _, Journal, Room, Totals, record_bytes};

const BODY: &[u8] = b"--b one --b two --b three --b--";

/// Adopts a form of three parts; they need not look like parts here.
fn adopt_form(stage: &Stage) -> Result<Vec<Adopted>, AdoptError> {
    adopt_parts(&stage.scratch, &stage.journal)
}

fn adopt_parts(scratch: &Scratch, journal: &Journal) -> Result<Vec<Adopted>, AdoptError> {
    let body = scratch.spooled(BODY);
    let window = |offset| Window { offset, length: 3 };
    let parts = [4, 12, 20].map(|offset| (window(offset), draft()));
    journal.adopt_form(&body, parts.into())
}

fn calls_of_a_form() -> Vec<&'static str> {
    let stage = Stage::new();
    adopt_form(&stage).unwrap();
    stage.scratch.disk.calls()
}

fn part(id: FileId, places: &[Place]) -> (Entry, Vec<Place>) {
    let entry = Entry {
        name: "part",
        id,
        content: BODY.to_vec(),
        room: Room::Incoming,
    };
    (entry, places.to_vec())
}

/// The ids of bodies and records that no entry of the stage has.
fn new_ids(stage: &Stage) -> Vec<FileId> {
    let bodies = stage.scratch.files().into_keys().filter_map(|name| {
        let id: FileId = name.strip_prefix("body/")?.parse().ok()?;
        Some(id).filter(|&id| stage.entries.iter().all(|entry| entry.id != id))
    });
    let mut ids: Vec<_> = bodies.collect();
    ids.sort();
    ids
}

#[test]
fn the_parts_of_a_form_are_entries_that_share_one_body() {
    let stage = Stage::new();
    let adopted = adopt_form(&stage).unwrap();
    let mut expected = unchanged(&stage);
    expected.extend(
        adopted
            .iter()
            .map(|adopted| part(adopted.id(), &[Some(Room::Incoming)])),
    );
    check("adopted", &stage.scratch, &stage.journal, &expected);
    for (adopted, content) in adopted.iter().zip([b"one", b"two", b"thr"]) {
        let (file, window) = stage.journal.open_window(adopted.id()).unwrap().unwrap();
        let mut bytes = [0; 3];
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, window.offset).unwrap();
        assert_eq!(&bytes, content);
    }
}

/// A form of three files: what it takes, and a journal that has just too little of that.
#[test]
fn the_marks_count_every_part_of_a_form_and_its_record() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    adopt_parts(&scratch, &journal).unwrap();
    let totals = journal.totals(Room::Incoming);
    assert_eq!((totals.entries, totals.bytes), (3, 9));
    let records = 3 * record_bytes(&draft().metadata);
    assert!((300..=records).contains(&totals.record_bytes), "{totals:?}");

    let body_bytes = u64::try_from(BODY.len()).unwrap();
    let refusal = |max_entries, max_bytes, min_free_bytes, free_bytes| {
        let mut scratch = Scratch::new();
        scratch.limits.max_entries = max_entries;
        scratch.limits.max_bytes = max_bytes;
        scratch.limits.min_free_bytes = min_free_bytes;
        scratch.disk.set_free_bytes(free_bytes);
        let journal = scratch.journal();
        let refused = adopt_parts(&scratch, &journal).err();
        if refused.is_some() {
            assert_eq!(scratch.names(), Vec::<String>::new());
            assert_eq!(journal.index().backlog(), Totals::default());
        }
        refused.map(|err| err.to_string()).unwrap_or_default()
    };
    // Those that were let in may pass the marks by an eighth, and need half of what is to stay free.
    let needed = body_bytes + records;
    let most = (0..=needed).find(|most| most + most / 8 >= needed).unwrap();
    assert_eq!(refusal(3, most, 0, 1 << 30), "");
    assert!(refusal(2, most, 0, 1 << 30).contains("entries are pending"));
    assert!(refusal(3, most - 1, 0, 1 << 30).contains("bytes are pending"));
    assert_eq!(refusal(3, most, 200, records + 100), "");
    assert!(refusal(3, most, 200, records + 99).contains("bytes are free"));
}

#[test]
fn a_form_that_meets_one_failing_call_is_promised_whole_or_leaves_nothing() {
    let calls = calls_of_a_form();
    for (call, step) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let case = format!("{step}, call {call}, {fault:?}");
            let stage = Stage::new();
            stage.scratch.disk.fail_once(call, fault);
            adopt_form(&stage).expect_err(&case);
            stage.scratch.disk.heal();
            let mut expected = unchanged(&stage);
            if call == calls.len() - 1 {
                // Whole, and nobody was told.
                let ids = new_ids(&stage);
                assert_eq!(ids.len(), 3, "{case}");
                expected.extend(ids.iter().map(|&id| part(id, &[Some(Room::Incoming)])));
            } else {
                check(&case, &stage.scratch, &stage.journal, &expected);
            }
            let Stage {
                scratch, journal, ..
            } = stage;
            drop(journal);
            check_after_restart(&case, &scratch, &expected);
        }
    }
}

#[test]
fn a_form_that_is_cut_at_any_moment_is_there_whole_or_not_at_all() {
    let calls = calls_of_a_form().len();
    for call in 0..=calls {
        for loss in super::cuts::losses(call) {
            let case = format!("form cut before call {call}, {loss:?}");
            let stage = Stage::new();
            super::cuts::stop(&stage.scratch.disk, call, loss);
            let adopted = adopt_form(&stage);
            assert_eq!(adopted.is_ok(), call == calls, "{case}");
            let (ids, mut expected) = (new_ids(&stage), unchanged(&stage));
            let Stage {
                scratch, journal, ..
            } = stage;
            drop(journal);
            let entries = expected.len();
            let nobody_was_told = [Some(Room::Incoming), None];
            expected.extend(ids.iter().map(|&id| part(id, &nobody_was_told)));
            super::cuts::lose(&scratch, loss, &mut expected);
            scratch.disk.heal();
            drop(scratch.try_open().unwrap());
            // The power goes once more, when of the recovery itself only the list's end has lasted.
            let tmp = scratch.layout().tmp();
            scratch.disk.sync_directory(&tmp).unwrap();
            super::cuts::lose(&scratch, loss, &mut expected);
            // What is found from here on holds for every later start.
            let (journal, _) = scratch.try_open().unwrap();
            let here: Vec<_> = ids
                .iter()
                .filter(|&&id| super::scratch::room(&journal, id).is_some())
                .collect();
            let is_whole = here.len() == 3;
            assert!(is_whole || here.is_empty(), "{case}: {} of 3", here.len());
            assert!(is_whole || adopted.is_err(), "{case}: lost");
            drop(journal);
            let place = is_whole.then_some(Room::Incoming);
            for (_, places) in expected.drain(entries..) {
                assert!(places.contains(&place), "{case}: a start told {places:?}");
            }
            expected.extend(ids.iter().map(|&id| part(id, &[place])));
            for again in ["", ", again"] {
                let case = format!("{case}{again}");
                drop(check_after_restart(&case, &scratch, &expected));
            }
        }
    }
}

#[test]
fn a_list_that_is_torn_takes_nothing_along() {
    let stage = Stage::new();
    let id = stage.id("waiting");
    let layout = stage.scratch.layout();
    let list = format!("{id}\nsha256:0000\n");
    let file = stage
        .scratch
        .disk
        .create(&layout.form_in_writing(id), list.as_bytes());
    drop(file.unwrap());
    let expected = unchanged(&stage);
    let Stage {
        scratch, journal, ..
    } = stage;
    drop(journal);
    check_after_restart("a torn list", &scratch, &expected);
}
