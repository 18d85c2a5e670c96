//! A second node. It has none of the files and asks the first node for them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::nginx::Nginx;
use crate::sidecar::{NO_MONGODB, Sidecar};
use crate::stage::Stage;

/// The key that both nodes share.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) nginx: Nginx,
    pub(crate) sidecar: Sidecar,
    key: PathBuf,
}

impl Other {
    /// Starts the second node's nginx, with the first node's address in its files.
    pub(crate) fn prepare(disk: &Disk, sockets: &Path, first: SocketAddr) -> Self {
        let (data, sockets) = (disk.data.join("other"), sockets.join("other"));
        let scratch = disk.scratch.join("other");
        for directory in [&sockets, &scratch] {
            fs::create_dir_all(directory).expect("a directory");
        }
        let key = scratch.join("peer.key");
        fs::write(&key, KEY).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
        let sidecar = Sidecar::prepare(&data, &sockets, &scratch);
        let nginx = Nginx::of_gridspool(&scratch, &data, &sidecar.socket, &[(1, first)]);
        Self {
            nginx,
            sidecar,
            key,
        }
    }
}

impl Stage {
    /// Starts both nodes with empty journals and without a MongoDB, so that the first node's
    /// uploads stay in its journal.
    ///
    /// # Errors
    /// A text, if the sidecar does not know a setting.
    pub(crate) fn begin_both(&mut self) -> Result<(), String> {
        let key = self.other.key.display().to_string();
        let settings = |node: &str, peer: &str, address: SocketAddr| {
            [
                ("node", node.to_owned()),
                ("peers", format!("{peer}=http://{address}")),
                ("peer-key", key.clone()),
            ]
        };
        let (first, second) = (self.gridspool.address(), self.other.nginx.address());
        self.begin(NO_MONGODB, &settings("1", "2", second))?;
        self.end_other();
        let sidecar = &mut self.other.sidecar;
        sidecar.start(NO_MONGODB, &settings("2", "1", first))
    }

    /// Ends the second node's sidecar.
    pub(crate) fn end_other(&mut self) {
        self.other.sidecar.stop();
        self.other.sidecar.forget();
    }
}
