//! Gathers the parts of a file that other nodes have, before they are put together.
//!
//! A client sends parts of a file side by side (tus, Concatenation), and a balancer spreads them over nodes. The
//! node of the first part puts them together:
//! 1. The key of the request is claimed, if it has one.
//! 2. The owner of each part tells its length. The length of the whole is checked. A request without a key claims
//!    one that is made of its statements, as it may come again while it is carried out, or after a lost answer.
//! 3. For each part of another node a *copy* is opened: a partial upload of this node, under a key that is made
//!    of the part and its sender. Room is reserved for all of it.
//! 4. The bytes of each part are fetched piece by piece, and appended to its copy: one piece is durable before
//!    the next one is asked for.
//! 5. The parts of this node and the copies are put together
//!    ([`Journal::concatenate`](crate::journal::Journal::concatenate)): this is the promise.
//! 6. The copies end. The parts stay until they expire, here and at their owners.
//!
//! | cut after | leaves | the same request again |
//! |---|---|---|
//! | 1, 2 | nothing | begins anew |
//! | 3, 4 | copies with some of their bytes | finds them by their keys, and goes on behind these bytes |
//! | 5 | the file, and perhaps the copies | gets the file |
//!
//! Copies that nobody comes back for expire as any upload does. They end at once if the request is refused,
//! unless only an owner does not answer.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256 as Hasher};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::fingerprint;
use super::in_order::Turn;
use super::key_claim::Keyed;
use super::salvage::piece;
use super::{Intake, IntakeError, Sender};
use crate::file::{FileId, Sha256};
use crate::journal::{Adopted, Draft, Ends, Running, Standing, UploadError};
use crate::peers::{PartPiece, PartQuestion, Peers};
use crate::spool::Received;

/// The bytes of a piece. Memory holds one for each file that is gathered, and each question that is answered.
pub(super) const PIECE_BYTES: u64 = 2 * 1024 * 1024;

/// The files that are gathered at the same time, and the pieces that are read for other nodes.
const AT_ONCE: usize = 2;

/// A file waits this long for its turn to be gathered.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bound on both sides of gathering.
#[derive(Debug)]
pub(super) struct Places {
    gathered: Arc<Semaphore>,
    told: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let [gathered, told] = [(); 2].map(|()| Arc::new(Semaphore::new(AT_ONCE)));
        Self { gathered, told }
    }
}

/// The parts of a file, all of them on this node. While this lives no other request gathers or ends them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// In the order of the file.
    pub(super) parts: Vec<FileId>,
    /// By the parts that they are of.
    pub(super) copies: BTreeMap<FileId, FileId>,
    turns: Vec<Turn>,
    running: Option<Running>,
    place: Option<OwnedSemaphorePermit>,
}

impl Gathered {
    /// The refusal of the parts that were put together: nobody knows the ids of copies.
    pub(super) fn refusal(&self, err: IntakeError) -> IntakeError {
        let IntakeError::Upload(UploadError::Part(id)) = err else {
            return err;
        };
        let found = self.copies.iter().find(|(_, copy)| **copy == id);
        UploadError::Part(found.map_or(id, |(part, _)| *part)).into()
    }
}

impl Intake {
    /// Steps 2 to 4. Breaks with the file of an earlier request that was the same.
    pub(super) async fn gather(
        self: &Arc<Self>,
        sender: &Sender,
        draft: &mut Draft,
        parts: &[FileId],
    ) -> Result<ControlFlow<Adopted, Gathered>, IntakeError> {
        let mut gathered = Gathered {
            parts: parts.to_vec(),
            ..Gathered::default()
        };
        let Some(cluster) = &self.cluster else {
            return Ok(Continue(gathered));
        };
        let owners = owners_of(&cluster.peers, parts).await?;
        if owners.is_empty() {
            return Ok(Continue(gathered));
        }
        let place = Arc::clone(&self.gathering.gathered).acquire_owned();
        let place = timeout(PATIENCE, place).await;
        let place = place.map_err(|_| UploadError::Busy)?;
        gathered.place = Some(place.map_err(|_| UploadError::Busy)?);
        // All requests take them in one order.
        for &part in owners.keys() {
            gathered.turns.push(self.in_order.wait(part).await?);
        }
        let (lengths, whole) = self.lengths_of(sender, parts, &owners).await?;
        if draft.request.is_none() {
            let request = fingerprint::of_gathered(sender, draft, parts);
            match self
                .claim_key(Some(Keyed::of_node(request)))
                .await?
                .of_files()?
            {
                Continue(running) => {
                    gathered.running = running;
                    draft.request = Some(request);
                }
                Break(files) => {
                    let is_there = |file: &Adopted| file.standing() != Standing::Deleted;
                    if let Some(file) = files.into_iter().find(is_there) {
                        return Ok(Break(file));
                    }
                }
            }
        }
        self.check_length(sender, whole)?;
        self.check_quota(sender, whole)?;
        self.journal.check_room(self.room().await?, whole)?; // 2
        match self
            .fetch_all(sender, &owners, &lengths, &mut gathered)
            .await
        {
            Ok(()) => {}
            // A retry needs them.
            Err(err @ IntakeError::Owner(_)) => return Err(err),
            Err(err) => {
                let intake = Arc::clone(self);
                spawn_blocking(move || intake.end_copies(gathered.copies.values())).await?;
                return Err(err);
            }
        }
        for part in &mut gathered.parts {
            *part = gathered.copies.get(part).copied().unwrap_or(*part);
        }
        Ok(Continue(gathered))
    }

