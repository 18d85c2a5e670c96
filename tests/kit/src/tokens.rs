//! Keys of a site, and tokens signed with them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Builder, program};

/// A file of keys.
#[derive(Debug)]
pub struct Keys {
    scratch: TempDir,
}

impl Keys {
    /// Two keys: `old`, for HS256, and `new`, for `EdDSA`.
    pub fn make() -> Self {
        let keys = Self {
            scratch: tempfile::tempdir().expect("a scratch directory"),
        };
        let mut sets = [("old", "HS256"), ("new", "EdDSA")].map(|(kid, algorithm)| {
            let text = run(&["key", "--kid", kid, "--algorithm", algorithm]);
            let mut set: serde_json::Value = serde_json::from_str(&text).expect("a set");
            set["keys"][0].take()
        });
        let set = serde_json::json!({ "keys": sets.each_mut().map(serde_json::Value::take) });
        std::fs::write(keys.path(), set.to_string()).expect("a file of keys");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(keys.path(), mode).expect("a mode");
        keys
    }

    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("keys.json")
    }

    /// A token, with the options of the hidden task that mints.
    pub fn token(&self, options: &[&str]) -> String {
        let path = self.path();
        let keys = ["token", "--token-keys", path.to_str().expect("a text")];
        run(&[&keys, options].concat())
    }

    /// The header that carries [`Keys::token`].
    pub fn bearer(&self, options: &[&str]) -> String {
        format!("Bearer {}", self.token(options))
    }

    /// A site that asks for tokens of these keys.
    pub fn guard(&self, site: Builder) -> Builder {
        site.set("token_keys", self.path().display())
    }
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output();
    let output = output.expect("the sidecar");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    let text = String::from_utf8(output.stdout).expect("a text");
    text.trim_end().to_owned()
}
