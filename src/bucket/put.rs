//! Writes a promised file, so that a repetition does no harm.

use std::sync::Arc;
use std::time::Instant;

use mongodb::bson::RawDocumentBuf;

use super::earlier::Earlier;
use super::evidence::Sizes;
use super::packages::Package;
use super::source::Source;
use super::{Bucket, belonging, document, error, ownerless};
use crate::file::FileId;
use crate::store::{Committed, Progress, Promised, StoreError};

impl Bucket {
    /// Commits a file.
    ///
    /// 1. MongoDB must be no standalone, and the unique index on chunks must exist.
    /// 2. After an earlier attempt, the file's document and chunks may exist already: the numbers
    ///    of these chunks are listed.
    /// 3. The body is read and hashed from its beginning. Missing chunks are inserted on the way,
    ///    unordered, in batches, some batches side by side.
    /// 4. Each chunk that existed already is identified by its `_id`, as [`super::chunk_id`] tells,
    ///    or is compared byte by byte. If the file was whole before, the sizes suffice.
    /// 5. The file's document is inserted once every chunk has a majority. Step 6 judges a document
    ///    that exists already.
    /// 6. Document and chunks are read back with read concern majority, and compared with the sent
    ///    bytes: this is the proof. MongoDB must still be no standalone.
    /// 7. The package of a message enters the lists of its receivers: [`Bucket::enter_packages`].
    /// 8. A document of an earlier attempt gets the links that the file has by now. A file of
    ///    messages may have lost its last link after an earlier attempt, and any file may have been
    ///    deleted without this node. It may have been removed before this attempt brought it back:
    ///    [`Bucket::look_behind`].
    ///
    /// A cut at any step leaves chunks that no reader sees, or the whole file. Nothing else is
    /// deleted, and the next attempt goes on with the chunks that exist.
    ///
    /// # Errors
    /// As [`crate::store::Store::commit`].
    pub(super) async fn put(
        &self,
        promised: Promised,
        progress: &Progress,
    ) -> Result<Committed, StoreError> {
        self.require_fit_server().await?; // 1
        self.ensure_indexes().await?;
        let id = promised.id;
        let earlier = if promised.is_retry {
            self.earlier(id).await? // 2
        } else {
            Earlier::default()
        };
        let chunks_before = earlier.numbers.count();
        let begun = Instant::now();
        let done = self.put_rest(promised, earlier, progress, begun).await;
        if let Err(StoreError::TimedOut(_) | StoreError::Failed(_)) = done
            && !progress.is_made()
            && self.count(id).await.is_some_and(|now| now > chunks_before)
        {
            // A batch that failed may have inserted some of its chunks.
            progress.note();
        }
        done
    }

    async fn put_rest(
        &self,
        promised: Promised,
        earlier: Earlier,
        progress: &Progress,
        begun: Instant,
    ) -> Result<Committed, StoreError> {
        let package = Package::of(&promised);
        let is_retry = promised.is_retry;
        let Promised {
            id,
            meta,
            belonging,
            body,
            ..
        } = promised;
        let file = earlier.file;
        if file.is_some_and(|file| file.length != meta.length) {
            return Err(StoreError::Refused(format!(
                "{id} is there as another file"
            )));
        }
        let fields = belonging::fields(&belonging)?;
        let is_of_message = belonging.message.is_some() || !belonging.links.is_empty();
        let source = Source::new(body, id, meta.length, self.chunk_size_bytes, earlier);
        let chunk_size_bytes = source.chunk_size_bytes();
        let chunks = meta.length.div_ceil(chunk_size_bytes.into());
        let is_whole = file.is_some_and(|file| file.chunks == chunks);
        let (source, there) = self.send(source, progress).await?; // 3
        let sent = source.sent();
        let unknown = self.without_known(&there).await?; // 4
        let sizes = if is_whole && !unknown.is_empty() {
            Sizes::Summed
        } else {
            self.compare_chunks(source, id, unknown).await?;
            Sizes::Known
        };
        if file.is_none() {
            let file = document::file(id, &meta, &fields, sent, chunk_size_bytes)?;
            self.insert_file(file).await?; // 5
        }
        let committed = self.prove(id, sent, sizes).await?; // 6
        let entered = self.enter_packages(package.as_slice()).await; // 7
        if let Err(StoreError::TimedOut(_)) = entered {
            // A slow majority is no fault of the message, which the bucket has.
            progress.note();
        }
        entered?;
        if is_retry {
            self.renew_links(id, &belonging).await?;
        }
        if is_of_message || is_retry || ownerless::is_long(begun) {
            let behind = self.look_behind(id).await; // 8
            if let Err(StoreError::Gone(_)) = behind {
                self.leave_lists(package.as_slice(), |_| true).await?;
            }
            behind?;
        }
        Ok(committed)
    }

    /// Checks that chunks which existed already are those that this attempt would write.
    async fn compare_chunks(
        &self,
        mut source: Source,
        id: FileId,
        numbers: Vec<i32>,
    ) -> Result<(), StoreError> {
        let files_id = document::object_id(id);
        for n in numbers {
            let ours;
            (source, ours) = self.read_again(source, n).await?;
            let stored = self.chunk(files_id, n).await;
            let stored = stored.map_err(|err| error::of_commit(&err))?;
            match stored.as_ref().map(|stored| stored.get_binary("data")) {
                None => {
                    return Err(StoreError::Unavailable(format!(
                        "chunk {n} of {files_id} has no majority yet"
                    )));
                }
                Some(Ok(stored)) if stored.bytes == ours => {}
                Some(_) => {
                    return Err(StoreError::Refused(format!(
                        "chunk {n} of {files_id} is there with other bytes"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn read_again(&self, source: Source, n: i32) -> Result<(Source, Vec<u8>), StoreError> {
        let read = self.runtime.spawn_blocking(move || {
            let bytes = source.read_again(n)?;
            Ok((source, bytes))
        });
        read.await
            .map_err(|lost| StoreError::Failed(format!("reading the body: {lost}")))?
            .map_err(|err| StoreError::Body(Arc::new(err)))
    }

    async fn insert_file(&self, file: RawDocumentBuf) -> Result<(), StoreError> {
        match self.insert(self.files().name(), vec![file]).await {
            Err(err) if error::duplicates(&err).is_none() => Err(error::of_commit(&err)),
            _ => Ok(()),
        }
    }
}
