//! The MongoDB that all contestants use: a replica set of one member.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use kit::free_port;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Client, Database, IndexModel};
use tokio::runtime::Runtime;

use crate::process::{Process, eventually};

/// The sidecar's default database.
pub(crate) const DATABASE: &str = "gridspool";

/// The database of the plain server and of all other ways to commit.
pub(crate) const RIVALS: &str = "rivals";

#[derive(Debug)]
pub(crate) struct Mongo {
    process: Process,
    port: u16,
    pub(crate) runtime: Runtime,
    client: Client,
}

impl Mongo {
    /// Starts a MongoDB and waits until it takes writes.
    pub(crate) fn start(scratch: &Path) -> Self {
        let port = free_port();
        let program = std::env::var_os("GRIDSPOOL_MONGOD").unwrap_or_else(|| "mongod".into());
        let data = scratch.join("mongodb");
        std::fs::create_dir(&data).expect("a directory");
        let log = File::create(scratch.join("mongod.log")).expect("a log");
        let mut command = Command::new(program);
        command
            .arg("--dbpath")
            .arg(data)
            .args(["--port", &port.to_string(), "--bind_ip", "127.0.0.1"])
            .args(["--replSet", "gridspool", "--nounixsocket"])
            .args(["--oplogSize", "1024", "--wiredTigerCacheSizeGB", "0.5"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            // MongoDB would keep dropped data on the disk for minutes, for readers of old
            // snapshots.
            .args(["--setParameter", "minSnapshotHistoryWindowInSeconds=0"])
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log);
        let process = Process::spawn(&mut command);
        let runtime = Runtime::new().expect("a runtime");
        // All rivals write with `majority`, as gridspool does.
        let uri =
            format!("mongodb://127.0.0.1:{port}/?directConnection=true&w=majority&journal=true");
        let client = runtime
            .block_on(Client::with_uri_str(uri))
            .expect("a client");
        let mongo = Self {
            process,
            port,
            runtime,
            client,
        };
        mongo.initiate();
        for name in [RIVALS, DATABASE] {
            mongo.forget(name);
        }
        mongo
    }

    fn initiate(&self) {
        eventually("mongod answers", || self.admin(doc! { "ping": 1 }));
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", self.port) };
        let config = doc! { "_id": "gridspool", "members": [member] };
        self.admin(doc! { "replSetInitiate": config })
            .expect("a replica set");
        eventually("mongod is primary", || {
            let hello = self.admin(doc! { "hello": 1 })?;
            hello.get_bool("isWritablePrimary").ok().filter(|is| *is)
        });
    }

    /// Runs a command on the admin database; `None` if it fails.
    pub(crate) fn admin(&self, command: Document) -> Option<Document> {
        let admin = self.client.database("admin");
        self.runtime
            .block_on(async { admin.run_command(command).await })
            .ok()
    }

    /// Returns the version of MongoDB.
    pub(crate) fn version(&self) -> String {
        let info = self.admin(doc! { "buildInfo": 1 }).unwrap_or_default();
        info.get_str("version").unwrap_or("unknown").to_owned()
    }

    /// Returns the URI for the sidecar and the other programs.
    pub(crate) fn uri(&self) -> String {
        let port = self.port;
        format!("mongodb://127.0.0.1:{port}/?replicaSet=gridspool&w=majority&journal=true")
    }

    pub(crate) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    /// Drops a database and makes its bucket anew, without files. Dropped data is gone at once; its
    /// pages are free for new data.
    pub(crate) fn forget(&self, name: &str) {
        let database = self.database(name);
        let done = self.runtime.block_on(async {
            database.drop().await?;
            make_bucket(&database).await
        });
        done.expect("a database can be dropped and made");
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        vec![self.process.id()]
    }
}

/// Makes a bucket's indexes. A driver or a sidecar does so once in its life, so no row counts the
/// time.
async fn make_bucket(database: &Database) -> mongodb::error::Result<()> {
    let unique = IndexOptions::builder().unique(true).build();
    let chunks = IndexModel::builder()
        .keys(doc! { "files_id": 1, "n": 1 })
        .options(unique)
        .build();
    let files = IndexModel::builder()
        .keys(doc! { "filename": 1, "uploadDate": 1 })
        .build();
    database
        .collection::<Document>("fs.chunks")
        .create_index(chunks)
        .await?;
    database
        .collection::<Document>("fs.files")
        .create_index(files)
        .await?;
    Ok(())
}
