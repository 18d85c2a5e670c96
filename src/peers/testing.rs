//! The peers of a test.

use std::os::unix::fs::PermissionsExt as _;

use super::Peers;
use crate::config::ClusterConfig;

/// Those of node 1, which shares this key, repeated.
pub(super) fn peers(key: &str) -> Peers {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("peer.key");
    std::fs::write(&path, key.repeat(32)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = ClusterConfig {
        key: Some(path),
        ..ClusterConfig::default()
    };
    Peers::new(1, &config).unwrap()
}
