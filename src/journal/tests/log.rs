//! The log: promises that share a file and its fsyncs.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::disk::Fault;
use super::scratch::{Scratch, bytes_of, committed, draft, id, room, sha256_of};
use crate::file::FileId;
use crate::journal::rooms::Place;
use crate::journal::{Disk as _, Journal, LocalDisk, Look, Room, Settling, Work};

pub(super) fn logging() -> Scratch {
    let mut scratch = Scratch::new();
    scratch.limits.log_body_bytes = 8;
    scratch.limits.max_bytes = 100_000;
    scratch.limits.max_entries = 1000;
    scratch
}

pub(super) fn is_logged(journal: &Journal, id: FileId) -> bool {
    let slot = journal.index().get(id);
    slot.is_some_and(|slot| matches!(slot.place, Place::Log(_)))
}

/// The bytes of an entry, as a download and as the committer get them.
pub(super) fn content(journal: &Journal, id: FileId) -> Vec<u8> {
    let (file, window) = journal.open_window(id).unwrap().unwrap();
    let mut downloaded = vec![0; usize::try_from(window.length).unwrap()];
    file.read_exact_at(&mut downloaded, window.offset).unwrap();
    if let Work::Commit { promised, .. } = journal.open_work(id).unwrap() {
        assert_eq!(downloaded, bytes_of(&promised));
    }
    downloaded
}

