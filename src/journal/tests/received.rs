//! Spool files become entries.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, UNIX_EPOCH};

use super::adoption::pending;
use super::message::belonging_of;
use super::scratch::{LARGE, SMALL, SPOOLED, Scratch, committed, content, draft, room, sha256_of};
use super::stage::restart;
use crate::file::{FileName, UnixMillis, Window};
use crate::journal::{Adopted, Announcer, Draft, Journal, Lookup, Opened};
use crate::journal::{LocalDisk, Room};
use crate::spool::{ClaimError, Received};
use crate::store::Sha256;

const BODIES: [&[u8]; 2] = [SMALL, LARGE];

#[test]
fn an_adopted_upload_is_described_as_it_came_on_a_real_disk_too() {
    let scratch = Scratch::new();
    let limits = scratch.limits.clone();
    let (disk, announcer) = (Box::new(LocalDisk), Announcer::to_nobody());
    let opened = Journal::open(scratch.path(), limits, disk, announcer);
    let (journal, _) = opened.unwrap();
    for body in BODIES {
        let named = Draft {
            filename: FileName::from_claim("größe.txt"),
            ..draft()
        };
        let adopted = journal.adopt(Some(&scratch.spooled(body)), named).unwrap();
        let id = adopted.id();
        assert_eq!(adopted.meta().filename.as_str(), "größe.txt");
        let length = u64::try_from(body.len()).unwrap();
        assert_eq!(adopted.meta().length, length);
        assert_eq!(room(&journal, id), Some(Room::Incoming));
        assert!(journal.work().contains(&(id, None)));
        assert_eq!(content(&journal, id).unwrap(), body);
        let linked = scratch.layout().body(id);
        assert_eq!(linked.exists(), body == LARGE);
        let Ok(Lookup::Kept(kept)) = journal.lookup(id) else {
            panic!("it is here");
        };
        assert_eq!(&kept.meta, adopted.meta());
    }
}

#[test]
fn the_entity_tag_is_made_of_the_time_that_the_body_was_modified() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let modified = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let path = scratch.layout().spool().join(SPOOLED);
        fs::write(&path, body).unwrap();
        let spooled = fs::File::options().write(true).open(path).unwrap();
        spooled.set_modified(modified).unwrap();
        let claimed = scratch.claim(SPOOLED).unwrap();
        let adopted = journal.adopt(Some(&claimed), draft()).unwrap();
        assert_eq!(adopted.meta().uploaded, UnixMillis(1_700_000_000_123));
        let tag = format!("\"6553f100-{:x}\"", body.len());
        assert_eq!(adopted.meta().etag(), tag);
        if body == LARGE {
            let found = fs::metadata(scratch.layout().body(adopted.id())).unwrap();
            let found = found.mtime();
            assert_eq!(found, 1_700_000_000, "nginx makes the same tag of it");
        }
        let id = adopted.id();
        drop(journal);
        let journal = restart("adopted", &scratch);
        let Ok(Lookup::Kept(kept)) = journal.lookup(id) else {
            panic!("it is here");
        };
        assert_eq!(&kept.meta, adopted.meta());
    }
}

#[test]
fn a_request_without_a_body_becomes_an_empty_file() {
    for log_body_bytes in [0, 32] {
        let mut scratch = Scratch::new();
        scratch.limits.log_body_bytes = log_body_bytes;
        let journal = scratch.journal();
        let adopted = journal.adopt(None, draft()).unwrap();
        let id = adopted.id();
        assert_eq!(adopted.meta().length, 0);
        assert_eq!(adopted.meta().filename, FileName::of_id(id));
        assert_eq!(content(&journal, id).unwrap(), b"");
        drop(journal);
        let journal = restart("empty", &scratch);
        assert_eq!(pending(&journal), [id]);
        assert_eq!(content(&journal, id).unwrap(), b"");
        let linked = scratch.layout().body(id).exists();
        assert_eq!(linked, log_body_bytes == 0);
    }
}

#[test]
fn the_subject_of_an_upload_is_kept_however_it_comes() {
    let scratch = Scratch::new();
    let mut journal = scratch.journal();
    let by_alice = || Draft {
        sub: Some("alice".into()),
        ..draft()
    };
    let mut ids = Vec::new();
    for body in BODIES {
        let spooled = scratch.spooled(body);
        let adopted = journal.adopt(Some(&spooled), by_alice()).unwrap();
        ids.push(adopted.id());
        let adopted = journal.adopt(Received::Inline(body), by_alice()).unwrap();
        ids.push(adopted.id());
        let spooled = scratch.spooled(body);
        for parts in [1, 2] {
            let window = |offset| Window { offset, length: 1 };
            let parts = (0..parts).map(|offset| (window(offset), by_alice()));
            let adopted = journal.adopt_form(&spooled, parts.collect()).unwrap();
            ids.extend(adopted.iter().map(Adopted::id));
        }
    }
    let nobodys = scratch.adopt(&journal, SMALL);
    for case in ["at once", "copied, after a start"] {
        for &id in &ids {
            let sub = belonging_of(&journal, id).sub;
            assert_eq!(sub.as_deref(), Some("alice"), "{case}");
            journal.defer(id, "not now", Duration::ZERO).unwrap();
            journal.copy_one(id).unwrap();
        }
        assert!(belonging_of(&journal, nobodys).is_none(), "{case}");
        drop(journal);
        scratch.cut_power();
        journal = restart(case, &scratch);
    }
}

