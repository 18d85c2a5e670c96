//! The other nodes: who they are, what this node asks them, and how nodes prove who they are.
//!
//! Nodes share nothing but the store. A file that is not in the store yet is on the disk of one node,
//! and its id contains that node's number: no registry is needed. This room must never know where files
//! are.
//!
//! # The protocol
//! Node B gets a request for a file. The file's id contains the number of node A.
//!
//! Reading (`GET` and `HEAD` of a file or of its description; B passes conditions and ranges on, and A
//! evaluates them):
//! 1. B's sidecar checks the client's token. A never sees it.
//! 2. B looks into its journal and asks the store, unless the store is known to be down.
//! 3. If neither has the file, B sends its nginx to an internal location for A, with a *pass* in a
//!    header. The location has a fixed upstream, so nothing in the client's request chooses the target.
//!    B's nginx asks A's nginx, which asks A's sidecar, which checks the pass.
//! 4. A looks into its journal alone, and answers as it answers a client: its nginx sends the body, by
//!    sendfile or from its cache of slices. B's nginx passes the body on and keeps nothing of it.
//! 5. If A says 404, it does not have the file, which may have been committed since step 2. B asks the
//!    store again, and gives the store's answer.
//! 6. If A says 410, the file was deleted. B answers 404 without asking the store, where a commit that
//!    was cut may have left the file for a moment.
//! 7. If A does not answer or refuses the pass, B answers 503 with `Retry-After`: A may have the file.
//!
//! A message (its package and descriptors; the files of its parts are read as above):
//! 1. to 3. as above, but B's sidecar asks A's itself, because it needs the descriptors and the
//!    names of sender and receivers: they decide who may read it.
//! 4. A's answer is signed, with the id: a program at A's address that has no key cannot make B believe
//!    that a message names a file, or a receiver.
//! 5. to 7. as above.
//!
//! Linking a file to a message, and taking the link away:
//! 1. B's sidecar asks A's, before it asks the store, with a pass for this file and this message: if A has not
//!    settled the file, A's next attempt to commit it writes the links that A knows.
//! 2. A looks into its journal alone. Its answer is signed, as about a message.
//! 3. If A says that the file does not wait there, B asks the store.
//! 4. If A does not answer, the link may be there or not. B says 503, and takes the link away again as soon as
//!    A answers. A pass is worth nothing after a minute, so a question that comes later than that is refused.
//!
//! Deleting:
//! 1. B's sidecar checks the token, and then asks A's sidecar itself, with a pass, through A's nginx.
//!    It always asks A first: if A has not settled the file, A would write it to the store again.
//! 2. A deletes the file as for a client: from its journal, or else from the store.
//! 3. B forgets its own descriptions of the file after any answer of A, and gives that answer.
//! 4. If A does not answer, and has stated in the store that it has settled all files of this age, B deletes
//!    the file from the store ([`crate::linking`]). Otherwise B answers 503: the file may be gone or not, and
//!    the delete can be repeated.
//!
//! A message is deleted in the same way, and links are asked for as deletes are.
//!
//! Resuming an upload (`HEAD`, `PATCH` and `DELETE` of `/uploads/ID`, and `POST` that stands for one of
//! them):
//! 1. B's sidecar sees A's number in the id. It sends its nginx to a location for A, before the body is
//!    read: nginx asks about it (a refusal names the location), and a body that came with its head goes
//!    on in the same way as a read.
//! 2. B's nginx passes the request on as it is, with the client's token, and keeps nothing of its body. A
//!    mark says that B has sent it: A sends no such request on, so none goes round. B's sidecar states the
//!    client's address beside it, signed, as senders without a token's subject are told apart by that.
//! 3. A's nginx and sidecar do as for a client, and B's nginx gives A's answer.
//! 4. If A does not answer, B answers 503 with `Retry-After`, never 404.
//!
//! Putting partial uploads together (tus, `POST /uploads` with a list of them):
//! 1. B's sidecar sends the request on to the owner A of the first part, as one for an upload.
//! 2. A's sidecar asks the owner of each other part, piece by piece, with a pass for this part, this piece and
//!    the subject of the sender. The owner tells only parts of this subject.
//! 3. The answer is signed, with the digest of the bytes, as A promises a file by them.
//! 4. If an owner does not answer, A answers 503; a retry goes on behind the pieces that A has.
//!
//! Idempotency keys: see `keys.rs`.
//!
//! The list of nodes in the store (`fs.nodes`): each node writes its number, journal, instance, address and
//! load there every five seconds, and reads the whole every two.
//! 1. A number belongs to the journal that had it first, until an admin takes it out. A node whose number belongs
//!    to another journal does not start; nor does one whose files an admin has given up, or another node has taken
//!    over. If the store was away at its start, it takes no uploads from the moment at which it knows; a node that
//!    was given up is in the list then for as long as it has files.
//! 2. Addresses count if they are signed. The settings may name nodes, too, for times when the store is away; a
//!    node that has left the list is gone all the same.
//! 3. A node that is in the list and does not answer is a 503. A number that is not there is a 404 without a
//!    question, if the list was read within five seconds; else it is read again first, and 503 if it cannot be.
//! 4. A node that others find by the list alone takes its first upload seven seconds after it was registered, so no
//!    older list hides its files.
//! 5. Each node writes there the time of the last departure that it has read. A node may be switched off when all
//!    others know of its own: until then they ask it for ids that have no file.
//!
//! Introductions: every three seconds each node asks all others for their number and *instance* (a name
//! that each process makes anew); an introduction by a node that is not known yet has the list read at once.
//! So a node notices an address that leads to a wrong node, and another process with its own
//! number. A node that did not introduce itself twice in a row is *down*: it is not asked for anything else, and
//! whatever needs it is 503 at once. It is looked at again after a second, and as soon as it asks itself; the
//! first answer ends that.
//!
//! | data | kept by | for |
//! |---|---|---|
//! | description of a file in the store | each sidecar that was asked | 5 s; forgotten at once where a delete came in, or passed through |
//! | slices in the store | each nginx, which reaches them only through a description | any time |
//! | the absence of a file whose id is older than an hour | each sidecar that was asked | 5 s: no such file will be promised |
//! | any other absence; answers of another node | nobody | |
//!
//! A pass is `SECONDS-HMAC` in `X-Gridspool-Pass`: an HMAC-SHA-256 with a key that all nodes share,
//! over the purpose, A's number, the file's id and the time, which may differ by 60 seconds from A's
//! clock. A thief of a pass can repeat the same question to the same node for one more minute, and do
//! nothing else.

