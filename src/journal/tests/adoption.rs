//! What an upload becomes, and what is refused.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::scratch::{SPOOLED, Scratch, bytes_of, draft, room};
use crate::file::{FileName, UnixMillis};
use crate::journal::{
    AdoptError, Draft, Free, Journal, LocalDisk, Look, Record, Room, Totals, Work,
};
use crate::spool::ClaimError;

fn content(journal: &Journal, id: crate::file::FileId) -> Vec<u8> {
    let Ok(Work::Commit { promised, .. }) = journal.open_work(id) else {
        panic!("{id} is not pending");
    };
    bytes_of(&promised)
}

#[test]
fn an_adopted_upload_is_a_record_and_a_body_and_nothing_else() {
    let scratch = Scratch::new();
    let (data, limits) = (scratch.layout(), scratch.limits.clone());
    let data = data.spool().parent().unwrap().to_owned();
    let (journal, _) = Journal::open(&data, limits, Box::new(LocalDisk)).unwrap();
    let body = scratch.spooled(b"hello");
    let named = Draft {
        filename: FileName::from_claim("größe.txt"),
        ..draft()
    };
    let adopted = journal.adopt(Some(&body), named).unwrap();
    let id = adopted.id();
    let files = scratch.files();
    assert_eq!(files.len(), 2);
    assert_eq!(files[&format!("body/{id}")], b"hello");
    let record = Record::decode(id, &files[&format!("incoming/{id}.json")]).unwrap();
    assert_eq!(&record.meta, adopted.meta());
    assert_eq!(record.meta.filename.as_str(), "größe.txt");
    assert_eq!(record.meta.length, 5);
    assert_eq!((record.attempts, record.reason), (0, None));
    assert_eq!(room(&journal, id), Some(Room::Incoming));
    assert_eq!(journal.work(), [(id, UnixMillis(0))]);
    assert_eq!(content(&journal, id), b"hello");
    let record = &files[&format!("incoming/{id}.json")];
    let totals = Totals {
        record_bytes: record.len().try_into().unwrap(),
        ..Totals::of(5)
    };
    assert_eq!(journal.totals(Room::Incoming), totals);
    assert_eq!(
        journal.index().backlog(),
        totals,
        "the reservation is released"
    );
    assert_eq!(journal.oldest_pending(), Some(id.made_at()));
    assert!(matches!(journal.look(id), Ok(Look::Kept(kept)) if &kept.meta == adopted.meta()));
}

#[test]
fn every_step_of_an_adoption_comes_in_the_order_that_its_table_says() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    scratch.disk.heal();
    scratch.adopt(&journal, b"hello");
    let steps = [
        "free_bytes",
        "link",
        "create",
        "sync_file",
        "sync_file",
        "sync_directory",
        "rename",
        "sync_directory",
    ];
    assert_eq!(scratch.disk.calls(), steps);
}

#[test]
fn the_entity_tag_is_made_of_the_time_that_the_body_was_modified() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let modified = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let path = scratch.layout().spool().join(SPOOLED);
    fs::write(&path, b"hello").unwrap();
    let spooled = fs::File::options().write(true).open(path).unwrap();
    spooled.set_modified(modified).unwrap();
    let body = scratch.claim().unwrap();
    let adopted = journal.adopt(Some(&body), draft()).unwrap();
    assert_eq!(adopted.meta().uploaded, UnixMillis(1_700_000_000_123));
    assert_eq!(adopted.meta().etag(), "\"6553f100-5\"");
    let found = fs::metadata(scratch.layout().body(adopted.id())).unwrap();
    assert_eq!(
        found.mtime(),
        1_700_000_000,
        "nginx makes the same tag of it"
    );
}

#[test]
fn a_request_without_a_body_becomes_an_empty_file() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let adopted = journal.adopt(None, draft()).unwrap();
    let id = adopted.id();
    assert_eq!(adopted.meta().length, 0);
    assert_eq!(adopted.meta().filename, FileName::of_id(id));
    assert_eq!(content(&journal, id), b"");
    drop(journal);
    let (journal, recovered) = scratch.open();
    assert_eq!((recovered.pending, recovered.corrupt), (1, 0));
    assert_eq!(content(&journal, id), b"");
}

#[test]
fn the_body_stays_when_nginx_unlinks_its_spool_file() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let id = scratch.adopt(&journal, b"hello");
    fs::remove_file(scratch.layout().spool().join(SPOOLED)).unwrap();
    assert_eq!(content(&journal, id), b"hello");
    drop(journal);
    assert_eq!(content(&scratch.journal(), id), b"hello");
}

#[test]
fn an_adopted_spool_file_cannot_be_claimed_again() {
    let scratch = Scratch::new();
    scratch.adopt(&scratch.journal(), b"hello");
    let refusal = scratch.claim().unwrap_err();
    assert!(
        matches!(refusal, ClaimError::Kind { links: 2, .. }),
        "{refusal}"
    );
}

#[test]
fn a_file_that_takes_the_spool_name_after_the_claim_is_not_adopted() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let claimed = scratch.spooled(b"mine");
    let spool = scratch.layout().spool();
    fs::write(spool.join("other"), b"stolen secret").unwrap();
    fs::rename(spool.join("other"), spool.join(SPOOLED)).unwrap();
    // The claimed file has no name any more, so it cannot get a new one: refused is right too.
    assert!(journal.adopt(Some(&claimed), draft()).is_err());
    assert_eq!(scratch.names(), Vec::<String>::new());

    let claimed = scratch.spooled(b"mine");
    fs::rename(spool.join(SPOOLED), spool.join("elsewhere")).unwrap();
    fs::write(spool.join(SPOOLED), b"stolen secret").unwrap();
    let id = journal.adopt(Some(&claimed), draft()).unwrap().id();
    assert_eq!(content(&journal, id), b"mine");
    let inode = |path| fs::metadata(path).unwrap().ino();
    assert_eq!(
        inode(scratch.layout().body(id)),
        claimed.file().metadata().unwrap().ino()
    );
}

