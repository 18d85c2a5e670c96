//! The steps that a commit of small files cannot do without, and nothing around them: no journal,
//! no queue, no pace, no other requests. A server that keeps gridspool's promise with this driver
//! needs at least this time.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use futures::future::try_join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocumentBuf, cstr, doc, rawdoc};
use mongodb::options::ReadConcern;

use crate::block::Body;
use crate::mongo::Mongo;
use crate::rivals::{self, Amount, Batching, Documents, timed};
use crate::stats::Sample;

/// Bodies of one chunk each, one behind the other in a file without a name, as in the journal's
/// log.
#[derive(Debug)]
pub(crate) struct Bodies {
    amount: Amount,
    file: Arc<File>,
}

impl Bodies {
    pub(crate) fn write(directory: &Path, amount: Amount) -> Self {
        let mut file = tempfile::tempfile_in(directory).expect("a file");
        for number in 0..amount.files {
            let body = Body::of(number, amount.bytes).to_vec();
            file.write_all(&body).expect("a body");
        }
        Self {
            amount,
            file: Arc::new(file),
        }
    }

    /// Commits group by group: it reads and hashes the bodies, inserts chunks and files documents,
    /// and reads both back.
    ///
    /// # Errors
    /// The error of the driver, in words.
    pub(crate) fn commit(&self, mongo: &Mongo, batching: Batching) -> Result<Sample, String> {
        let count = batching.batch_bytes / self.amount.bytes;
        let groups = (0..self.amount.files.div_ceil(count)).map(|group| {
            let begin = group * count;
            begin..self.amount.files.min(begin + count)
        });
        timed(mongo, self.amount, batching, async |chunks, files| {
            stream::iter(groups)
                .map(|group| self.commit_group(group, &chunks, &files))
                .buffer_unordered(batching.in_flight)
                .try_for_each(|()| async { Ok(()) })
                .await
        })
    }

    async fn commit_group(
        &self,
        numbers: Range<u64>,
        chunks: &Documents,
        files: &Documents,
    ) -> mongodb::error::Result<()> {
        let (file, bytes) = (Arc::clone(&self.file), self.amount.bytes);
        let made = tokio::task::spawn_blocking(move || {
            numbers
                .map(|number| documents(&file, number, bytes))
                .collect()
        });
        let made: Vec<_> = made.await.expect("documents");
        let ids: Vec<_> = made.iter().map(|(id, ..)| *id).collect();
        let new_chunks = made.iter().map(|(_, chunk, _)| chunk);
        chunks.insert_many(new_chunks).ordered(false).await?;
        let new_files = made.iter().map(|(.., file)| file);
        files.insert_many(new_files).ordered(false).await?;
        let batch = u32::try_from(ids.len() + 1).expect("few");
        let read = async |find: mongodb::action::Find<'_, RawDocumentBuf>| {
            let majority = find.read_concern(ReadConcern::majority());
            let found: Vec<_> = majority.batch_size(batch).await?.try_collect().await?;
            Ok::<_, mongodb::error::Error>(found.len())
        };
        let found = files.find(doc! { "_id": { "$in": &ids } });
        let listed = chunks.find(doc! { "files_id": { "$in": &ids } });
        let listed = listed.projection(doc! { "_id": 0, "files_id": 1 });
        let counts = try_join(read(found), read(listed)).await?;
        assert_eq!(counts, (ids.len(), ids.len()));
        Ok(())
    }
}

/// Reads and hashes a body; returns its id, its chunk and its files document.
fn documents(file: &File, number: u64, bytes: u64) -> (ObjectId, RawDocumentBuf, RawDocumentBuf) {
    let id = ObjectId::new();
    let mut body = vec![0; usize::try_from(bytes).expect("small")];
    file.read_exact_at(&mut body, number * bytes)
        .expect("a body");
    let sha256 = kit::sha256(&body);
    let chunk = rivals::chunk(id, 0, body);
    let mut file = rivals::file(id, bytes);
    file.append(cstr!("metadata"), rawdoc! { "sha256": sha256 });
    (id, chunk, file)
}
