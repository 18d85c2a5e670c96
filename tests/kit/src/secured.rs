//! A mongod that requires TLS and a password.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::bson::doc;
use tempfile::TempDir;

use crate::Mongo;

/// The credentials that a sidecar logs in with.
const USER: &str = "gridspool";
pub const PASSWORD: &str = "open-sesame-7391";

/// A mongod behind TLS and access control, and the files that both need.
#[derive(Debug)]
pub struct Secured {
    pub mongo: Mongo,
    scratch: TempDir,
}

impl Secured {
    /// Starts one, with the sidecars' user.
    pub fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = |name: &str| {
            let path = scratch.path().join(name);
            path.to_str().expect("a text").to_owned()
        };
        for authority in ["ca", "other"] {
            make_authority(scratch.path(), authority);
        }
        make_certificate(scratch.path());
        let shared = path("keyfile");
        std::fs::write(&shared, "c2VjcmV0c2VjcmV0").expect("a key");
        std::fs::set_permissions(&shared, Permissions::from_mode(0o600)).expect("its mode");
        let (ca, server) = (path("ca.pem"), path("server.pem"));
        let arguments = [
            ["--replSet", "rs0"],
            ["--tlsMode", "requireTLS"],
            ["--tlsCertificateKeyFile", &server],
            ["--tlsCAFile", &ca],
            ["--keyFile", &shared],
        ];
        let mut arguments = arguments.concat();
        arguments.push("--tlsAllowConnectionsWithoutCertificates");
        let tls = format!("&tls=true&tlsCAFile={ca}");
        let mut mongo = Mongo::start_through(&arguments, &tls);
        // Without any user, a client on this host may make the first one.
        mongo.initiate();
        mongo.admin(doc! {
            "createUser": USER,
            "pwd": PASSWORD,
            "roles": ["root"],
        });
        mongo.log_in(USER, PASSWORD, &tls);
        Self { mongo, scratch }
    }

    /// Returns the certificate of the authority that has signed mongod's, or of another authority.
    pub fn authority(&self, is_right: bool) -> PathBuf {
        let name = if is_right { "ca.pem" } else { "other.pem" };
        self.scratch.path().join(name)
    }

    /// A connection string.
    pub fn uri(&self, password: &str, authority: &Path) -> String {
        format!(
            "mongodb://{USER}:{password}@{}/?replicaSet=rs0&tls=true&tlsCAFile={}",
            self.mongo.address(),
            authority.display()
        )
    }
}

fn make_authority(directory: &Path, name: &str) {
    openssl(
        directory,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ),
    );
}

/// A certificate for this host, signed by `ca`, with its key in one file.
fn make_certificate(directory: &Path) {
    let file = |name: &str| directory.join(name);
    openssl(
        directory,
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=mongod \
         -keyout server.key -out server.csr",
    );
    std::fs::write(file("names"), "subjectAltName=IP:127.0.0.1\n").expect("the names");
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.crt",
    );
    let read = |name: &str| std::fs::read_to_string(file(name)).expect("a file");
    let both = read("server.crt") + &read("server.key");
    std::fs::write(file("server.pem"), both).expect("the certificate");
}

fn openssl(directory: &Path, words: &str) {
    let made = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
}