pub(super) fn segments(scratch: &Scratch) -> Vec<PathBuf> {
    let found = fs::read_dir(scratch.layout().log()).unwrap();
    let mut paths: Vec<_> = found.map(|found| found.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A segment up to the end of its last group, which may be a zero.
fn written(path: &std::path::Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut end = 16;
    while bytes[end..].starts_with(b"gs-group") {
        let length = bytes[end + 8..].first_chunk().unwrap();
        end += usize::try_from(u64::from_le_bytes(*length)).unwrap();
    }
    bytes[..end].to_vec()
}

pub(super) fn restart(scratch: &Scratch, journal: Journal) -> Journal {
    drop(journal);
    scratch.disk.heal();
    let (journal, recovered) = scratch.open();
    assert_eq!(recovered.corrupt, 0);
    journal
}

#[test]
fn a_small_upload_is_in_the_log_alone_and_reads_back_before_and_after_a_restart() {
    let scratch = logging();
    let journal = scratch.journal();
    let small = scratch.adopt(&journal, b"12345678");
    let large = scratch.adopt(&journal, b"123456789");
    let empty = journal.adopt(None, draft()).unwrap().id();
    assert!(is_logged(&journal, small) && is_logged(&journal, empty));
    assert!(!is_logged(&journal, large));
    assert_eq!(scratch.names().len(), 2, "{:?}", scratch.names());
    let seen = |journal: &Journal| {
        assert_eq!(content(journal, small), b"12345678");
        assert_eq!(content(journal, empty), b"");
        assert_eq!(content(journal, large), b"123456789");
        assert_eq!(journal.totals(Room::Incoming).bytes, 17);
        match (journal.look(small), journal.look(large)) {
            (Ok(Look::Kept(small)), Ok(Look::Kept(large))) => {
                assert!(!small.is_whole_file && large.is_whole_file);
                small.meta
            }
            other => panic!("{other:?}"),
        }
    };
    let before = seen(&journal);
    let journal = restart(&scratch, journal);
    assert_eq!(seen(&journal), before);
    let journal = restart(&scratch, journal);
    assert_eq!(seen(&journal), before);
    let again = journal.open_work(small).unwrap();
    let is_retry = |promised: &crate::store::Promised| promised.is_retry;
    assert!(matches!(again, Work::Commit { promised, .. } if is_retry(&promised)));
}

#[test]
fn frames_of_the_first_form_are_read() {
    let scratch = logging();
    let journal = scratch.journal();
    let (earlier, now) = (
        scratch.adopt(&journal, b"earlier"),
        scratch.adopt(&journal, b"now"),
    );
    drop(journal);
    // The first of them, as it would have been written then.
    let segment = &segments(&scratch)[0];
    let mut bytes = fs::read(segment).unwrap();
    let begin = bytes.windows(4).position(|bytes| bytes == b"body").unwrap();
    let body = bytes.windows(7).position(|bytes| bytes == b"earlier");
    let end = body.unwrap() + 7;
    bytes[begin..begin + 4].copy_from_slice(b"file");
    let digest = sha256_of(&bytes[begin..end]);
    bytes[end..end + 32].copy_from_slice(&digest.0);
    fs::write(segment, &bytes).unwrap();
    let (journal, recovered) = scratch.open();
    assert_eq!(recovered.corrupt, 0);
    for (id, body) in [(earlier, &b"earlier"[..]), (now, b"now")] {
        assert_eq!(content(&journal, id), body);
    }
    // Theirs are verified as they are opened.
    bytes[end - 1] ^= 1;
    fs::write(segment, &bytes).unwrap();
    let reason = journal.open_work(earlier).unwrap_err().to_string();
    assert!(reason.contains("damaged"), "{reason}");
}

#[test]
fn a_lone_upload_costs_one_write_and_one_fsync() {
    let scratch = logging();
    let journal = scratch.journal();
    scratch.adopt(&journal, b"first");
    let body = scratch.spooled(b"second");
    scratch.disk.heal();
    journal.adopt(Some(&body), draft()).unwrap();
    assert_eq!(
        scratch.disk.calls(),
        ["free_bytes", "write_at", "sync_bytes"]
    );
}

#[test]
fn what_waits_while_a_group_is_synced_makes_up_the_next_one() {
    let scratch = logging();
    let journal = scratch.journal();
    scratch.adopt(&journal, b"zero");
    let bodies: Vec<_> = (0..5)
        .map(|n| scratch.spooled_as(&format!("{n:010}"), format!("body {n}").as_bytes()))
        .collect();
    scratch.disk.pause_at(2);
    let ids = std::thread::scope(|scope| {
        let (first, others) = bodies.split_first().unwrap();
        let journal = &journal;
        let first = scope.spawn(move || journal.adopt(first, draft()).unwrap().id());
        let mut running = Vec::new();
        scratch.disk.during_pause(|| {
            running.extend(
                others
                    .iter()
                    .map(|body| scope.spawn(move || journal.adopt(body, draft()).unwrap().id())),
            );
            while journal.log.waiting() < 4 {
                std::thread::yield_now();
            }
            assert!(running.iter().all(|one| !one.is_finished()), "not synced");
        });
        let mut ids = vec![first.join().unwrap()];
        ids.extend(running.into_iter().map(|one| one.join().unwrap()));
        ids
    });
    let calls = scratch.disk.calls();
    let syncs = calls.iter().filter(|&&call| call == "sync_bytes").count();
    assert_eq!(syncs, 2, "{calls:?}");
    let journal = restart(&scratch, journal);
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(content(&journal, id), format!("body {n}").as_bytes());
    }
}

pub(super) const WAITS: Option<Room> = Some(Room::Incoming);

/// The bodies and the records of `incoming`.
fn scratch_names(journal: &Journal) -> Vec<String> {
    let directories = [
        journal.layout().bodies(),
        journal.layout().room(Room::Incoming),
    ];
    let found = directories
        .iter()
        .flat_map(|path| fs::read_dir(path).unwrap());
    found
        .map(|found| found.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The target, one before it and one behind it.
pub(super) fn three() -> (Scratch, Journal, [FileId; 3]) {
    let mut scratch = logging();
    scratch.limits.settled_grace = std::time::Duration::ZERO;
    let journal = scratch.journal();
    let ids = [&b"before"[..], b"target", b"behind"].map(|body| scratch.adopt(&journal, body));
    scratch.disk.heal();
    (scratch, journal, ids)
}

pub(super) fn check_three(
    case: &str,
    journal: &Journal,
    ids: [FileId; 3],
    places: &[Option<Room>],
) {
    let [before, target, behind] = ids;
    assert_eq!(content(journal, before), b"before", "{case}");
    assert_eq!(content(journal, behind), b"behind", "{case}");
    let place = room(journal, target);
    if is_logged(journal, target) {
        let mut names = scratch_names(journal);
        names.retain(|name| name.contains(&target.to_string()));
        assert!(names.is_empty(), "{case}: {names:?} are in the log's way");
    }
    assert!(places.contains(&place), "{case}: {place:?}, not {places:?}");
    if place.is_some_and(Room::is_pending) {
        assert_eq!(content(journal, target), b"target", "{case}");
    }
}

#[test]
fn a_refused_group_does_not_come_back() {
    for call in [1, 2] {
        let (scratch, journal, ids) = three();
        scratch.disk.fail_once(call, Fault::Broken);
        let refusal = scratch.try_adopt(&journal, b"12345678");
        assert!(refusal.is_err());
        let journal = restart(&scratch, journal);
        check_three("refused", &journal, ids, &[WAITS]);
        assert_eq!(journal.totals(Room::Incoming).entries, 3);
    }
}

#[test]
fn a_restart_writes_no_more_into_what_it_found_and_old_segments_go_in_order() {
    let (scratch, journal, [before, target, behind]) = three();
    let journal = restart(&scratch, journal);
    let second = scratch.adopt(&journal, b"second");
    assert_eq!(segments(&scratch).len(), 2);
    let journal = restart(&scratch, journal);
    scratch.adopt(&journal, b"third");
    journal.settle(&committed(second)).unwrap();
    journal.evict_settled().unwrap();
    assert_eq!(segments(&scratch).len(), 3, "the first is needed");
    for id in [before, target] {
        assert_eq!(journal.settle(&committed(id)).unwrap(), Settling::Settled);
    }
    journal.delete(behind).unwrap();
    let (all, first) = (segments(&scratch), segments(&scratch)[0].clone());
    scratch.disk.heal();
    journal.evict_settled().unwrap();
    assert_eq!(segments(&scratch), all[2..]);
    let calls = scratch.disk.calls();
    let clearing: Vec<_> = calls.iter().filter(|call| **call != "free_bytes").collect();
    let expected = [
        "write_at",
        "sync_bytes",
        "unlink",
        "sync_directory",
        "unlink",
        "sync_directory",
    ];
    assert_eq!(clearing[..6], expected.each_ref()[..], "{calls:?}");
    assert!(!first.exists());
    let journal = restart(&scratch, journal);
    assert_eq!(journal.totals(Room::Incoming).entries, 1);
}

#[test]
fn a_segment_that_is_full_is_followed_by_the_next_and_stays_as_long_as_it_is_needed() {
    let scratch = logging();
    let journal = scratch.journal();
    let ids: Vec<_> = (0..30)
        .map(|n| scratch.adopt(&journal, format!("{n}").as_bytes()))
        .collect();
    let all = segments(&scratch);
    assert!(all.len() > 2, "{all:?}");
    journal.evict_settled().unwrap();
    assert_eq!(segments(&scratch), all);
    for (n, &id) in ids.iter().enumerate() {
        assert_eq!(content(&journal, id), format!("{n}").as_bytes());
    }
    let journal = restart(&scratch, journal);
    for (n, &id) in ids.iter().enumerate() {
        assert_eq!(content(&journal, id), format!("{n}").as_bytes());
        journal.settle(&committed(id)).unwrap();
    }
    journal.evict_settled().unwrap();
    assert_eq!(segments(&scratch).len(), 1);
    let journal = restart(&scratch, journal);
    assert_eq!(journal.totals(Room::Incoming).entries, 0);
}

#[test]
fn what_was_copied_from_another_segment_is_not_taken_for_its_own() {
    let (scratch, journal, _) = three();
    drop(journal);
    let layout = scratch.layout();
    fs::rename(layout.segment(1), layout.segment(2)).unwrap();
    let (journal, recovered) = scratch.open();
    assert_eq!(recovered.corrupt, 1);
    assert_eq!(journal.totals(Room::Incoming).entries, 0);
}

#[test]
fn a_damaged_group_is_told_and_what_can_be_read_is_kept() {
    let (scratch, journal, ids) = three();
    drop(journal);
    let path = segments(&scratch).remove(0);
    let sound = written(&path);
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let (journal, recovered) = scratch.open();
        let kept: Vec<_> = ids.iter().map(|&id| room(&journal, id).is_some()).collect();
        let lost = kept.iter().filter(|is_kept| !**is_kept).count();
        let is_head = at < 16;
        assert_eq!(lost, if is_head { 3 } else { 1 }, "byte {at}: {kept:?}");
        // What stands last looks like what a power cut tears; anything else does not.
        assert_eq!(
            recovered.corrupt,
            usize::from(kept[2] || is_head),
            "byte {at}"
        );
        let copies = fs::read_dir(scratch.layout().corrupt()).unwrap();
        for copy in copies.map(|copy| copy.unwrap().path()) {
            assert_eq!(fs::read(&copy).unwrap(), damaged);
            fs::remove_file(copy).unwrap();
        }
        drop(journal);
    }
}

#[test]
fn an_entry_that_rots_under_a_running_sidecar_is_unreadable_and_set_aside() {
    let (scratch, journal, [before, target, behind]) = three();
    let path = segments(&scratch).remove(0);
    let sound = fs::read(&path).unwrap();
    let at = sound.windows(6).position(|six| six == b"target").unwrap();
    // Its frame: head, record, body, digest.
    let begin = sound[..at].windows(4).rposition(|four| four == b"body");
    let frame = begin.unwrap()..at + 6 + 32;
    let open = |journal: &Journal| match journal.open_work(target) {
        Ok(Work::Commit { promised, .. }) => {
            assert_eq!(promised.meta.length, 6);
            let mut body = [0; 6];
            promised.body.read_exact_at(&mut body, 0).unwrap();
            let verified = promised.body.verify(sha256_of(&body));
            verified.map_err(|err| err.to_string())
        }
        Ok(other) => panic!("{other:?}"),
        Err(err) => Err(err.to_string()),
    };
    open(&journal).unwrap();
    let mut bytes = sound.clone();
    for place in frame {
        bytes.copy_from_slice(&sound);
        bytes[place] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(open(&journal).is_err(), "byte {place}");
        assert!(journal.open_window(target).is_err(), "byte {place}");
    }
    let reason = open(&journal).unwrap_err();
    assert!(reason.contains("damaged"), "{reason}");
    journal.set_aside(target, &reason).unwrap();
    assert!(matches!(journal.look(target), Ok(Look::Absent)));
    assert_eq!(content(&journal, before), b"before");
    assert_eq!(content(&journal, behind), b"behind");
    assert_eq!(journal.corrupt_files().unwrap(), 1);
}

#[test]
fn a_body_that_looks_like_a_group_is_none() {
    let mut scratch = logging();
    scratch.limits.log_body_bytes = 1000;
    let journal = scratch.journal();
    let first = scratch.adopt(&journal, b"first");
    let copied = written(&segments(&scratch)[0]);
    let forged = scratch.adopt(&journal, &copied[16..]);
    let path = segments(&scratch).remove(0);
    drop(journal);
    // Torn, with what looks like a whole group in it.
    let length = u64::try_from(written(&path).len()).unwrap();
    LocalDisk
        .truncate(
            &fs::File::options().write(true).open(&path).unwrap(),
            length - 1,
        )
        .unwrap();
    let journal = restart(&scratch, scratch.journal());
    assert_eq!(content(&journal, first), b"first");
    assert_eq!(room(&journal, forged), None);
    assert_eq!(room(&journal, id(1)), None);
}
