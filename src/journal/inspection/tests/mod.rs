//! A journal with each kind of entry, read whole and damaged.

mod known;
mod stage;

use std::fs;

use stage::{Stage, append, change, entry, linked, salvaged, stage};

use super::Anomaly;
use crate::journal::index::Phase;
use crate::journal::record::tests::samples::{id, meta, upload};
use crate::journal::record::{Change, Entry, Frame, Growth, LogTime, State};
use crate::journal::wal::Damage;

#[test]
fn every_entry_is_listed_as_its_frames_tell_it_and_nothing_is_written() {
    let stage = stage();
    let before = stage.all_bytes();
    let inspection = stage.inspection();
    let contents = inspection.list().unwrap();
    let entries = contents.entries().into_iter();
    let seen: Vec<_> = entries
        .map(|entry| (entry.id, entry.known.phase, entry.known.length))
        .collect();
    let expected = [
        (1, Phase::Waiting, 5),
        (2, Phase::Deferred, 4),
        (3, Phase::Waiting, 6),
        (4, Phase::Waiting, 6),
        (5, Phase::Deleted, 0),
        (7, Phase::Waiting, 5),
        (10, Phase::Growing, 5),
    ];
    assert_eq!(
        seen,
        expected.map(|(number, phase, length)| (id(number), phase, length))
    );
    let shown = inspection.show(id(2)).unwrap();
    assert_eq!(shown.frames.len(), 2);
    let Some(Entry::File(file)) = shown.entry else {
        panic!("{shown:?}");
    };
    assert!(matches!(
        file.state,
        State::Deferred {
            due: LogTime(77),
            ..
        }
    ));
    let shown = inspection.show(id(4)).unwrap();
    assert_eq!(shown.frames.len(), 1, "of a form");
    assert!(matches!(shown.entry, Some(Entry::File(_))));
    let shown = inspection.show(id(6)).unwrap();
    assert_eq!((shown.frames.len(), shown.entry), (3, None));
    assert_eq!(inspection.verify().unwrap(), []);
    assert!(stage.all_bytes() == before);
}

#[test]
fn what_is_whole_comes_out_as_it_was() {
    let stage = stage();
    let before = stage.all_bytes();
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [1, 2, 3, 4, 7].map(id).into());
    assert_eq!((told.lone, told.anomalies), (Vec::new(), Vec::new()));
    for (number, bytes) in [
        (1, "first"),
        (2, "two!"),
        (3, "third."),
        (4, "fourth"),
        (7, "abcde"),
    ] {
        assert_eq!(salvaged(&to, id(number)).unwrap(), bytes.as_bytes());
    }
    let lines = fs::read_to_string(to.join("files.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 6);
    // The bytes that were never told stay behind.
    assert_eq!(told.uploads, [id(10)].into());
    assert_eq!(
        fs::read(to.join(format!("{}.open", id(10)))).unwrap(),
        b"grown"
    );
    assert_eq!(
        (&lines[5]["length"], &lines[5]["state"]),
        (&5.into(), &"growing".into())
    );
    assert_eq!(lines[5]["becomes"], "file");
    assert_eq!(lines[1]["id"], id(2).to_string());
    assert_eq!(
        (&lines[1]["state"], &lines[1]["length"]),
        (&"deferred".into(), &4.into())
    );
    assert_eq!(lines[1]["filename"], meta(4).filename.as_str());
    for taken in [to, stage.path("body/out")] {
        assert!(
            stage.inspection().salvage(&taken).is_err(),
            "nothing is written over, nor into the journal"
        );
    }
    assert!(stage.all_bytes() == before);
}

#[test]
fn the_last_bytes_of_an_open_upload_come_out_of_the_log_and_a_gap_is_named() {
    for (body, is_whole) in [(&b"gro"[..], true), (b"gr", false), (b"", false)] {
        let stage = Stage::new();
        let wal = stage.wal();
        let open = upload(2);
        append(
            &wal,
            &Frame::entry(id(10), &Entry::Upload(open.clone())).unwrap(),
            &[],
        );
        let mut growth = Growth {
            length: 3,
            ..open.growth
        };
        append(&wal, &change(10, &Change::Grown(growth)), &[]);
        for (length, bytes) in [(5, b"wn"), (7, b"up")] {
            growth.length = length;
            append(
                &wal,
                &Frame::grown(id(10), growth, Some(2)).unwrap(),
                &[&bytes[..]],
            );
        }
        drop(wal);
        fs::write(stage.path("body").join(id(10).to_string()), body).unwrap();
        let out = tempfile::tempdir().unwrap();
        let to = out.path().join("out");
        let told = stage.inspection().salvage(&to).unwrap();
        let there = fs::read(to.join(format!("{}.open", id(10)))).ok();
        if is_whole {
            assert_eq!(there.unwrap(), b"grownup");
            assert_eq!(
                (told.uploads, told.anomalies),
                ([id(10)].into(), Vec::new())
            );
        } else {
            let fault = format!("has {} bytes of 7", body.len());
            assert_eq!(told.anomalies, [Anomaly::NoBody { id: id(10), fault }]);
            assert_eq!((there, told.uploads.len()), (None, 0));
        }
    }
}

#[test]
fn what_is_damaged_is_named_and_the_rest_comes_out() {
    let stage = stage();
    let bodies = stage.path("body");
    stage.damage(b"third.");
    fs::write(bodies.join(id(2).to_string()), b"xyztwo").unwrap();
    fs::remove_file(bodies.join(id(7).to_string())).unwrap();
    fs::write(bodies.join(id(9).to_string()), b"alone").unwrap();
    let no_body = |number, fault: &str| Anomaly::NoBody {
        id: id(number),
        fault: fault.to_owned(),
    };
    let frames = stage.inspection().show(id(3)).unwrap().frames;
    let (generation, place) = (frames[0].0.generation, frames[0].0.place);
    let expected = [
        no_body(2, &format!("{} is cut short", id(2))),
        no_body(
            3,
            &format!("is damaged in the log, in segment {generation} at {place}"),
        ),
        no_body(7, &format!("{} is missing", id(7))),
    ];
    let lone = id(9).to_string();
    let all = [&expected[..], &[Anomaly::LoneBody(lone.clone())]].concat();
    assert_eq!(stage.inspection().verify().unwrap(), all);
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [1, 4].map(id).into());
    assert_eq!(told.lone, std::slice::from_ref(&lone));
    assert_eq!(told.anomalies, expected);
    assert_eq!(salvaged(&to, id(4)).unwrap(), b"fourth");
    assert_eq!(salvaged(&to, id(3)), None);
    assert_eq!(fs::read(to.join("lone").join(lone)).unwrap(), b"alone");
}

