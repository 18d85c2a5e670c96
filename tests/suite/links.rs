//! Messages and the links of their parts, in a real bucket.

mod commit_again;
mod deletes;
mod patience;
mod undone;
mod unsettled;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::future::{join, join_all};
use gridspool::bucket::Bucket;
use gridspool::config::{BucketConfig, Config};
use gridspool::file::{FileId, FileName, MediaType, Metadata, Sha256, Window};
use gridspool::journal::{
    Adopted, Announcer, Draft, Journal, Layout, LocalDisk, MessageDraft, PartDraft, Subject,
};
use gridspool::message::links::{Linked, Reason, Removed, Unlinked};
use gridspool::message::{MOST_LINKS, Message, PartRequest, Party, Receivers};
use gridspool::spool::Spool;
use gridspool::store::{Cause, Messages as _, Store as _};
use kit::{CHUNK, Mongo, noise, object_id};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use patience::answered;
use sha2::Digest as _;

/// A journal and a bucket, without a sidecar between them.
struct Stage {
    mongo: Mongo,
    bucket: Bucket,
    journal: Arc<Journal>,
    scratch: tempfile::TempDir,
}

/// A committed message.
struct Sent {
    id: FileId,
    message: Arc<Message>,
}

const PACKAGE: &[u8] = br#"{"text":"two clips"}"#;

impl Stage {
    fn start() -> Self {
        let mongo = Mongo::start();
        let scratch = tempfile::tempdir().unwrap();
        let data_dir = scratch.path().to_str().unwrap();
        let uri = mongo.uri();
        let arguments = [
            "gridspool",
            "--insecure-no-auth",
            "--mongodb-uri",
            &uri,
            "--data-dir",
            data_dir,
        ];
        let arguments = arguments.map(OsString::from);
        let (_, config) = Config::load(arguments, |_| None, |_| Ok(())).unwrap();
        Journal::init(scratch.path(), &LocalDisk).unwrap();
        let (disk, announcer) = (Box::new(LocalDisk), Announcer::to_nobody());
        let opened = Journal::open(scratch.path(), config.journal.clone(), disk, announcer);
        let bucket = mongo.block_on(bucket(&config.bucket, scratch.path()));
        Self {
            bucket,
            journal: Arc::new(opened.unwrap().0),
            mongo,
            scratch,
        }
    }

    /// Promises a message with these parts, and commits package and parts.
    fn send(&self, parts: &[&[u8]]) -> Sent {
        let (message, files) = self.promise(parts);
        for file in &files {
            let committed = self.commit(*file).unwrap();
            self.journal.settle(&committed).unwrap();
        }
        Sent {
            id: files[0],
            message,
        }
    }

    /// Promises a message with these parts; returns its package, and then its parts.
    fn promise(&self, parts: &[&[u8]]) -> (Arc<Message>, Vec<FileId>) {
        let said = r#"[{"name":"clip","duration_ms":7,"waveform":[0,65535]}]"#;
        let requests = PartRequest::of_form(Some(said), vec![None; parts.len()]).unwrap();
        let mut offset = 0;
        let drafts = parts.iter().zip(requests).map(|(part, request)| {
            let length = u64::try_from(part.len()).unwrap();
            let window = Window { offset, length };
            offset += length;
            PartDraft {
                window,
                draft: draft("audio/ogg"),
                name: request.name,
                sha256: Sha256(sha2::Sha256::digest(part).into()),
                stated: request.stated,
            }
        });
        let draft = MessageDraft {
            package: Draft {
                sub: Some("alice's".into()),
                ..draft("application/json")
            },
            content: Bytes::from_static(PACKAGE),
            from: Party::try_from("alice".to_owned()).ok(),
            to: Receivers::read(["bob", "eve"]).unwrap(),
            client_id: None,
            parts: drafts.collect(),
            linked: Vec::new(),
            id: None,
        };
        let spool = Layout::new(self.scratch.path()).spool();
        fs::write(spool.join("0000000001"), parts.concat()).unwrap();
        let body = Spool::open(&spool)
            .unwrap()
            .claim(b"0000000001", None)
            .unwrap();
        let adopted = self.journal.adopt_message(Some(&body), draft).unwrap();
        fs::remove_file(spool.join("0000000001")).unwrap();
        let files = adopted.files.iter().map(Adopted::id).collect();
        (adopted.message, files)
    }

    fn link(&self, file: FileId, message: FileId) -> Linked {
        self.mongo
            .block_on(self.bucket.link(file, message))
            .unwrap()
    }

    fn unlink(&self, file: FileId, message: FileId) -> Unlinked {
        self.mongo
            .block_on(self.bucket.unlink(file, message, Reason::Deleted))
            .unwrap()
    }

    fn remove(&self, file: FileId) -> Removed {
        let removed = self.bucket.remove_dying(file, Cause::Unlinked);
        self.mongo.block_on(removed).unwrap()
    }

