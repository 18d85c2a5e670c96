//! The settings of the other nodes: their numbers, their addresses, and the shared key.

use std::path::PathBuf;

use super::source::Source;

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its number.
    pub node: u16,
    /// The address of its nginx: `http://HOST:PORT`.
    pub url: String,
}

/// The other nodes, and the keys by which nodes recognise each other.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// All nodes but this one.
    pub peers: Vec<PeerConfig>,
    /// The file of shared keys; `None` if there is none.
    pub key: Option<PathBuf>,
}

impl Source<'_> {
    /// `node` is this node's own number.
    pub(super) fn cluster(&mut self, node: u16) -> ClusterConfig {
        let has_key = self.text("peer_key") != "none";
        let key = has_key.then(|| self.absolute_path("peer_key"));
        let text = self.text("peers");
        let mut peers: Vec<PeerConfig> = Vec::new();
        for word in text.split_whitespace().filter(|_| text != "none") {
            match peer(word) {
                Ok(peer) if peer.node == node => self
                    .wrong
                    .push(format!("peers: {word:?} has this node's own number")),
                Ok(peer) if peers.iter().any(|other| other.node == peer.node) => self
                    .wrong
                    .push(format!("peers: {word:?} has the number of another")),
                Ok(peer) => peers.push(peer),
                Err(reason) => self.wrong.push(format!("peers: {word:?}: {reason}")),
            }
        }
        if !peers.is_empty() && key.is_none() {
            self.wrong
                .push("peer_key: peers are set, and they need a key".to_owned());
        }
        ClusterConfig { peers, key }
    }
}

/// Reads `NUMBER=http://HOST:PORT`.
fn peer(word: &str) -> Result<PeerConfig, &'static str> {
    let (node, url) = word.split_once('=').ok_or("NUMBER=URL is needed")?;
    let node = node.parse().ok().filter(|&node| node > 0);
    let node = node.ok_or("the number is not from 1 to 65535")?;
    let authority = url.strip_prefix("http://").unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or_default();
    let is_host = |char: char| char.is_ascii_alphanumeric() || ".-[]:".contains(char);
    let is_good = !host.is_empty()
        && host.chars().all(is_host)
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_good {
        let url = url.to_owned();
        Ok(PeerConfig { node, url })
    } else {
        Err("the address is not http://HOST:PORT")
    }
}
