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
#[derive(Debug, Clone, Default)]
pub struct ClusterConfig {
    /// Where other nodes reach this one, `http://HOST:PORT`; `None`: the list of nodes tells no address.
    pub advertise: Option<String>,
    /// Other nodes, for times when MongoDB does not tell the list.
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
        let told = self.text("advertise");
        let advertise = match url(&told) {
            Ok(url) => Some(url),
            Err(_) if told == "none" => None,
            Err(reason) => {
                self.wrong.push(format!("advertise: {told:?}: {reason}"));
                None
            }
        };
        if (!peers.is_empty() || advertise.is_some()) && key.is_none() {
            self.wrong
                .push("peer_key: peers or advertise are set, and they need a key".to_owned());
        }
        ClusterConfig {
            advertise,
            peers,
            key,
        }
    }
}

/// Reads `NUMBER=http://HOST:PORT`.
fn peer(word: &str) -> Result<PeerConfig, &'static str> {
    let (node, address) = word.split_once('=').ok_or("NUMBER=URL is needed")?;
    let node = node.parse().ok().filter(|&node| node > 0);
    let node = node.ok_or("the number is not from 1 to 65535")?;
    let url = url(address)?;
    Ok(PeerConfig { node, url })
}

/// Reads `http://HOST:PORT`.
fn url(text: &str) -> Result<String, &'static str> {
    let authority = text.strip_prefix("http://").unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or_default();
    let is_host = |char: char| char.is_ascii_alphanumeric() || ".-[]:".contains(char);
    let is_good = !host.is_empty()
        && host.chars().all(is_host)
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_good {
        Ok(text.to_owned())
    } else {
        Err("the address is not http://HOST:PORT")
    }
}