    fn document(&self, file: FileId) -> Option<Document> {
        let found = self.mongo.find("fs.files", doc! { "_id": mongo_id(file) });
        found.into_iter().next()
    }

    fn tombstone(&self, file: FileId) -> Option<Document> {
        let found = self.mongo.find("fs.gone", doc! { "_id": mongo_id(file) });
        found.into_iter().next()
    }

    fn chunks(&self, file: FileId) -> u64 {
        self.mongo
            .count(&self.mongo.chunks(), doc! { "files_id": mongo_id(file) })
    }
}

async fn bucket(config: &BucketConfig, directory: &Path) -> Bucket {
    Bucket::new(config, directory).await.unwrap()
}

fn draft(kind: &str) -> Draft {
    Draft {
        filename: FileName::from_claim("größe 1"),
        content_type: MediaType::parse(kind).unwrap(),
        metadata: Metadata::default(),
        request: None,
        subject: Subject::default(),
        sub: None,
        stated: None,
        sha256: None,
    }
}

fn mongo_id(id: FileId) -> ObjectId {
    object_id(&id.to_string())
}

/// Returns the id of a message that nobody sent.
fn other_message(number: u16) -> FileId {
    let [high, low] = number.to_be_bytes();
    FileId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, high, low])
}

#[test]
fn a_message_is_in_the_bucket_as_it_was_promised_and_its_parts_stay_as_long_as_a_link() {
    let stage = Stage::start();
    let clip = noise(1, 2 * CHUNK);
    let sent = stage.send(&[&clip, b"another"]);
    stage.assert_is_committed(&sent, &clip);
    stage.forward_and_delete(&sent);
    stage.link_once_too_often();
    stage.leave_others_alone();
    stage.commit_again();
    stage.link_unsettled();
    stage.undo_links();
    stage.race();
    stage.delete_linked();
    stage.delete_message();
}

impl Stage {
    /// Asserts that the package is committed, read by our reader and as any driver sees it.
    fn assert_is_committed(&self, sent: &Sent, clip: &[u8]) {
        let stage = self;
        let found = stage.message(sent.id).unwrap();
        assert_eq!(found.message, *sent.message);
        assert_eq!(found.package.content.as_deref(), Some(PACKAGE));
        let package = stage.document(sent.id).unwrap();
        assert_eq!(stage.mongo.whole(&package), PACKAGE);
        let metadata = package.get_document("metadata").unwrap();
        assert_eq!(
            metadata.get_object_id("message").unwrap(),
            mongo_id(sent.id)
        );
        assert_eq!(metadata.get_str("sub").unwrap(), "alice's");
        assert!(!metadata.contains_key("links"));
        for (part, bytes) in sent.message.parts.iter().zip([clip, b"another"]) {
            let file = stage.document(part.file).unwrap();
            assert!(stage.mongo.whole(&file) == bytes);
            let metadata = file.get_document("metadata").unwrap();
            let links = metadata.get_array("links").unwrap();
            assert_eq!(*links, vec![mongo_id(sent.id).into()]);
            assert!(stage.message(part.file).is_none());
            let key = gridspool::file::FileKey::Id(part.file);
            let stored = stage
                .mongo
                .block_on(stage.bucket.find(&key, false))
                .unwrap()
                .unwrap();
            let length = stored.meta.length;
            let read = stage
                .bucket
                .read(&stored, 0..length)
                .try_collect::<Vec<_>>();
            assert!(stage.mongo.block_on(read).unwrap().concat() == bytes);
        }
    }

    /// Deletes the first message, and then the last.
    fn forward_and_delete(&self, sent: &Sent) {
        let stage = self;
        let (file, other, third) = (
            sent.message.parts[0].file,
            other_message(1),
            other_message(2),
        );
        assert_eq!(stage.remove(file), Removed::Kept, "it has a link");
        for _ in 0..2 {
            assert_eq!(stage.link(file, other), Linked::Linked);
        }
        assert_eq!(stage.unlink(file, sent.id), Unlinked::Stays);
        assert_eq!(stage.unlink(file, sent.id), Unlinked::NotLinked);
        assert_eq!(stage.remove(file), Removed::Kept, "it has another link");
        for _ in 0..2 {
            assert_eq!(
                stage.unlink(file, other),
                Unlinked::Last,
                "a repeat goes on from there"
            );
        }
        assert_eq!(stage.link(file, third), Linked::Gone);
        assert_eq!(stage.chunks(file), 2);
        for _ in 0..2 {
            assert_eq!(stage.remove(file), Removed::Removed);
            assert_eq!((stage.document(file), stage.chunks(file)), (None, 0));
            let tombstone = stage.tombstone(file).unwrap();
            assert_eq!(tombstone.get_str("why").unwrap(), "unlinked");
            assert!(tombstone.get_datetime("at").is_ok());
            assert!(tombstone.get_bool("cleared").unwrap());
        }
        assert_eq!(stage.link(file, third), Linked::Absent);
        assert_eq!(stage.unlink(file, third), Unlinked::Absent);
        assert_eq!(stage.remove(third), Removed::Absent);

        // A removal that stopped after its document goes on: a tombstone tells of chunks.
        stage.mongo.insert_chunk(&file.to_string(), 0, b"left");
        assert_eq!(stage.remove(file), Removed::Removed);
        assert_eq!(stage.chunks(file), 0);

        // A tombstone that is found after a link takes the link back.
        let file = sent.message.parts[1].file;
        stage
            .mongo
            .insert("fs.gone", doc! { "_id": mongo_id(file), "cleared": false });
        assert_eq!(stage.link(file, third), Linked::Gone);
        assert_eq!(stage.links(file), 1);
    }