mod ask;
mod ballots;
mod client;
mod keys;
mod links;
mod lists;
mod messages;
mod parts;
mod pass;
mod registration;
mod sent_on;
mod state;
mod table;
#[cfg(test)]
mod testing;
mod twin;
mod watch;
mod witnesses;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, RwLock};
use std::time::Duration;

use awc::http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch as watch_channel};
use tokio::time::Instant;

use crate::config::{ClusterConfig, PeerConfig};
use crate::file::FileId;
use crate::store::Deleted;
use crate::token::KeysError;

use ask::{Headers, Peer, Question};
use client::Client;
use lists::Lists;
use pass::Seal;
use registration::Own;
use table::{List, Table};

pub use keys::{KeyQuestion, Majority, addresses as addresses_of_keys};
pub use links::NEVER_PROMISED;
pub use lists::Carrying;
pub use messages::Carried;
pub use parts::{PartPiece, PartQuestion, address as address_of_parts};
pub use pass::{BadPass, Purpose};
pub use registration::{Obstacle, OwnNode};
pub use state::PeerState;
pub use twin::Sighting;
pub use witnesses::Count;

/// The header of a pass.
pub const PASS: &str = "x-gridspool-pass";
/// The beginning of every address between nodes.
pub const HOP: &str = "/_gridspool/hop";

/// The bound on a delete, which may wait for the owner's MongoDB.
const DELETE_TIMEOUT: Duration = Duration::from_secs(15);

/// The bound on a question for a file: a reader waits as long for the owner.
const LOOK_TIMEOUT: Duration = Duration::from_secs(6);

/// All other nodes. Shared by reference.
#[derive(Debug)]
pub struct Peers {
    node: u16,
    instance: String,
    /// Where other nodes reach this one; `None` if the list of nodes does not tell.
    address: Option<String>,
    seeds: Vec<PeerConfig>,
    table: watch_channel::Sender<Table>,
    list: watch_channel::Sender<List>,
    lists: watch_channel::Sender<Lists>,
    /// Told when this node has something to tell the list.
    tells: Notify,
    /// Told when somebody wants a new reading of the list.
    wanted: Notify,
    /// The place of this node in the list.
    own: Mutex<Own>,
    seal: Seal,
    /// Has no thread until the first question.
    client: LazyLock<Client>,
    /// Another process with this node's number.
    twin: Mutex<Option<Sighting>>,
    /// The nodes that others answer for.
    taken_over: RwLock<BTreeMap<u16, u16>>,
}

/// The owner's answer about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The owner has the file, and the conditions hold.
    There,
    /// The owner has the file, and the conditions do not hold.
    Otherwise,
    /// The owner does not have the file; the store may have it.
    Absent,
    /// It was deleted.
    Deleted,
}

/// A node's statement about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Its number.
    pub node: u16,
    /// The name of its process: no two are the same.
    pub instance: String,
}

/// The owner of a file gave no usable answer. The text is for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("node {node}: {reason}")]
pub struct Unreachable {
    /// Its number.
    pub node: u16,
    /// The cause.
    pub reason: String,
    /// When the watch looks at the node again, if the node is known to be down.
    again: Option<Instant>,
}

impl Unreachable {
    /// A node that gave no usable answer to a question.
    pub fn new(node: u16, reason: impl Into<String>) -> Self {
        Self {
            node,
            reason: reason.into(),
            again: None,
        }
    }

    /// The time until the watch looks at the node again, if the node is known to be down.
    pub fn pause(&self) -> Option<Duration> {
        self.again.map(|again| again.duration_since(Instant::now()))
    }
}

