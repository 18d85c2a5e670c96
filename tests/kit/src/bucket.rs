//! Compares the contents of a bucket with the expected files.

use std::collections::BTreeMap;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use crate::ledger::Ledger;
use crate::mongo::Mongo;
use crate::sha256;

/// The size of chunks that sites write.
pub const CHUNK: usize = 255 * 1024;

impl Mongo {
    /// All documents of a collection that match, in the order of their keys.
    pub fn find(&self, collection: &str, filter: Document) -> Vec<Document> {
        let collection = self.database().collection::<Document>(collection);
        self.block_on(async {
            let mut found = Vec::new();
            let sort = doc! { "files_id": 1, "n": 1, "_id": 1 };
            let mut cursor = collection.find(filter).sort(sort).await.expect("a cursor");
            while cursor.advance().await.expect("a document") {
                found.push(cursor.deserialize_current().expect("a document"));
            }
            found
        })
    }

    pub fn insert(&self, collection: &str, document: Document) {
        let collection = self.database().collection::<Document>(collection);
        self.block_on(async { collection.insert_one(document).await })
            .expect("an insert");
    }

    /// A chunk's document, to be inserted by hand.
    pub fn insert_chunk(&self, files_id: &str, n: i32, bytes: &[u8]) {
        let data = Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        };
        self.insert(
            "fs.chunks",
            doc! { "files_id": object_id(files_id), "n": n, "data": data },
        );
    }

    /// The content of a file. Asserts that it has exactly its chunks, and the digest in its document.
    pub fn whole(&self, file: &Document) -> Vec<u8> {
        let id = file.get("_id").expect("an id");
        let chunks = self.find("fs.chunks", doc! { "files_id": id.clone() });
        let mut content = Vec::new();
        for (place, chunk) in chunks.iter().enumerate() {
            let n = chunk.get_i32("n").expect("a number");
            assert_eq!(usize::try_from(n), Ok(place), "{id}: a chunk's number");
            content.extend_from_slice(chunk.get_binary_generic("data").expect("bytes"));
        }
        assert_eq!(chunks.len(), content.len().div_ceil(CHUNK), "{id}: chunks");
        let length = file.get_i64("length").expect("a length");
        assert_eq!(usize::try_from(length), Ok(content.len()), "{id}: length");
        let stated = file.get_document("metadata").expect("metadata");
        let stated = stated.get_str("sha256").ok();
        assert_eq!(stated, Some(sha256(&content).as_str()), "{id}");
        content
    }

    /// Asserts that every promised file is there and whole, that each other file (an upload that
    /// lost its answer) is whole too, that each is there once, and that no chunk is without its
    /// file. Returns the number of files.
    pub fn assert_holds(&self, ledger: &Ledger) -> usize {
        let mut promised: BTreeMap<_, _> = ledger
            .promises()
            .into_iter()
            .map(|promise| (object_id(&promise.id), promise))
            .collect();
        let files = self.find("fs.files", doc! {});
        let mut chunks = 0;
        for file in &files {
            let content = self.whole(file);
            chunks += content.len().div_ceil(CHUNK);
            let id = file.get_object_id("_id").expect("one of our ids");
            if let Some(promise) = promised.remove(&id) {
                assert!(content == promise.content(), "{promise:?}");
            }
        }
        assert!(promised.is_empty(), "not in the bucket: {promised:?}");
        let all = self.count(&self.chunks(), doc! {});
        assert_eq!(
            u64::try_from(chunks),
            Ok(all),
            "chunks that belong to no file"
        );
        files.len()
    }

    /// Asserts that the promised files are there, whole and once, and no others.
    pub fn assert_holds_just(&self, ledger: &Ledger) {
        assert_eq!(self.assert_holds(ledger), ledger.len());
    }

    /// The index on chunks by file and number.
    pub fn is_chunk_index_unique(&self) -> bool {
        let listed = self.run(doc! { "listIndexes": "fs.chunks" });
        let cursor = listed.get_document("cursor").expect("a cursor");
        let indexes = cursor.get_array("firstBatch").expect("a batch");
        let key = doc! { "files_id": 1, "n": 1 };
        let index = indexes
            .iter()
            .filter_map(Bson::as_document)
            .find(|index| index.get_document("key").is_ok_and(|found| *found == key))
            .expect("the index on chunks");
        index.get_bool("unique").unwrap_or(false)
    }

    /// Makes the index on chunks as the driver makes it.
    pub fn make_plain_chunk_index(&self) {
        let index = doc! { "key": { "files_id": 1, "n": 1 }, "name": "files_id_1_n_1" };
        self.run(doc! { "createIndexes": "fs.chunks", "indexes": [index] });
    }

    /// Runs a command on the sites' database.
    pub fn run(&self, command: Document) -> Document {
        self.block_on(async { self.database().run_command(command).await })
            .expect("a command")
    }
}

/// An id of ours, as MongoDB has it.
pub fn object_id(id: &str) -> ObjectId {
    ObjectId::parse_str(id).expect("an id")
}