/// Bytes with a known digest are not hashed again: if the digest is wrong, it stands in the log, and a
/// later read fails.
#[test]
fn a_digest_that_is_known_goes_into_the_log_as_it_is() {
    let wrong = Sha256([7; 32]);
    for (is_form, is_right) in [(false, true), (false, false), (true, true), (true, false)] {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let body = scratch.spooled(SMALL);
        let known = |bytes| Draft {
            sha256: Some(if is_right { sha256_of(bytes) } else { wrong }),
            ..draft()
        };
        let adopted = if is_form {
            let window = |offset, length| Window { offset, length };
            let parts = vec![(window(0, 2), known(b"sm")), (window(2, 3), known(b"all"))];
            journal.adopt_form(&body, parts).unwrap()
        } else {
            vec![journal.adopt(Some(&body), known(SMALL)).unwrap()]
        };
        for file in adopted {
            let opened = journal.open_window(file.id());
            assert_eq!(opened.is_ok(), is_right, "{is_form}");
        }
    }
}

#[test]
fn the_body_stays_when_nginx_unlinks_its_spool_file() {
    for body in BODIES {
        let scratch = Scratch::new();
        let journal = scratch.journal();
        let id = scratch.adopt(&journal, body);
        fs::remove_file(scratch.layout().spool().join(SPOOLED)).unwrap();
        assert_eq!(content(&journal, id).unwrap(), body);
        drop(journal);
        let journal = restart("unlinked", &scratch);
        assert_eq!(content(&journal, id).unwrap(), body);
    }
}

#[test]
fn an_adopted_spool_file_cannot_be_claimed_again() {
    for body in BODIES {
        let scratch = Scratch::new();
        scratch.adopt(&scratch.journal(), body);
        let refusal = scratch.claim(SPOOLED).unwrap_err();
        let is_linked = matches!(refusal, ClaimError::Kind { links: 2, .. });
        assert!(is_linked || body == SMALL, "{refusal}");
    }
    let scratch = Scratch::new();
    let parts = [&SMALL[..2], &SMALL[2..]];
    scratch.try_adopt_form(&scratch.journal(), &parts).unwrap();
    scratch.claim(SPOOLED).unwrap_err();
}

#[test]
fn a_file_that_takes_the_spool_name_after_the_claim_is_not_adopted() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let claimed = scratch.spooled(LARGE);
    let spool = scratch.layout().spool();
    fs::write(spool.join("other"), b"stolen secret").unwrap();
    fs::rename(spool.join("other"), spool.join(SPOOLED)).unwrap();
    // The claimed file has lost its name and cannot get a new one: a refusal is right too.
    assert!(journal.adopt(Some(&claimed), draft()).is_err());
    assert!(Scratch::names(&scratch.layout().bodies()).is_empty());
    assert!(pending(&journal).is_empty());
    for body in BODIES {
        let claimed = scratch.spooled(body);
        fs::rename(spool.join(SPOOLED), spool.join("elsewhere")).unwrap();
        fs::write(spool.join(SPOOLED), b"stolen secret").unwrap();
        let id = journal.adopt(Some(&claimed), draft()).unwrap().id();
        assert_eq!(content(&journal, id).unwrap(), body);
        if body == LARGE {
            let linked = fs::metadata(scratch.layout().body(id)).unwrap().ino();
            assert_eq!(linked, claimed.file().metadata().unwrap().ino());
        }
    }
}

#[test]
fn the_parts_of_a_form_share_one_body_as_long_as_one_of_them_is_here() {
    let mut scratch = Scratch::new();
    scratch.limits.settled_grace = Duration::ZERO;
    let journal = scratch.journal();
    let body = scratch.spooled(b"--b one --b two --b three --b-- and some more bytes");
    let window = |offset| Window { offset, length: 3 };
    let parts = [4, 12, 20].map(|offset| (window(offset), draft()));
    let adopted = journal.adopt_form(&body, parts.into()).unwrap();
    let [one, two, three] = [0, 1, 2].map(|position: usize| adopted[position].id());
    let inode = body.file().metadata().unwrap().ino();
    for (part, offset) in adopted.iter().zip([4, 12, 20]) {
        let linked = fs::metadata(scratch.layout().body(part.id())).unwrap();
        assert_eq!(linked.ino(), inode, "no byte is written again");
        let opened = journal.open_window(part.id()).unwrap().unwrap();
        let Opened::File(file, found) = opened else {
            panic!("it is linked");
        };
        assert_eq!(found, window(offset));
        let mut all = [0; 3];
        file.read_exact_at(&mut all, found.offset).unwrap();
    }
    journal.settle(&committed(one)).unwrap();
    assert_eq!(journal.evict_settled().unwrap(), 1);
    journal.delete(two).unwrap();
    drop(journal);
    scratch.cut_power();
    let journal = restart("two of three left", &scratch);
    assert_eq!(content(&journal, three).unwrap(), b"thr");
    assert_eq!([one, two].map(|id| content(&journal, id)), [None, None]);
    let names = Scratch::names(&scratch.layout().bodies());
    assert_eq!(names, [three.to_string()]);
}

#[test]
fn a_form_of_one_part_is_an_upload_with_a_window() {
    let scratch = Scratch::new();
    let journal = scratch.journal();
    let ids = scratch.try_adopt_form(&journal, &[SMALL]).unwrap();
    assert_eq!(pending(&journal), ids);
    assert_eq!(content(&journal, ids[0]).unwrap(), SMALL);
    drop(journal);
    scratch.cut_power();
    let journal = restart("a form of one", &scratch);
    assert_eq!(content(&journal, ids[0]).unwrap(), SMALL);
}
