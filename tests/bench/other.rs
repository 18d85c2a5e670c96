//! The nodes beside the first one. They have none of its files and ask it for them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::nginx::Nginx;
use crate::sidecar::{NO_MONGODB, Sidecar};
use crate::stage::Stage;

/// The key that all nodes share.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

#[derive(Debug)]
pub(crate) struct Other {
    number: u16,
    pub(crate) nginx: Nginx,
    pub(crate) sidecar: Sidecar,
    key: PathBuf,
}

impl Other {
    /// Starts the nginx of this node, with the first node's address in its files.
    pub(crate) fn prepare(number: u16, disk: &Disk, sockets: &Path, first: SocketAddr) -> Self {
        let name = format!("node{number}");
        let (data, sockets) = (disk.data.join(&name), sockets.join(&name));
        let scratch = disk.scratch.join(&name);
        for directory in [&sockets, &scratch] {
            fs::create_dir_all(directory).expect("a directory");
        }
        let key = scratch.join("peer.key");
        fs::write(&key, KEY).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
        let sidecar = Sidecar::prepare(&data, &sockets, &scratch);
        let nginx = Nginx::of_gridspool(&scratch, &data, &sidecar.socket, &[(1, first)]);
        Self {
            number,
            nginx,
            sidecar,
            key,
        }
    }
}

impl Stage {
    /// Starts the first node and this many of the others, with empty journals and without a MongoDB, so that
    /// uploads stay where they are.
    ///
    /// # Errors
    /// A text, if the sidecar does not know a setting.
    pub(crate) fn begin_with(&mut self, others: usize) -> Result<(), String> {
        self.end_others();
        let beside = self.others.iter().take(others);
        let nodes = beside.map(|other| (other.number, other.nginx.address()));
        let nodes: Vec<_> = std::iter::once((1, self.gridspool.address()))
            .chain(nodes)
            .collect();
        let settings = |node: u16, key: &Path| {
            let peers = nodes.iter().filter(|(number, _)| *number != node);
            let peers: Vec<_> = peers
                .map(|(number, address)| format!("{number}=http://{address}"))
                .collect();
            [
                ("node", node.to_string()),
                ("peers", peers.join(" ")),
                ("peer-key", key.display().to_string()),
            ]
        };
        let first = settings(1, &self.others[0].key);
        self.begin(NO_MONGODB, &first)?;
        for other in self.others.iter_mut().take(others) {
            let settings = settings(other.number, &other.key);
            other.sidecar.start(NO_MONGODB, &settings)?;
        }
        Ok(())
    }

    /// Ends the sidecars of the other nodes.
    pub(crate) fn end_others(&mut self) {
        for other in &mut self.others {
            other.sidecar.stop();
            other.sidecar.forget();
        }
    }
}
