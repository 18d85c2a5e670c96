//! Records of every kind, written and read back.

mod belonging;
mod growth;
pub(in crate::journal) mod samples;

use proptest::prelude::*;

use super::*;
use crate::file::{FileId, MediaType};
use crate::message::Belonging;
use crate::store::Sha256;
use crate::testing::{cases, mutant};
use growth::uploads;
use samples::{
    answer, belongings, file, form, id, message, message_form, meta, metadata, settled, upload, why,
};

/// A tombstone of a message.
fn tombstone_of_message() -> Entry {
    Entry::Tombstone(Tombstone {
        at: LogTime(1),
        may_be_stored: false,
        answered: Some((answer(), meta(12))),
        message: Some(message(&[id(8)])),
    })
}

fn records() -> Vec<Record> {
    let states = [
        State::Waiting,
        State::Deferred {
            due: LogTime(8),
            why: why(),
        },
        State::Held(why()),
        State::Settled(settled()),
    ];
    let bodies = [Body::Linked { offset: 7 }, file(0).body];
    let files = states.iter().flat_map(|state| {
        bodies.iter().map(|body| {
            Entry::File(File {
                body: body.clone(),
                state: state.clone(),
                ..file(11)
            })
        })
    });
    let tombstone = |answered| {
        Entry::Tombstone(Tombstone {
            at: LogTime(1),
            may_be_stored: true,
            answered,
            message: None,
        })
    };
    let belonging = belongings().map(|belonging| {
        Entry::File(File {
            belonging,
            ..file(11)
        })
    });
    let others = [
        Entry::Intent(Intent {
            files: vec![id(8), id(9)],
        }),
        tombstone(None),
        tombstone(Some((answer(), meta(12)))),
        tombstone_of_message(),
    ];
    let answered = Answered {
        id: id(7),
        meta: meta(12),
        answer: answer(),
        is_deleted: true,
    };
    let changes = [
        Change::Deferred {
            due: LogTime(3),
            why: why(),
        },
        Change::Held(why()),
        Change::Waiting,
        Change::Settled(settled()),
        Change::Grown(Growth {
            length: 9,
            declared: None,
            lapses: LogTime(4),
            made: None,
        }),
        Change::Grown(Growth {
            length: 9,
            declared: Some(9),
            lapses: LogTime(4),
            made: Some(Sha256([6; 32])),
        }),
        Change::Gone,
    ];
    let files = files.chain(belonging).chain(uploads()).chain(others);
    let bases = files.map(Base::Entry).chain([
        Base::Form(form(&[7, 8, 9].map(id))),
        Base::Form(message_form(&[7, 8, 9].map(id))),
        Base::Form(Form {
            message: None,
            ..message_form(&[7, 8].map(id))
        }),
        Base::Answers(vec![answered.clone(), answered]),
    ]);
    let changes = changes.into_iter().map(Record::Change);
    bases.map(Record::Base).chain(changes).collect()
}

fn frames() -> Vec<Frame> {
    let frames = records().into_iter().map(|record| record.frame(id(7)));
    frames.map(Result::unwrap).collect()
}

#[test]
fn a_record_of_any_kind_reads_back_as_it_was_written() {
    for (record, frame) in records().into_iter().zip(frames()) {
        assert_eq!(frame.read(), Ok(Some(record)), "{frame:?}");
    }
}

#[test]
fn a_record_that_is_cut_or_longer_is_refused() {
    for frame in frames() {
        for end in 0..frame.record.len() {
            let record = frame.record[..end].to_vec();
            let cut = Frame {
                record,
                ..frame.clone()
            };
            assert!(cut.read().is_err(), "{end} of {frame:?}");
        }
        let mut longer = frame;
        longer.record.push(0);
        assert!(longer.read().is_err(), "{longer:?}");
    }
}

#[test]
fn the_head_of_another_record_is_refused() {
    for frame in frames() {
        let body_lengths = [&frame.body_lengths[..], &[1]].concat();
        let other = Frame {
            body_lengths,
            ..frame
        };
        assert!(other.read().is_err(), "{other:?}");
    }
    let mut waiting = Frame::change(id(7), &Change::Waiting).unwrap();
    waiting.moment = 1;
    assert!(waiting.read().is_err());
}

