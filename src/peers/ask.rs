//! Asks another node. Each node has a queue of its own, and a node that is known to be down is not asked: a
//! node that is slow or frozen delays no question to another one.
//!
//! A question:
//! 1. If the watch has found the node down, the caller is told so at once.
//! 2. It waits for one of the node's places, and then for the answer, until its deadline.
//! 3. If there is no answer for a moment, or none at all, the watch looks at the node without delay.
//! 4. If the watch finds the node down, all who wait for it are told so at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use awc::http::Method;
use bytes::Bytes;
use tokio::net::lookup_host;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ballots::Ballots;
use super::client::{Answer, Request, text};
use super::state::PeerState;
use super::{HOP, Peers, Unreachable};
use crate::config::PeerConfig;

/// The questions to one node at the same time. Others wait for a place; the connections of clients bound
/// their number.
const PLACES: usize = 16;

/// An answer that takes longer lets the watch look at the node.
const DOUBT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) config: PeerConfig,
    pub(super) state: watch::Sender<PeerState>,
    /// Told by questions that get no answer.
    pub(super) doubt: Notify,
    /// Told when it asks this node, though it did not answer the last look.
    pub(super) knock: Notify,
    pub(super) places: Arc<Semaphore>,
    pub(super) ballots: Arc<Ballots>,
    /// The node has left the table, or is at another address.
    pub(super) gone: CancellationToken,
}

/// Headers of a question: names and values. A value need not be ASCII.
pub(super) type Headers = Vec<(String, Vec<u8>)>;

/// A question to another node.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// The path below that address.
    pub(super) path: &'a str,
    pub(super) headers: Headers,
    /// The bound on waiting for a place and on the whole answer.
    pub(super) timeout: Duration,
    /// The longest body of the answer, in bytes.
    pub(super) longest: usize,
}

impl Peer {
    pub(super) fn new(config: PeerConfig) -> Self {
        let state = if config.url.is_empty() {
            PeerState::without_address()
        } else {
            PeerState {
                address: literal(&config.url),
                ..PeerState::default()
            }
        };
        Self {
            config,
            state: watch::Sender::new(state),
            doubt: Notify::new(),
            knock: Notify::new(),
            places: Arc::new(Semaphore::new(PLACES)),
            ballots: Arc::default(),
            gone: CancellationToken::new(),
        }
    }

    /// It has just asked this node.
    pub(super) fn hear(&self) {
        if self.state.borrow().error.is_some() {
            self.knock.notify_one();
        }
    }

    /// Looks the node's name up, unless its address is in digits.
    pub(super) async fn look_up(&self) {
        if literal(&self.config.url).is_some() {
            return;
        }
        match lookup_host(authority(&self.config.url)).await {
            // The first one, as nginx and the kernel's resolver order them.
            Ok(mut found) => self.state.send_modify(|state| {
                state.address = found.next().or(state.address);
            }),
            Err(err) => log::warn!("{}: its name is not known: {err}", self.config.url),
        }
    }

    fn request(&self, question: Question<'_>) -> Request {
        Request {
            method: question.method,
            url: format!("{}{HOP}{}", self.config.url, question.path),
            headers: question.headers,
            deadline: Instant::now() + question.timeout,
            longest: question.longest,
            place: None,
        }
    }

    /// Refuses to ask a node that is known to be down.
    fn check_up(&self) -> Result<(), Unreachable> {
        let state = self.state.borrow();
        if state.is_down() {
            Err(self.down(&state))
        } else {
            Ok(())
        }
    }

    fn down(&self, state: &PeerState) -> Unreachable {
        let error = state.error.as_deref().unwrap_or_default();
        Unreachable {
            node: self.config.node,
            reason: format!("is down: {error}"),
            again: state.again,
        }
    }
}

/// The host and the port of `http://HOST:PORT`.
fn authority(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}

fn literal(url: &str) -> Option<SocketAddr> {
    authority(url).parse().ok()
}

impl Peers {
    /// Refuses to ask a node that is known to be down, and to send a client on to it.
    ///
    /// # Errors
    /// [`Unreachable`], with the time until the watch looks at it again.
    pub fn check_up(&self, node: u16) -> Result<(), Unreachable> {
        self.peer(node).map_or(Ok(()), |peer| peer.check_up())
    }

    /// The address of another node, in digits: nginx asks no resolver.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Peers::check_up`], or if its name was not found yet.
    pub fn address(&self, node: u16) -> Result<SocketAddr, Unreachable> {
        let peer = self.peer(node);
        let peer = peer.ok_or_else(|| Unreachable::new(node, "is not among the peers"))?;
        peer.check_up()?;
        let address = peer.state.borrow().address;
        address.ok_or_else(|| Unreachable::new(node, "its name is not known yet"))
    }

    /// Asks another node. Returns the status and the text of its answer. Dropping the future takes the
    /// question back, unless it was sent and asks for a change.
    pub(super) async fn ask(
        &self,
        node: u16,
        question: Question<'_>,
    ) -> Result<(u16, String), Unreachable> {
        let answer = self.ask_for_bytes(node, question).await?;
        text(answer).map_err(|reason| Unreachable::new(node, reason))
    }

    /// Does the same if the answer need not be text.
    pub(super) async fn ask_for_bytes(
        &self,
        node: u16,
        question: Question<'_>,
    ) -> Result<(u16, Bytes), Unreachable> {
        let peer = self.peer(node);
        let peer = peer.ok_or_else(|| Unreachable::new(node, "is not among the peers"))?;
        peer.check_up()?;
        let mut state = peer.state.subscribe();
        let went_down = async {
            // This node keeps the other end of the channel.
            drop(state.wait_for(PeerState::is_down).await);
            peer.down(&peer.state.borrow())
        };
        let doubting = async {
            sleep(DOUBT).await;
            peer.doubt.notify_one();
            std::future::pending().await
        };
        let answered = tokio::select! {
            answered = self.ask_in_turn(&peer, question) => answered,
            down = went_down => return Err(down),
            never = doubting => never,
        };
        answered.map_err(|reason| {
            peer.doubt.notify_one();
            Unreachable::new(node, reason)
        })
    }

    async fn ask_in_turn(&self, peer: &Peer, question: Question<'_>) -> Answer<Bytes> {
        let mut request = peer.request(question);
        let place = Arc::clone(&peer.places).acquire_owned();
        let place = timeout_at(request.deadline, place).await;
        let place = place.map_err(|_| "too many wait for its answers".to_owned())?;
        request.place = Some(place.map_err(|err| err.to_string())?);
        self.client.ask(request).await
    }

    /// Asks without a place: nobody would find a node that is up if others had all of them.
    pub(super) async fn ask_besides(&self, peer: &Peer, question: Question<'_>) -> Answer {
        text(self.client.ask(peer.request(question)).await?)
    }
}