fn assert_full(refusal: Option<AdoptError>, text: &str) {
    match refusal {
        Some(AdoptError::Full(reason)) => assert!(reason.contains(text), "{reason}"),
        other => panic!("{other:?} instead of {text}"),
    }
}

#[test]
fn the_mark_of_bytes_is_reached_exactly_and_those_that_were_let_in_pass_it_by_an_eighth() {
    let record_bytes = {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        scratch.adopt(&journal, b"12345");
        journal.totals(Room::Incoming).record_bytes
    };
    let mut scratch = Scratch::new();
    scratch.limits.max_bytes = 10 + record_bytes;
    let journal = scratch.journal();
    scratch.adopt(&journal, b"12345");
    let pending = format!("{} bytes are pending", 5 + record_bytes);
    assert_full(journal.check_admission(6).err(), &pending);
    journal.check_admission(5).unwrap();
    let eighth = usize::try_from(scratch.limits.max_bytes / 8).unwrap();
    let too_long = vec![b'x'; 5 + eighth + 1];
    assert_full(scratch.try_adopt(&journal, &too_long).err(), &pending);
    let last = scratch.adopt(&journal, &too_long[1..]);
    assert_full(scratch.try_adopt(&journal, b"1").err(), "bytes are pending");
    assert_eq!(
        scratch.names().len(),
        4,
        "nothing is kept of what was refused"
    );
    journal.settle(&super::scratch::committed(last)).unwrap();
    scratch.adopt(&journal, b"12345");
}

#[test]
fn the_mark_of_entries_counts_every_room_of_the_backlog() {
    let mut scratch = Scratch::new();
    scratch.limits.max_entries = 3;
    let journal = scratch.journal();
    scratch.adopt(&journal, b"");
    let deferred = scratch.adopt(&journal, b"");
    let held = scratch.adopt(&journal, b"");
    journal.defer(deferred, "why", UnixMillis(5)).unwrap();
    journal.hold(held, "why").unwrap();
    assert_full(scratch.try_adopt(&journal, b"").err(), "3 entries");
    assert_eq!(scratch.names().len(), 6);
    journal.delete(held).unwrap();
    scratch.adopt(&journal, b"");
}

#[test]
fn scarce_space_on_the_disk_refuses_uploads_and_those_that_were_let_in_at_half_of_it() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    let journal = scratch.journal();
    scratch.disk.set_free_bytes(249);
    let refusal = scratch.try_adopt(&journal, b"body").unwrap_err();
    assert_no_space(&refusal, "249 bytes are free");
    assert_eq!(scratch.names(), Vec::<String>::new());
    scratch.disk.set_free_bytes(499);
    assert_no_space(
        &journal.check_admission(0).unwrap_err(),
        "499 bytes are free",
    );
    scratch.adopt(&journal, b"body");
}

fn assert_no_space(refusal: &AdoptError, text: &str) {
    assert!(matches!(refusal, AdoptError::NoSpace(_)), "{refusal}");
    assert!(refusal.to_string().contains(text), "{refusal}");
}

#[test]
fn before_the_body_its_length_counts_as_written_already() {
    let mut scratch = Scratch::new();
    scratch.limits.min_free_bytes = 500;
    scratch.limits.min_free_inodes = 10;
    scratch.limits.max_bytes = 1000;
    let journal = scratch.journal();
    let check = |bytes, inodes, length| journal.check_room(Free { bytes, inodes }, length);
    check(600, 10, 100).unwrap();
    assert_no_space(&check(600, 10, 101).unwrap_err(), "600 bytes");
    let refusal = check(600, 9, 100).unwrap_err();
    assert!(
        matches!(&refusal, AdoptError::NoInodes(text) if text.starts_with("9 inodes")),
        "{refusal}"
    );
    let again = |bytes, length| journal.check_room_again(Free { bytes, inodes: 5 }, length);
    again(350, 100).unwrap();
    assert_no_space(&again(349, 100).unwrap_err(), "349 bytes");
    again(u64::MAX, 1125).unwrap();
    assert_full(again(u64::MAX, 1126).err(), "0 bytes are pending");
    check(u64::MAX, u64::MAX, 1000).unwrap();
    assert_full(check(u64::MAX, u64::MAX, 1001).err(), "0 bytes are pending");
    assert!(journal.free().unwrap().inodes > 0);
}

#[test]
fn a_failed_adoption_gives_its_reservation_back() {
    let mut scratch = Scratch::new();
    scratch.limits.max_bytes = 4;
    scratch.limits.max_entries = 1;
    let journal = scratch.journal();
    scratch.disk.fail_once(1, super::disk::Fault::Full);
    let refusal = scratch.try_adopt(&journal, b"body").unwrap_err();
    assert!(matches!(refusal, AdoptError::NoSpace(_)), "{refusal}");
    assert_eq!(journal.index().backlog(), Totals::default());
    scratch.adopt(&journal, b"body");
}

#[test]
fn the_oldest_pending_entry_is_told_until_it_leaves_the_backlog() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    assert_eq!(journal.oldest_pending(), None);
    let id = scratch.adopt(&journal, b"body");
    assert!(journal.oldest_pending().unwrap() <= SystemTime::now());
    journal.settle(&super::scratch::committed(id)).unwrap();
    assert_eq!(journal.oldest_pending(), None);
}