    /// Step 2. Returns the lengths of the parts of other nodes, and that of the whole.
    async fn lengths_of(
        self: &Arc<Self>,
        sender: &Sender,
        parts: &[FileId],
        owners: &BTreeMap<FileId, u16>,
    ) -> Result<(BTreeMap<FileId, u64>, u64), IntakeError> {
        let mut lengths = BTreeMap::new();
        let mut whole = 0_u64;
        for &part in parts {
            let length = match (owners.get(&part), lengths.get(&part)) {
                (_, Some(&known)) => known,
                (Some(&owner), None) => {
                    let length = self.fetch(sender, owner, part, 0, 0).await?.length;
                    lengths.insert(part, length);
                    length
                }
                (None, None) => {
                    let (intake, sender) = (Arc::clone(self), sender.clone());
                    spawn_blocking(move || intake.length_of_part(&sender, part)).await??
                }
            };
            whole = whole.saturating_add(length);
        }
        Ok((lengths, whole))
    }

    /// Steps 3 and 4.
    async fn fetch_all(
        self: &Arc<Self>,
        sender: &Sender,
        owners: &BTreeMap<FileId, u16>,
        lengths: &BTreeMap<FileId, u64>,
        gathered: &mut Gathered,
    ) -> Result<(), IntakeError> {
        let mut begun = Vec::with_capacity(lengths.len());
        for (&part, &length) in lengths {
            let (copy, offset) = self.open_copy(sender, part, length).await?;
            gathered.copies.insert(part, copy);
            begun.push((part, copy, offset..length));
        } // 3
        for (part, copy, mut missing) in begun {
            let owner = owners.get(&part).copied().ok_or(UploadError::Part(part))?;
            while !missing.is_empty() {
                let most = PIECE_BYTES.min(missing.end - missing.start);
                let offset = missing.start;
                let fetched = self.fetch(sender, owner, part, offset, most).await?;
                if fetched.length != missing.end {
                    return Err(UploadError::Part(part).into());
                }
                let (intake, sender) = (Arc::clone(self), sender.clone());
                let grown = spawn_blocking(move || {
                    let bytes = Received::Inline(&fetched.bytes);
                    intake.grow(&sender, copy, &piece(offset, Ends::AtLength), bytes)
                });
                grown.await??;
                missing.start += most;
            }
        } // 4
        Ok(())
    }

    async fn fetch(
        &self,
        sender: &Sender,
        owner: u16,
        part: FileId,
        offset: u64,
        most: u64,
    ) -> Result<PartPiece, IntakeError> {
        let cluster = self.cluster.as_ref().ok_or(UploadError::Part(part))?;
        let asked = PartQuestion {
            part,
            of: subject_of(sender.grant.subject()),
            offset,
            most,
        };
        let told = cluster.peers.ask_for_part(owner, &asked).await?;
        Ok(told.ok_or(UploadError::Part(part))?)
    }

    /// Tells another node a piece of a complete partial upload; `None` if there is none of this subject.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub async fn tell_of_part(
        self: &Arc<Self>,
        asked: PartQuestion,
    ) -> Result<Option<PartPiece>, IntakeError> {
        let place = Arc::clone(&self.gathering.told).acquire_owned().await;
        let intake = Arc::clone(self);
        spawn_blocking(move || {
            let _place = place;
            intake.read_part(&asked)
        })
        .await?
    }
}

/// The owners of the parts that other nodes have.
async fn owners_of(peers: &Peers, parts: &[FileId]) -> Result<BTreeMap<FileId, u16>, IntakeError> {
    let mut of_nodes = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for &part in parts {
        let owner = match of_nodes.get(&part.node()) {
            Some(&known) => known,
            None => peers.find_owner(part).await?,
        };
        of_nodes.insert(part.node(), owner);
        owners.extend(owner.map(|owner| (part, owner)));
    }
    Ok(owners)
}

/// The digest of a subject, or of none, as one node tells it to another.
pub(super) fn subject_of(sub: Option<&str>) -> Sha256 {
    let hasher = Hasher::new().chain_update([u8::from(sub.is_some())]);
    Sha256(
        hasher
            .chain_update(sub.unwrap_or_default())
            .finalize()
            .into(),
    )
}
