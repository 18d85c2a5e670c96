//! Watches which node answers at each address, and whether another process uses this node's number.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use awc::http::Method;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ask::{Peer, Question};
use super::state::{PeerState, SHORT_PAUSE};
use super::{ANY_NODE, Introduction, LONGEST_ANSWER, OwnNode, PASS, Peers, Purpose};
use crate::store::Registry;

/// The time that an introduction may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A name for this process. It begins with the host name, for people.
pub(super) fn new_instance() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    // The standard library seeds each hasher from the operating system's source of random numbers.
    format!("{host}-{:016x}", RandomState::new().hash_one(&host))
}

impl Peers {
    /// The number, the address and the state of each other node.
    pub fn states(&self) -> Vec<(u16, String, PeerState)> {
        let table = self.table.borrow().clone();
        let peers = table.values();
        peers
            .map(|peer| {
                let state = peer.state.borrow().clone();
                (peer.config.node, peer.config.url.clone(), state)
            })
            .collect()
    }

    /// Returns whether a node is known to be down. It is not asked then.
    pub fn is_down(&self, node: u16) -> bool {
        self.peer(node)
            .is_some_and(|peer| peer.state.borrow().is_down())
    }

    /// This node's number.
    pub fn number(&self) -> u16 {
        self.node
    }

    /// This process's name.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Asks all other nodes, and reads and writes the list of nodes, until it is told to stop.
    pub async fn watch(&self, registry: &dyn Registry, own: &dyn OwnNode, stop: CancellationToken) {
        let asking = self.ask_all();
        let reading = self.keep_reading(registry);
        let registering = self.keep_registered(registry, own);
        let watching = futures::future::join3(asking, reading, registering);
        if stop.run_until_cancelled(watching).await.is_none() {
            log::debug!("the other nodes are no longer watched");
        }
    }

    /// Looks at each node for as long as it is in the table.
    async fn ask_all(&self) {
        let mut table = self.table.subscribe();
        let mut watched: Vec<Arc<Peer>> = Vec::new();
        let mut looks = FuturesUnordered::new();
        loop {
            let peers: Vec<_> = table.borrow_and_update().values().cloned().collect();
            watched.retain(|peer| !peer.gone.is_cancelled());
            for peer in peers {
                if !watched.iter().any(|known| Arc::ptr_eq(known, &peer)) {
                    looks.push(self.keep_looking(Arc::clone(&peer)));
                    watched.push(peer);
                }
            }
            tokio::select! {
                // This node keeps the other end of the channel.
                changed = table.changed() => changed.unwrap_or_default(),
                Some(()) = looks.next() => {}
            }
        }
    }

    async fn keep_looking(&self, peer: Arc<Peer>) {
        if peer.config.url.is_empty() {
            return;
        }
        let looking = self.look_again_and_again(&peer);
        let ended = peer.gone.run_until_cancelled(looking).await;
        ended.unwrap_or_default();
    }

    async fn look_again_and_again(&self, peer: &Peer) {
        loop {
            peer.look_up().await;
            self.ask_who(peer).await;
            let pause = peer.state.borrow().pause();
            let in_doubt = async {
                sleep(SHORT_PAUSE).await;
                peer.doubt.notified().await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = in_doubt => {}
                () = peer.knock.notified() => {}
            }
        }
    }

    /// Asks which node answers at a peer's address.
    async fn ask_who(&self, peer: &Peer) {
        let pass = self.seal.sign(Purpose::Introduce, ANY_NODE, "");
        let pass = vec![(PASS.to_owned(), pass.into_bytes())];
        let node = peer.config.node;
        let question = Question {
            method: Method::GET,
            path: &format!("/node?from={}", self.node),
            headers: pass,
            timeout: TIMEOUT,
            longest: LONGEST_ANSWER,
        };
        let asked = self.ask_besides(peer, question).await;
        let judged = match asked {
            Ok((200, body)) => match serde_json::from_str(&body) {
                Ok(introduction) => self.judge(peer, &introduction),
                Err(_) => Err("answers with something else".to_owned()),
            },
            Ok((status, _)) => Err(format!("answers with {status}")),
            Err(reason) => Err(reason),
        };
        peer.state.send_modify(|state| {
            match &judged {
                Ok(()) if !state.is_up() => {
                    log::info!("node {node} answers at {}", peer.config.url);
                }
                Err(reason) if state.error.as_ref() != Some(reason) => {
                    log::warn!("node {node} at {}: {reason}", peer.config.url);
                }
                _ => {}
            }
            if judged.is_ok() {
                state.seen = Some(SystemTime::now());
                state.failures = 0;
            } else {
                state.failures = state.failures.saturating_add(1);
            }
            state.error = judged.err();
            state.again = Some(tokio::time::Instant::now() + state.pause());
        });
    }

    /// Checks that it is the expected node.
    fn judge(&self, peer: &Peer, found: &Introduction) -> Result<(), String> {
        if found.instance == self.instance {
            return Err("that address leads to this very node".to_owned());
        }
        if found.node == self.node {
            self.report_twin(found.instance.clone(), &peer.config.url);
        }
        if found.node == peer.config.node {
            Ok(())
        } else {
            Err(format!("is node {} ({})", found.node, found.instance))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::config::{ClusterConfig, PeerConfig};

    #[tokio::test]
    async fn a_node_is_seen_while_clients_have_all_its_places() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = ClusterConfig {
            peers: vec![PeerConfig {
                node: 2,
                url: format!("http://{address}"),
            }],
            ..ClusterConfig::default()
        };
        let peers = Peers::new(1, &config).unwrap();
        let second = peers.peer(2).unwrap();
        let places = &second.places;
        let all = places.available_permits().try_into().unwrap();
        let _held = places.try_acquire_many(all).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut asked, _) = listener.accept().unwrap();
            let mut head = BufReader::new(&asked).lines().map(Result::unwrap);
            assert!(head.any(|line| line.is_empty()));
            let body = r#"{"node":2,"instance":"other"}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            asked.write_all((head + body).as_bytes()).unwrap();
        });
        peers.ask_who(&second).await;
        let [(2, _, state)] = &peers.states()[..] else {
            panic!("{:?}", peers.states())
        };
        assert!(state.is_up() && !peers.is_down(2), "{state:?}");
        answering.join().unwrap();
    }
}
