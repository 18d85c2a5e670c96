//! Watches which node answers at each address, and whether another process uses this node's number.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use awc::http::Method;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ask::{Peer, Question};
use super::state::{PeerState, SHORT_PAUSE};
use super::{ANY_NODE, Introduction, LONGEST_ANSWER, PASS, Peers, Purpose};
use crate::store::Store;

/// The time that an introduction may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two registrations in the store.
const REGISTRATION: Duration = Duration::from_secs(5);

/// A twin is forgotten if it was not seen for this long.
const TWIN_LIFETIME: Duration = Duration::from_secs(30);

/// Another process with this node's number.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Its name.
    pub instance: String,
    /// The place at which it was seen: an address, or the store.
    pub place: String,
    seen: Instant,
}

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
        let peers = self.table.iter();
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

    /// Another process with this node's number, if it was seen a short while ago.
    pub fn twin(&self) -> Option<Sighting> {
        let twin = held(&self.twin).clone();
        twin.filter(|twin| twin.seen.elapsed() < TWIN_LIFETIME)
    }

    /// This node's number.
    pub fn number(&self) -> u16 {
        self.node
    }

    /// This process's name.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Asks all other nodes and looks into the store until it is told to stop.
    pub async fn watch(&self, store: &dyn Store, stop: CancellationToken) {
        let asking = self.table.iter().map(async |peer| {
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
        });
        let announcing = async {
            // The first process that the store names is usually an earlier start of this node.
            let mut is_first = true;
            loop {
                match store.announce(self.node, &self.instance).await {
                    Ok(before) => {
                        let other = before.filter(|before| *before != self.instance);
                        if let Some(instance) = other.filter(|_| !is_first) {
                            self.report_twin(instance, "the database");
                        }
                        is_first = false;
                    }
                    Err(err) => log::debug!("this node's word is not in the store: {err}"),
                }
                sleep(REGISTRATION).await;
            }
        };
        let watching = futures::future::join(futures::future::join_all(asking), announcing);
        if stop.run_until_cancelled(watching).await.is_none() {
            log::debug!("the other nodes are no longer watched");
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

    /// Reports a twin. Ids still differ in their random bytes, but no node can tell which disk has
    /// a file.
    fn report_twin(&self, instance: String, place: &str) {
        if self.twin().is_none_or(|known| known.instance != instance) {
            log::error!(
                "node number {} is used twice: here, and by {instance}, seen in {place}. Give each \
                 node a number of its own",
                self.node
            );
        }
        *held(&self.twin) = Some(Sighting {
            instance,
            place: place.to_owned(),
            seen: Instant::now(),
        });
    }
}

/// Takes a lock. A panic under it does no harm: each change is one assignment.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
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
            key: None,
        };
        let peers = Peers::new(1, &config).unwrap();
        let places = &peers.table[0].places;
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
        peers.ask_who(&peers.table[0]).await;
        let [(2, _, state)] = &peers.states()[..] else {
            panic!("{:?}", peers.states())
        };
        assert!(state.is_up() && !peers.is_down(2), "{state:?}");
        answering.join().unwrap();
    }
}