#[test]
fn a_body_that_is_not_the_stated_one_is_named_and_kept_apart() {
    let stage = stage();
    let bodies = stage.path("body");
    // The file keeps its length.
    fs::write(bodies.join(id(2).to_string()), b"xyztwo?and more").unwrap();
    fs::write(bodies.join(id(7).to_string()), b"abcdE").unwrap();
    let expected = [2, 7].map(|number| Anomaly::NoBody {
        id: id(number),
        fault: "is not the one whose digest was checked when it came".to_owned(),
    });
    assert_eq!(stage.inspection().verify().unwrap(), expected);
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [1, 3, 4].map(id).into());
    assert_eq!(told.anomalies, expected);
    for (number, bytes) in [(2, "two?"), (7, "abcdE")] {
        assert_eq!(salvaged(&to, id(number)), None);
        let part = fs::read(to.join(format!("{}.part", id(number)))).unwrap();
        assert_eq!(part, bytes.as_bytes());
    }
}

#[test]
fn a_damaged_record_costs_its_own_entry_and_what_no_version_knows_costs_nothing() {
    let stage = stage();
    let wal = stage.wal();
    let newer = Frame {
        version: 9,
        ..entry(8, linked(0, 0))
    };
    append(&wal, &newer, &[]);
    drop(wal);
    // The first record has this name; no other text before it has.
    stage.damage("größe".as_bytes());
    let found = stage.inspection().verify().unwrap();
    assert!(
        matches!(&*found, [
            Anomaly::Damage(Damage::Frame { id: damaged, .. }),
            Anomaly::Record { id: unknown, .. },
        ] if (*damaged, *unknown) == (id(1), id(8))),
        "{found:?}"
    );
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("out");
    let told = stage.inspection().salvage(&to).unwrap();
    assert_eq!(told.files, [2, 3, 4, 7].map(id).into());
    assert_eq!(told.anomalies, found);
    assert!(found.iter().all(|anomaly| !anomaly.to_string().is_empty()));
}

#[test]
fn changes_without_a_base_are_told() {
    let stage = Stage::new();
    let wal = stage.wal();
    append(&wal, &change(3, &Change::Waiting), &[]);
    drop(wal);
    assert_eq!(
        stage.inspection().verify().unwrap(),
        [Anomaly::NoBase(id(3))]
    );
}
