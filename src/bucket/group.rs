//! Writes many small files at once, in as many steps as one file takes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, try_join};
use mongodb::Collection;
use mongodb::bson::RawDocumentBuf;

use super::earlier::Earlier;
use super::packages::Package;
use super::source::Source;
use super::{Bucket, belonging, document, error, ownerless};
use crate::file::FileId;
use crate::store::{Committed, Promised, Sent, StoreError};

/// A small file, with its body in memory.
struct Member {
    id: FileId,
    sent: Sent,
    /// Whether others may remove or have removed it: see step 8.
    may_be_gone: bool,
    /// Its document.
    file: RawDocumentBuf,
    chunks: Vec<RawDocumentBuf>,
}

impl Bucket {
    /// Commits small files side by side. A member leaves the group, to be committed alone, as soon as
    /// anything about it is unusual.
    ///
    /// 1. Members leave if an earlier attempt left anything of them in the bucket.
    /// 2. All bodies are read and hashed, in one go, within the budget of bytes. Members with an
    ///    unreadable body leave. Meanwhile it is checked that MongoDB is no standalone, and that the
    ///    unique index on chunks exists.
    /// 3. The group waits for its permit.
    /// 4. All chunks are inserted, unordered. A member leaves if its chunk exists already or is
    ///    refused.
    /// 5. Once all chunks have a majority, the documents of all files are inserted in the same way.
    /// 6. Documents and chunks are read back with read concern majority, and each file is proven.
    ///    Members without a proof leave. MongoDB is still no standalone.
    /// 7. Packages of messages enter the lists of their receivers.
    /// 8. Members that others have deleted meanwhile leave: see steps 7 and 8 of [`Bucket::put`].
    ///
    /// A cut at any step leaves, for each member, the same as a cut of [`Bucket::put`].
    ///
    /// # Errors
    /// As [`crate::store::Store::commit_group`].
    pub(super) async fn put_group(
        &self,
        group: Vec<Promised>,
        may_write: BoxFuture<'_, ()>,
    ) -> Result<Vec<Committed>, StoreError> {
        let begun = Instant::now();
        let group = self.without_traces(group).await?; // 1
        let bytes: u64 = group.iter().map(|promised| promised.meta.length).sum();
        let packages: Vec<_> = group.iter().filter_map(Package::of).collect();
        let permit = self
            .reserve(u32::try_from(bytes).unwrap_or(u32::MAX))
            .await?;
        let fit = async {
            self.require_fit_server().await?;
            self.ensure_indexes().await
        };
        let (members, ()) = try_join(self.read_all(group), fit).await?; // 2
        may_write.await; // 3
        let members = self.insert_all_chunks(members).await?; // 4
        drop(permit);
        let in_doubt = members.iter().filter(|member| member.may_be_gone);
        let mut in_doubt: Vec<_> = in_doubt.map(|member| member.id).collect();
        let sent = self.insert_all_files(members).await?; // 5
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        let mut committed = self.prove_all(&sent).await?; // 6
        let is_proven = |id| committed.iter().any(|committed| committed.id() == id);
        let packages = packages.into_iter();
        let packages: Vec<_> = packages.filter(|package| is_proven(package.id)).collect();
        self.enter_packages(&packages).await?; // 7
        if ownerless::is_long(begun) {
            in_doubt = sent.iter().map(|(id, _)| *id).collect();
        }
        if !in_doubt.is_empty() {
            let gone = self.tombstones(&in_doubt).await?; // 8
            committed.retain(|committed| !gone.contains(&committed.id()));
            self.leave_lists(&packages, |id| gone.contains(&id)).await?;
        }
        Ok(committed)
    }

    /// Leaves out members if an earlier attempt left anything of them.
    async fn without_traces(&self, mut group: Vec<Promised>) -> Result<Vec<Promised>, StoreError> {
        let tried = group.iter().filter(|promised| promised.is_retry);
        let tried: Vec<_> = tried.map(|tried| document::object_id(tried.id)).collect();
        if !tried.is_empty() {
            let (files, counts) = self.documents_and_counts(tried).await?;
            group.retain(|promised| {
                let id = document::object_id(promised.id);
                !files.contains_key(&id) && !counts.contains_key(&id)
            });
        }
        Ok(group)
    }

    /// Reads and hashes all bodies on the blocking pool.
    async fn read_all(&self, group: Vec<Promised>) -> Result<Vec<Member>, StoreError> {
        let chunk_size_bytes = self.chunk_size_bytes;
        let read = self.runtime.spawn_blocking(move || {
            let members = group.into_iter();
            members
                .filter_map(|promised| Member::read(promised, chunk_size_bytes).ok())
                .collect()
        });
        read.await
            .map_err(|lost| StoreError::Failed(format!("reading a body: {lost}")))
    }

    async fn insert_all_chunks(&self, mut members: Vec<Member>) -> Result<Vec<Member>, StoreError> {
        let mut owners = Vec::new();
        let mut documents = Vec::new();
        for (place, member) in members.iter_mut().enumerate() {
            owners.extend(std::iter::repeat_n(place, member.chunks.len()));
            documents.append(&mut member.chunks);
        }
        let failed = self.insert_all(&self.chunks(), documents).await?;
        let failed: HashSet<_> = failed
            .into_iter()
            .filter_map(|index| owners.get(index))
            .collect();
        let good = members.into_iter().enumerate();
        Ok(good
            .filter(|(place, _)| !failed.contains(place))
            .map(|(_, member)| member)
            .collect())
    }

    async fn insert_all_files(
        &self,
        members: Vec<Member>,
    ) -> Result<Vec<(FileId, Sent)>, StoreError> {
        let (sent, documents): (Vec<_>, Vec<_>) = members
            .into_iter()
            .map(|member| ((member.id, member.sent), member.file))
            .unzip();
        let failed = self.insert_all(&self.files(), documents).await?;
        let good = sent.into_iter().enumerate();
        Ok(good
            .filter(|(index, _)| !failed.contains(index))
            .map(|(_, sent)| sent)
            .collect())
    }

    /// Inserts documents; returns the places of those that MongoDB did not take.
    async fn insert_all(
        &self,
        collection: &Collection<RawDocumentBuf>,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<HashSet<usize>, StoreError> {
        if documents.is_empty() {
            return Ok(HashSet::new());
        }
        match self.insert(collection.name(), documents).await {
            Ok(()) => Ok(HashSet::new()),
            Err(err) => error::not_taken(&err).ok_or_else(|| error::of_commit(&err)),
        }
    }
}

impl Member {
    /// Reads and hashes a body, and makes its documents. Blocks.
    fn read(promised: Promised, chunk_size_bytes: u32) -> Result<Self, StoreError> {
        let Promised {
            id,
            meta,
            belonging,
            body,
            is_retry,
        } = promised;
        let nothing = Earlier::default();
        let mut source = Source::new(body, id, meta.length, chunk_size_bytes, nothing);
        let chunks = source
            .read(u32::MAX)
            .map_err(|err| StoreError::Body(Arc::new(err)))?;
        let sent = source.sent();
        Ok(Self {
            id,
            sent,
            may_be_gone: is_retry || belonging.message.is_some() || !belonging.links.is_empty(),
            file: document::file(
                id,
                &meta,
                &belonging::fields(&belonging)?,
                sent,
                chunk_size_bytes,
            )?,
            chunks: chunks.documents,
        })
    }
}
