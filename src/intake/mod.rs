//! Takes uploads in, by rules that all upload protocols share.
//!
//! A protocol reads its own grammar, names the sender and the statements ([`Sender`], [`Head`]), and
//! calls this room. It reports the outcome in its own words. This room must never know HTTP, nor any
//! protocol.
//!
//! The life of an upload in this room:
//! 1. Before the body comes, the upload is counted ([`Intake::count`]). Its length, its quota and the
//!    room on the disk are checked ([`Intake::check_room`]); some room is kept for bodies on their way.
//! 2. The body is there: spooled, or small and inline. The digests that the sender stated are checked.
//!    Each file is hashed only once: fingerprint and log use the same digest.
//! 3. The type is decided, and the quota reserved. If the upload has a key, its fingerprint is made.
//! 4. A request that was carried out before, at any node, gets the first answer. Any other is adopted: this
//!    is the promise.
//! 5. The rooms that are asked for new files get each promise. (The journal itself announces the
//!    work of the committer.)
//!
//! An upload may also come in several bodies ([`Intake::open_upload`], [`Intake::append`]). Then its
//! length, type and quota are those of the whole. Each body is checked before it comes and when it is
//! there, and only the last one makes a promise of a file.

mod append;
mod body;
mod carry;
mod concatenate;
mod copies;
mod digest;
mod error;
mod file;
mod file_type;
mod fingerprint;
mod form;
mod gather;
mod in_order;
mod inherit;
mod key;
mod key_claim;
mod key_words;
mod made;
mod message;
mod on_the_way;
mod quota;
mod references;
mod room;
mod salvage;
mod sender;
mod soon;
#[cfg(test)]
mod tests;
mod under_key;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::config::{AccessConfig, WhenUnsure};
use crate::journal::{Adopted, Free, Journal, record_bytes};
use crate::linking::Links;
use crate::message::{Party, Receivers};
use crate::peers::Peers;
use crate::spool::Spool;
use crate::store::Witness;

pub use append::{Append, AppendBody};
pub use body::UploadBody;
pub use digest::StatedDigests;
pub use error::IntakeError;
pub use file::{FileUpload, Head, SpooledName};
pub use file_type::ClaimedType;
pub use fingerprint::Shape;
pub use form::{FilePart, FormContent, FormUpload, TakenForm};
pub use message::{MessageContent, MessageUpload, TakenMessage};
pub use quota::Quotas;
pub use sender::Sender;
pub use under_key::FoundByKey;
pub use upload::{CurrentUpload, NewUpload};

use form::FormPlaces;
use in_order::InOrder;
use key::Cluster;
use on_the_way::OnTheWay;
use quota::Reservation;

/// The rules for uploads of a node. Shared by reference.
pub struct Intake {
    journal: Arc<Journal>,
    links: Arc<Links>,
    spool: Spool,
    max_body_bytes: u64,
    quotas: Quotas,
    on_the_way: OnTheWay,
    /// The free space of the disk, as of a moment ago.
    free: Mutex<Option<(Instant, Free)>>,
    places: FormPlaces,
    in_order: InOrder,
    gathering: gather::Places,
    tell: Box<dyn Fn(Promised<'_>) + Send + Sync>,
    receive: Receive,
    /// `None` if this node asks no others about keys.
    cluster: Option<Cluster>,
}

/// Counts a message to its receivers, unless one of them has a full list.
type Receive = Box<dyn Fn(&Receivers) -> Result<(), Party> + Send + Sync>;

/// A file that was just promised.
#[derive(Debug)]
pub struct Promised<'a> {
    /// The promise.
    pub adopted: &'a Adopted,
    /// Whether the file is the whole body that it came in.
    pub is_whole_body: bool,
    /// Its bytes, if they are in memory.
    pub content: Option<Bytes>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// Makes the intake of a node. `tell` is called for each promise, by the thread that has made
    /// it; it must not block.
    pub fn new(
        journal: Arc<Journal>,
        links: Arc<Links>,
        spool: Spool,
        config: &AccessConfig,
        tell: impl Fn(Promised<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            journal,
            links,
            spool,
            max_body_bytes: config.max_body_bytes,
            quotas: Quotas::new(config),
            on_the_way: OnTheWay::default(),
            free: Mutex::new(None),
            places: FormPlaces::default(),
            in_order: InOrder::default(),
            gathering: gather::Places::default(),
            tell: Box::new(tell),
            receive: Box::new(|_| Ok(())),
            cluster: None,
        }
    }

    /// Counts each message to its receivers with `receive`, and refuses it if one of them has a
    /// full list. `receive` must not block.
    #[must_use]
    pub fn with_receivers(
        mut self,
        receive: impl Fn(&Receivers) -> Result<(), Party> + Send + Sync + 'static,
    ) -> Self {
        self.receive = Box::new(receive);
        self
    }

    /// Lets idempotency keys hold for all nodes.
    #[must_use]
    pub fn with_cluster(
        mut self,
        peers: Arc<Peers>,
        when_unsure: WhenUnsure,
        third: Arc<dyn Witness>,
    ) -> Self {
        self.cluster = Some(Cluster {
            peers,
            when_unsure,
            third,
        });
        self
    }

    /// The quotas that senders have used up.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Step 5.
    fn enter(&self, room: &mut Reservation, promised: Vec<Promised<'_>>) {
        let count = promised.len();
        for (place, promised) in promised.into_iter().enumerate() {
            let meta = promised.adopted.meta();
            // Bytes between the parts of a form stay on the disk as long as the parts.
            let is_last = place + 1 == count;
            let own = meta.length + record_bytes(&meta.metadata);
            let bytes = if is_last { u64::MAX } else { own };
            room.keep(&self.journal, promised.adopted.id(), bytes);
            (self.tell)(promised);
        }
    }
}