#[test]
fn an_unknown_kind_is_passed_over_if_its_writer_said_so_and_else_refused() {
    for (kind, version) in [
        (0, 1),
        (7, 1),
        (6, 2),
        (22, 1),
        (255, 1),
        (1, 0),
        (1, 4),
        (2, 3),
        (3, 1),
        (3, 5),
        (20, 1),
        (20, 5),
        (21, 2),
    ] {
        let frame = Frame {
            kind,
            version,
            ..frames().swap_remove(0)
        };
        assert_eq!(frame.read(), Err(RecordError::Unknown { kind, version }));
        let flagged = Frame {
            flags: Frame::MAY_SKIP,
            ..frame
        };
        assert_eq!(flagged.read(), Ok(None));
    }
}

#[test]
fn a_name_that_this_version_takes_no_more_gives_up_no_promise() {
    let mut frame = Frame::entry(id(7), &Entry::File(file(3))).unwrap();
    let at = frame.record.windows(5).position(|text| text == b"text/");
    frame.record[at.unwrap() + 4] = b' ';
    let Ok(Some(Record::Base(Base::Entry(Entry::File(read))))) = frame.read() else {
        panic!("{:?}", frame.read());
    };
    assert_eq!(read.meta.content_type, MediaType::octet_stream());
    assert_eq!(read.meta.metadata, metadata());
}

#[test]
fn a_form_that_is_empty_or_has_a_file_twice_is_none() {
    assert!(Frame::form(&form(&[])).is_err());
    assert!(Frame::form(&form(&[id(1), id(2), id(1)])).is_err());
    assert!(Frame::answers(&[]).is_err());
}

#[test]
fn a_thousand_parts_repeat_nothing_of_their_metadata() {
    let ids = (0..1000_u32).map(|number| {
        let mut bytes = [0; FileId::BYTES];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        FileId::from_bytes(bytes)
    });
    let ids: Vec<_> = ids.collect();
    let (one, all) = (form(&ids[..1]), form(&ids));
    let bytes = |form: &Form| Frame::form(form).unwrap().record.len();
    let each = (bytes(&all) - bytes(&one)) / 999;
    assert!(each < 100, "{each} bytes for each part");
    assert_eq!(all.files().count(), 1000);
    let last = all.files().last().unwrap().1;
    assert_eq!(last.meta.metadata, metadata());
    assert_eq!(last.answer.unwrap().part.position, 999);
}

#[test]
fn the_last_change_of_a_file_counts_and_settled_is_the_end() {
    let entry = Entry::File(file(3));
    let deferred = Change::Deferred {
        due: LogTime(3),
        why: why(),
    };
    for change in [&deferred, &Change::Waiting, &Change::Held(why())] {
        let folded = entry.clone().fold(&deferred).unwrap().unwrap();
        let folded = folded.fold(change).unwrap().unwrap();
        assert_eq!(Some(folded), entry.clone().fold(change).unwrap());
    }
    let stored = entry.clone().fold(&Change::Settled(settled())).unwrap();
    let stored = stored.unwrap();
    for change in [deferred, Change::Waiting, Change::Settled(settled())] {
        assert!(stored.clone().fold(&change).is_err());
    }
    assert_eq!(stored.fold(&Change::Gone), Ok(None));
    assert!(entry.fold(&Change::Grown(upload(3).growth)).is_err());
}

#[test]
fn each_seed_of_the_fuzzer_is_a_frame_of_today() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/kinds");
    let mut found: Vec<_> = std::fs::read_dir(seeds)
        .unwrap()
        .map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
        .collect();
    let mut made: Vec<_> = frames().iter().map(fuzz::bytes).collect();
    found.sort();
    made.sort();
    assert!(found == made, "the seeds are of another form");
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn mutants_of_frames_are_read_or_refused(bytes in mutant("kinds")) {
        fuzz::record(&bytes);
    }
}