    fn links(&self, file: FileId) -> usize {
        let file = self.document(file).unwrap();
        let metadata = file.get_document("metadata").unwrap();
        metadata.get_array("links").unwrap().len()
    }

    fn link_once_too_often(&self) {
        let (stage, links) = (self, |file| self.links(file));
        let full = stage.send(&[b"forwarded a lot"]).message.parts[0].file;
        let many = 1..u16::try_from(MOST_LINKS).unwrap();
        let many: Vec<_> = many
            .map(|number| Bson::from(mongo_id(other_message(number))))
            .collect();
        let change = doc! { "$push": { "metadata.links": { "$each": many } } };
        let files = stage.mongo.files();
        let changed = async {
            files
                .update_one(doc! { "_id": mongo_id(full) }, change)
                .await
        };
        stage.mongo.block_on(changed).unwrap();
        assert_eq!(links(full), MOST_LINKS);
        assert_eq!(
            stage.link(full, other_message(7)),
            Linked::Linked,
            "it is there"
        );
        assert_eq!(stage.link(full, other_message(5000)), Linked::Full);
        assert_eq!(links(full), MOST_LINKS);
    }

    /// Files of other writers are neither marked nor removed, even if they have a tombstone.
    fn leave_others_alone(&self) {
        let (stage, third) = (self, other_message(2));
        let theirs = other_message(9);
        let metadata = doc! { "links": [], "dying": 1 };
        let file =
            doc! { "_id": mongo_id(theirs), "length": 5, "chunkSize": 10, "metadata": metadata };
        stage.mongo.insert("fs.files", file);
        stage.mongo.insert_chunk(&theirs.to_string(), 0, b"their");
        stage.mongo.insert(
            "fs.gone",
            doc! { "_id": mongo_id(theirs), "cleared": false },
        );
        let before = stage.document(theirs);
        assert_eq!(stage.link(theirs, third), Linked::Absent);
        assert_eq!(stage.unlink(theirs, third), Unlinked::NotLinked);
        assert_eq!(stage.remove(theirs), Removed::Kept);
        assert_eq!((stage.document(theirs), stage.chunks(theirs)), (before, 1));
    }

    /// Makes a last unlink and a new link at the same time, each begun twice.
    fn race(&self) {
        let (stage, other) = (self, other_message(1));
        let links = |file| self.links(file);
        let parts: Vec<_> = (0..60).map(|number: u8| [number; 40]).collect();
        let parts: Vec<_> = parts.iter().map(<[u8; 40]>::as_slice).collect();
        let (mut linked, mut gone) = (0, 0);
        let races = std::env::var("GRIDSPOOL_TEST_RACES");
        let races = races.map_or(180, |races| races.parse().unwrap());
        for _ in 0..usize::div_ceil(races, parts.len()) {
            let sent = stage.send(&parts);
            let bucket = &stage.bucket;
            let races = sent.message.parts.iter().map(|part| {
                let file = part.file;
                let take = async move || {
                    let unlinked =
                        answered(async || bucket.unlink(file, sent.id, Reason::Deleted).await)
                            .await;
                    if unlinked == Unlinked::Last {
                        answered(async || bucket.remove_dying(file, Cause::Unlinked).await).await;
                    }
                };
                let give = async move || answered(async || bucket.link(file, other).await).await;
                async move {
                    let takes = join(take(), take());
                    let gives = join(give(), give());
                    (file, join(takes, gives).await.1)
                }
            });
            for (file, told) in stage.mongo.block_on(join_all(races)) {
                // One of the two may have come too late: the other's link exists, or none does.
                if told.0 == Linked::Linked || told.1 == Linked::Linked {
                    assert_eq!(links(file), 1, "{told:?}");
                    assert_eq!(stage.chunks(file), 1, "{told:?}");
                    linked += 1;
                } else {
                    assert_eq!(
                        (stage.document(file), stage.chunks(file)),
                        (None, 0),
                        "{told:?}"
                    );
                    gone += 1;
                }
            }
        }
        assert!(
            linked > 0 && gone > 0,
            "{linked} linked, {gone} gone: no race at all"
        );
    }
}
