//! The lists of receivers. They are put straight into MongoDB, in the form that committed messages
//! leave there.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::RawArrayBuf;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, RawDocumentBuf, Timestamp, cstr, doc, rawdoc};
use mongodb::{Collection, IndexModel};
use sha2::{Digest as _, Sha256};

use crate::mongo::{DATABASE, Mongo, RIVALS};
use crate::rivals::chunk;

/// The messages that wait for each receiver.
pub(crate) const MESSAGES_OF_EACH: u64 = 100;

/// The documents of one insert, and the number of inserts at a time.
const BATCH: usize = 2000;
const IN_FLIGHT: usize = 4;

const CHUNK: i32 = 255 * 1024;

/// The number of receivers, and of those among them that read their lists. The messages of the others
/// are entries alone, because nobody asks for their packages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inboxes {
    pub(crate) receivers: u64,
    pub(crate) read: u64,
}

/// Returns the name of a receiver.
pub(crate) fn name_of(receiver: u64) -> String {
    format!("receiver-{receiver}")
}

impl Inboxes {
    /// Fills the sidecar's database, which must be empty.
    pub(crate) fn fill(self, mongo: &Mongo) {
        let database = mongo.database(DATABASE);
        let parts = ["fs.inbox", "fs.files", "fs.chunks"].map(|name| database.collection(name));
        let now = DateTime::now().timestamp_millis() / 1000;
        let begin = u32::try_from(now - 100_000).expect("a time before 2106");
        let insert = self.insert(&parts, doc! { "r": 1, "ts": 1 }, |number, documents| {
            let [entries, files, chunks] = documents;
            let receiver = number % self.receivers;
            let id = ObjectId::new();
            let mut entry = entry(receiver, id, begin, number);
            if receiver < self.read {
                append_words(&mut entry, receiver, id);
                let (file, chunk) = package(receiver, id);
                files.push(file);
                chunks.push(chunk);
            }
            entries.push(entry);
        });
        mongo.runtime.block_on(insert).expect("lists of receivers");
    }

    /// Fills the database of the recipe likewise, as it would have written them: words in a document.
    pub(crate) fn fill_recipe(self, mongo: &Mongo) {
        let messages = [mongo.database(RIVALS).collection("messages")];
        let words = "w".repeat(2037);
        let insert = self.insert(
            &messages,
            doc! { "to": 1, "_id": 1 },
            |number, [documents]| {
                let receiver = number % self.receivers;
                let mut message = rawdoc! { "to": [name_of(receiver)] };
                if receiver < self.read {
                    message.append(cstr!("message"), rawdoc! { "text": &*words });
                }
                message.append(cstr!("parts"), RawArrayBuf::new());
                documents.push(message);
            },
        );
        let done = mongo.runtime.block_on(insert);
        done.expect("messages of the recipe");
    }

    /// Makes the index of the lists in the first collection, and inserts what `make` adds for each
    /// message. The messages of all receivers come in turns.
    async fn insert<const N: usize>(
        self,
        into: &[Collection<RawDocumentBuf>; N],
        index: Document,
        make: impl Fn(u64, &mut [Vec<RawDocumentBuf>; N]),
    ) -> mongodb::error::Result<()> {
        if let Some(lists) = into.first() {
            let index = IndexModel::builder().keys(index).build();
            lists.create_index(index).await?;
        }
        let make = &make;
        stream::iter(0..self.receivers * MESSAGES_OF_EACH)
            .chunks(BATCH)
            .map(Ok)
            .try_for_each_concurrent(IN_FLIGHT, async |numbers| {
                let mut documents = [const { Vec::new() }; N];
                for number in numbers {
                    make(number, &mut documents);
                }
                for (into, documents) in into.iter().zip(documents) {
                    if !documents.is_empty() {
                        into.insert_many(documents).ordered(false).await?;
                    }
                }
                Ok(())
            })
            .await
    }
}

fn entry(receiver: u64, id: ObjectId, begin: u32, number: u64) -> RawDocumentBuf {
    let digest = Sha256::digest(name_of(receiver));
    let binary = |bytes: Vec<u8>| Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    };
    let number = u32::try_from(number).expect("less than 2^32");
    let ts = Timestamp {
        time: begin + number / 1000,
        increment: number % 1000 + 1,
    };
    rawdoc! {
        "_id": binary([&digest[..12], &id.bytes()].concat()),
        "r": binary(digest[..12].to_vec()),
        "m": id, "b": 332_000_i64, "ts": ts,
    }
}

/// Appends the words of a message to an entry, as the sidecar writes them.
fn append_words(entry: &mut RawDocumentBuf, receiver: u64, id: ObjectId) {
    let head = format!("{{\"id\":\"{id}\",\"from\":\"alice\"");
    let to = format!("{head},\"to\":[\"{}\"]", name_of(receiver));
    let before = format!("{to},\"created\":\"2026-11-29T00:00:00Z\",\"state\":\"");
    let words = String::from_utf8(words()).expect("a text");
    let text = format!(
        "{before}\",\"content_type\":\"application/json\",\"message\":{words},\"parts\":[]}}"
    );
    let places = [&head, &to, &before].map(|text| i32::try_from(text.len()).expect("short"));
    entry.append(cstr!("w"), text);
    entry.append(cstr!("wp"), places.into_iter().collect::<RawArrayBuf>());
}

/// Makes the package of a message.
fn words() -> Vec<u8> {
    format!("{{\"text\":\"{}\"}}", "w".repeat(2037)).into_bytes()
}

/// Makes the package of a message without parts, as the sidecar writes it: its files document and
/// its chunk.
fn package(receiver: u64, id: ObjectId) -> (RawDocumentBuf, RawDocumentBuf) {
    let words = words();
    let length = i64::try_from(words.len()).expect("small");
    let sha256 = kit::sha256(&words);
    let uploaded = DateTime::now();
    let millis = uploaded.timestamp_millis();
    let seal = kit::sha256(format!("{id} {length} {CHUNK} {millis} {sha256}").as_bytes());
    let file = rawdoc! {
        "_id": id, "length": length, "chunkSize": CHUNK, "uploadDate": uploaded,
        "filename": id.to_hex(),
        "metadata": {
            "contentType": "application/json", "sha256": sha256, "gridspool": &seal[..16],
            "message": id, "from": "alice", "to": [name_of(receiver)], "parts": [],
        },
    };
    (file, chunk(id, 0, words))
}