impl Peers {
    /// The peers of the settings.
    ///
    /// # Errors
    /// [`KeysError`] if the file of shared keys cannot be used.
    pub fn new(node: u16, config: &ClusterConfig) -> Result<Self, KeysError> {
        let key = config.key.as_deref();
        let seeds = config.peers.iter().cloned();
        let table: Table = seeds
            .map(|seed| (seed.node, Arc::new(Peer::new(seed))))
            .collect();
        let mut present: Vec<_> = table.keys().copied().chain([node]).collect();
        present.sort_unstable();
        Ok(Self {
            node,
            instance: watch::new_instance(),
            address: config.advertise.clone(),
            seeds: config.peers.clone(),
            table: watch_channel::Sender::new(table),
            lists: watch_channel::Sender::new(Lists::new(present)),
            tells: Notify::new(),
            list: watch_channel::Sender::default(),
            wanted: Notify::new(),
            own: Mutex::default(),
            seal: key.map(Seal::read).transpose()?.unwrap_or_default(),
            client: LazyLock::new(Client::start),
            twin: Mutex::default(),
            taken_over: RwLock::default(),
        })
    }

    /// A pass for a file at the node that owns it.
    pub fn pass(&self, purpose: Purpose, owner: u16, id: FileId) -> String {
        self.seal.sign(purpose, owner, &id.to_string())
    }

    /// Checks that a pass allows its bearer this purpose on a file of this node.
    ///
    /// # Errors
    /// [`BadPass`] if it does not.
    pub fn check(&self, pass: &str, purpose: Purpose, id: FileId) -> Result<(), BadPass> {
        self.seal.check(pass, purpose, self.node, &id.to_string())
    }

    /// This node's statement about itself, for a caller with a pass for it. A caller that did not
    /// answer the last look is looked at again without delay.
    ///
    /// # Errors
    /// [`BadPass`] for any other caller.
    pub fn introduce(&self, pass: &str, from: Option<u16>) -> Result<Introduction, BadPass> {
        self.seal.check(pass, Purpose::Introduce, ANY_NODE, "")?;
        match from.map(|node| self.peer(node)) {
            Some(Some(peer)) => peer.hear(),
            // A node that is new.
            Some(None) => self.wanted.notify_one(),
            None => {}
        }
        Ok(Introduction {
            node: self.node,
            instance: self.instance.clone(),
        })
    }

    /// Lets the owner delete a file. Dropping the future does not stop it once the owner was asked.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have done it or not.
    pub async fn delete(&self, owner: u16, id: FileId) -> Result<Deleted, Unreachable> {
        let path = format!("/files/{id}");
        self.ask_to_delete(Purpose::Delete, &path, owner, id).await
    }

    /// Lets the owner of its package delete a message, as [`Peers::delete`] does a file.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have done it or not.
    pub async fn delete_message(&self, owner: u16, id: FileId) -> Result<Deleted, Unreachable> {
        let path = format!("/messages/{id}");
        self.ask_to_delete(Purpose::DeleteMessage, &path, owner, id)
            .await
    }

    async fn ask_to_delete(
        &self,
        purpose: Purpose,
        path: &str,
        owner: u16,
        id: FileId,
    ) -> Result<Deleted, Unreachable> {
        let pass = self.pass(purpose, owner, id);
        let question = Question {
            method: Method::DELETE,
            path,
            headers: vec![(PASS.to_owned(), pass.into_bytes())],
            timeout: DELETE_TIMEOUT,
            longest: LONGEST_ANSWER,
        };
        let (status, _) = self.ask(owner, question).await?;
        match status {
            204 => Ok(Deleted::Gone),
            404 => Ok(Deleted::Absent),
            409 => Ok(Deleted::Linked),
            _ => Err(Unreachable::new(
                owner,
                format!("answers a delete with {status}"),
            )),
        }
    }

    /// Asks the owner whether it has a file, under the conditions of a client.
    ///
    /// # Errors
    /// [`Unreachable`]; the owner may have it or not.
    pub async fn ask_for_file(
        &self,
        owner: u16,
        id: FileId,
        mut conditions: Headers,
    ) -> Result<Outlook, Unreachable> {
        let pass = self.pass(Purpose::Read, owner, id);
        conditions.push((PASS.to_owned(), pass.into_bytes()));
        let path = format!("/files/{id}");
        let question = Question {
            method: Method::HEAD,
            path: &path,
            headers: conditions,
            timeout: LOOK_TIMEOUT,
            longest: LONGEST_ANSWER,
        };
        let (status, _) = self.ask(owner, question).await?;
        match status {
            200 => Ok(Outlook::There),
            304 | 412 => Ok(Outlook::Otherwise),
            404 => Ok(Outlook::Absent),
            410 => Ok(Outlook::Deleted),
            _ => Err(Unreachable::new(
                owner,
                format!("answers a look with {status}"),
            )),
        }
    }
}

/// The node number in a pass for an introduction: before the answer it is unknown which node is there.
const ANY_NODE: u16 = 0;

/// The longest body of an answer, in bytes.
const LONGEST_ANSWER: usize = 4096;
