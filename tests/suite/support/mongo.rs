//! A mongod of the test's own: a replica set of one member, unless told otherwise.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection, Database};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::process::{Process, free_port};
use super::wait_until;

/// Name of the database and the bucket that sites use unless told otherwise.
const DATABASE: &str = "gridspool";
const BUCKET: &str = "fs";

/// What makes it a member of a replica set.
const MEMBER: [&str; 2] = ["--replSet", "rs0"];

#[derive(Debug)]
pub(crate) struct Mongo {
    scratch: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
    runtime: Runtime,
    client: Client,
}

impl Mongo {
    /// Starts one and waits until it takes writes.
    pub(crate) fn start() -> Self {
        let mongo = Self::start_with(&MEMBER);
        mongo.initiate();
        mongo
    }

    /// Starts one that belongs to no replica set.
    pub(crate) fn standalone() -> Self {
        Self::start_with(&[])
    }

    /// Restarts a standalone, or a member, as a member with these data.
    pub(crate) fn restart_as_member(&mut self) {
        self.stop();
        self.arguments = MEMBER.map(str::to_owned).to_vec();
        self.restart();
    }

    /// Restarts a member as a standalone with these data.
    pub(crate) fn restart_as_standalone(&mut self) {
        self.stop();
        self.arguments.clear();
        self.restart();
    }

    /// Starts one with these arguments and waits until it answers.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_through(arguments, "")
    }

    /// As [`Mongo::start_with`]; the test's own connection string has these options more.
    pub(crate) fn start_through(arguments: &[&str], options: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let port = free_port();
        let direct = direct_string("", port, options);
        let client = runtime
            .block_on(Client::with_uri_str(direct))
            .expect("a client");
        let mut mongo = Self {
            scratch: tempfile::tempdir().expect("a scratch directory"),
            port,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            process: None,
            runtime,
            client,
        };
        mongo.restart();
        mongo
    }

    /// From here on the test's own connection is this user's.
    pub(crate) fn log_in(&mut self, user: &str, password: &str, options: &str) {
        let direct = direct_string(&format!("{user}:{password}@"), self.port, options);
        let client = self.block_on(Client::with_uri_str(direct));
        self.client = client.expect("a client");
    }

    /// Starts it again after [`Mongo::stop`] or [`Mongo::kill`].
    pub(crate) fn restart(&mut self) {
        let path = self.scratch.path();
        let log = File::create(path.join("mongod.out")).expect("a log");
        let mut command = Command::new(mongod());
        command
            .arg("--dbpath")
            .arg(path)
            .args(["--port", &self.port.to_string()])
            .args(&self.arguments)
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket"])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "512"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log);
        self.process = Some(Process::spawn(&mut command));
        wait_until("mongod answers", || {
            self.try_admin(doc! { "ping": 1 }).is_ok()
        });
    }

    /// Makes a member the only one of its replica set.
    pub(crate) fn initiate(&self) {
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", self.port) };
        let config = doc! { "_id": "rs0", "members": [member] };
        self.admin(doc! { "replSetInitiate": config });
        self.wait_for_primary();
    }

    /// Waits until it takes writes.
    pub(crate) fn wait_for_primary(&self) {
        wait_until("mongod is primary", || {
            self.try_admin(doc! { "hello": 1 })
                .is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
        });
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(&mut self) {
        self.process.take().expect("a mongod").end_by(Signal::TERM);
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("a mongod").end_by(Signal::KILL);
    }

    /// Freezes it: it keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.process
            .as_ref()
            .expect("a mongod")
            .signal(Signal::STOP);
    }

    /// Ends [`Mongo::freeze`].
    pub(crate) fn thaw(&self) {
        self.process
            .as_ref()
            .expect("a mongod")
            .signal(Signal::CONT);
    }

    /// The connection string, by replica set, as a site uses it.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.port)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The connection string by address alone.
    pub(crate) fn plain_uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// The connection string of this member, whatever others there are.
    pub(crate) fn direct_uri(&self) -> String {
        format!("{}?directConnection=true", self.plain_uri())
    }

    /// How often it was asked what it is, since it was started.
    pub(crate) fn hellos(&self) -> i64 {
        let status = self.admin(doc! { "serverStatus": 1 });
        let commands = status.get_document("metrics").expect("metrics");
        let commands = commands.get_document("commands").expect("commands");
        let hello = commands.get_document("hello").expect("hello");
        hello.get_i64("total").expect("a count")
    }

    /// The names of all collections of the sites' database.
    pub(crate) fn collections(&self) -> Vec<String> {
        self.block_on(async { self.database().list_collection_names().await })
            .expect("names")
    }

    /// Runs the driver's futures.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The sites' database, over a direct connection.
    pub(crate) fn database(&self) -> Database {
        self.client.database(DATABASE)
    }

    pub(crate) fn files(&self) -> Collection<Document> {
        self.database().collection(&format!("{BUCKET}.files"))
    }

    pub(crate) fn chunks(&self) -> Collection<Document> {
        self.database().collection(&format!("{BUCKET}.chunks"))
    }

    /// How many documents of a collection match.
    pub(crate) fn count(&self, collection: &Collection<Document>, filter: Document) -> u64 {
        self.block_on(async { collection.count_documents(filter).await })
            .expect("a count")
    }

    /// Runs a command on the admin database.
    pub(crate) fn admin(&self, command: Document) -> Document {
        self.try_admin(command).expect("an admin command")
    }

    pub(super) fn try_admin(&self, command: Document) -> mongodb::error::Result<Document> {
        let admin = self.client.database("admin");
        self.block_on(async { admin.run_command(command).await })
    }

    /// Makes commands fail (failCommand, MongoDB's own test command): `mode` is for example
    /// `{ times: 1 }`, `"alwaysOn"` or `"off"`; `data` names commands and fault.
    pub(crate) fn fail_command(&self, mode: impl Into<Bson>, data: Document) {
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data });
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // A frozen one cannot be ended otherwise.
            process.signal(Signal::CONT);
        }
    }
}

/// A connection string of a test's own, to one member.
fn direct_string(user: &str, port: u16, options: &str) -> String {
    format!(
        "mongodb://{user}127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=2000{options}"
    )
}

/// The mongod to run.
fn mongod() -> PathBuf {
    let named = std::env::var_os("GRIDSPOOL_MONGOD").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join("mongod"))
            .find(|candidate| candidate.is_file())
    };
    named
        .or_else(on_path)
        .expect("GRIDSPOOL_MONGOD, or a mongod on PATH; scripts/test brings one")
}
