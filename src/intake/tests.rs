//! Counts how many times the bytes of an upload are hashed before its promise.

mod poison;
mod salvage;
mod uploads;

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::key_claim::{KeyClaim, Keyed};
use super::*;
use crate::config::{ClusterConfig, Durability, JournalConfig};
use crate::file::Metadata;
use crate::journal::{Announcer, Claim, Disk, Fingerprint, LocalDisk, Subject};
use crate::peers::Peers;
use crate::spool::Received;
use crate::store::{self, NoMessages};
use crate::token::Grant;

const SMALL: &[u8] = b"small";
const LARGE: &[u8] = b"too large for the log";

/// The path of the only body that nginx spools.
const SPOOLED: &str = "0000000001";

/// Makes a node on a directory of its own.
fn intake(directory: &tempfile::TempDir) -> Intake {
    intake_on(directory, Box::new(LocalDisk))
}

/// Makes one whose journal changes the disk like this.
fn intake_on(directory: &tempfile::TempDir, disk: Box<dyn Disk>) -> Intake {
    const HOUR: Duration = Duration::from_hours(1);
    Journal::init(directory.path(), &LocalDisk).unwrap();
    let limits = JournalConfig {
        node: 1,
        durability: Durability::Disk,
        max_bytes: 100_000,
        max_entries: 20,
        min_free_bytes: 0,
        min_free_inodes: 0,
        log_body_bytes: 10,
        settled_grace: HOUR,
        settled_max_bytes: 1000,
        answer_lifetime: HOUR,
        max_answers: 100,
        spool_orphan: HOUR,
        upload_lifetime: HOUR,
        max_open_uploads: 100,
    };
    let announcer = Announcer::to_nobody();
    let opened = Journal::open(directory.path(), limits, disk, announcer);
    let journal = Arc::new(opened.unwrap().0);
    let spool = Spool::open(&journal.layout().spool()).unwrap();
    let access = AccessConfig {
        tokens: None,
        is_open: true,
        max_body_bytes: 1000,
        subject_uploads_per_minute: 0,
        subject_pending_bytes: 0,
    };
    let links = links(Arc::clone(&journal));
    Intake::new(journal, links, spool, &access, |_| {})
}

/// Makes the links of a node without peers and without a store.
fn links(journal: Arc<Journal>) -> Arc<Links> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let _entered = runtime.enter();
    let alone = ClusterConfig::default();
    let peers = Peers::new(1, &alone).unwrap();
    Arc::new(Links::new(journal, Arc::new(NoMessages), Arc::new(peers)))
}

fn digest_of(bytes: &[u8]) -> store::Sha256 {
    store::Sha256(Sha256::digest(bytes).into())
}

fn head(stated: Option<store::Sha256>, key: Option<&str>) -> Head {
    Head {
        spooled: Some(SpooledName {
            path: SPOOLED.into(),
            length: None,
        }),
        digests: StatedDigests {
            sha256: stated.iter().map(|digest| digest.0.to_vec()).collect(),
            ..StatedDigests::default()
        },
        metadata: Metadata::default(),
        key: key.map(str::to_owned),
        upload: None,
    }
}

#[test]
fn a_digest_that_an_upload_or_its_key_asked_for_goes_along_to_the_log() {
    let scratch = tempfile::tempdir().unwrap();
    let intake = intake(&scratch);
    for (is_stated, key) in [
        (false, None),
        (true, None),
        (false, Some("a")),
        (true, Some("a")),
    ] {
        let stated = is_stated.then(|| digest_of(SMALL));
        let upload = FileUpload {
            sender: Sender {
                grant: Grant::everything(),
                subject: "somebody".to_owned(),
            },
            head: head(stated, key),
            content_type: ClaimedType::default(),
            filename: None,
        };
        let checked = intake.check(&upload, Received::Inline(SMALL));
        let (draft, _) = checked.unwrap();
        assert_eq!(draft.stated, stated, "{key:?}");
        let is_known = is_stated || key.is_some();
        let known = is_known.then(|| digest_of(SMALL));
        assert_eq!(draft.sha256, known, "{is_stated} {key:?}");
    }
}

#[test]
fn a_body_that_goes_into_the_log_is_read_once() {
    let scratch = tempfile::tempdir().unwrap();
    let intake = intake(&scratch);
    let path = intake.spool.path().join(SPOOLED);
    for body in [SMALL, LARGE] {
        std::fs::write(&path, body).unwrap();
        let claimed = intake.claim(&head(None, None)).unwrap().unwrap();
        std::fs::write(&path, vec![0; body.len()]).unwrap();
        let mut read = vec![1; body.len()];
        Received::from(&claimed)
            .read_exact_at(&mut read, 0)
            .unwrap();
        assert_eq!(read == body, body == SMALL);
    }
}

#[test]
fn a_request_waits_a_moment_for_the_end_of_another_under_its_key() {
    let stage = uploads::Stage::new();
    let request = Fingerprint {
        key: digest_of(b"key"),
        content: digest_of(b"content"),
        sender: Subject::default(),
    };
    let held = stage.intake.journal.begin(request).unwrap();
    assert!(matches!(held, Claim::First(_)), "{held:?}");
    let claiming = stage.intake.claim_key(Some(Keyed::from(request)));
    let releasing = async { drop(held) };
    let both = async { futures::join!(claiming, releasing) };
    let (claimed, ()) = stage.runtime.block_on(both);
    assert!(matches!(claimed, Ok(KeyClaim::New(Some(_)))), "{claimed:?}");
}
