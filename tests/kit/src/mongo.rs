//! A MongoDB of the test's own: a replica set of one member by default, or with one member on each of
//! some hosts.

use std::env::temp_dir;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection, Database};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::{Process, free_port, on_path};
use crate::{Host, eventually, wait_until};

/// Name of the database and the bucket that sites use unless told otherwise.
const DATABASE: &str = "gridspool";
const BUCKET: &str = "fs";

/// The options of a member of a replica set.
const MEMBER: [&str; 2] = ["--replSet", "rs0"];

#[derive(Debug)]
pub struct Mongo {
    pub members: Vec<Member>,
    runtime: Runtime,
    /// The client of the only member, or of the set.
    client: Client,
}

#[derive(Debug)]
pub struct Member {
    scratch: TempDir,
    host: Host,
    port: u16,
    arguments: Vec<String>,
    pub process: Option<Process>,
    /// The client of this member, in any state of the set.
    client: Client,
}

impl Mongo {
    /// Starts a mongod and waits until it takes writes.
    pub fn start() -> Self {
        Self::start_on(&[Host::default()])
    }

    /// Starts a member on each host and waits until one takes writes.
    pub fn start_on(hosts: &[Host]) -> Self {
        let mongo = Self::start_each(hosts, &temp_dir(), &MEMBER, "");
        mongo.initiate();
        mongo
    }

    /// Starts a mongod that belongs to no replica set.
    pub fn standalone() -> Self {
        Self::start_with(&[])
    }

    /// Restarts a standalone, or a member, as a member with the same data.
    pub fn restart_as_member(&mut self) {
        self.stop();
        self.members[0].arguments = MEMBER.map(str::to_owned).to_vec();
        self.restart();
    }

    /// Restarts a member as a standalone with the same data.
    pub fn restart_as_standalone(&mut self) {
        self.stop();
        self.members[0].arguments.clear();
        self.restart();
    }

    /// Restarts a member. From then on it accepts only its users, and members that share this key.
    pub fn restart_guarded(&mut self, key_file: &Path) {
        self.stop();
        let key_file = key_file.to_str().expect("a text").to_owned();
        self.members[0]
            .arguments
            .extend(["--keyFile".to_owned(), key_file]);
        self.restart();
    }

    /// Starts a mongod with these arguments and waits until it answers.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_through(arguments, "")
    }

    /// Starts a mongod like [`Mongo::start_with`]; the test's own connection string has these
    /// options, too.
    pub fn start_through(arguments: &[&str], options: &str) -> Self {
        Self::start_each(&[Host::default()], &temp_dir(), arguments, options)
    }

    /// Starts a mongod on each host, with its files below this directory, and waits until they
    /// answer.
    pub fn start_each(hosts: &[Host], directory: &Path, arguments: &[&str], options: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let connect = |uri: String| {
            let client = runtime.block_on(Client::with_uri_str(uri));
            client.expect("a client")
        };
        let members: Vec<_> = hosts
            .iter()
            .map(|host| {
                let port = free_port();
                let address = format!("{}:{port}", host.address);
                Member {
                    scratch: tempfile::tempdir_in(directory).expect("a scratch directory"),
                    host: host.clone(),
                    port,
                    arguments: arguments.iter().map(ToString::to_string).collect(),
                    process: None,
                    client: connect(direct_string("", &address, options)),
                }
            })
            .collect();
        let client = match members.as_slice() {
            [only] => only.client.clone(),
            _ => connect(uri(&members)),
        };
        let mut mongo = Self {
            members,
            runtime,
            client,
        };
        for member in 0..hosts.len() {
            mongo.restart_member(member);
        }
        mongo
    }

    /// Logs the test's own connection in as this user.
    pub fn log_in(&mut self, user: &str, password: &str, options: &str) {
        let user = format!("{user}:{password}@");
        let direct = direct_string(&user, &self.address(), options);
        let client = self.block_on(Client::with_uri_str(direct));
        self.client = client.expect("a client");
    }

    /// Starts the only member again after [`Mongo::stop`] or [`Mongo::kill`].
    pub fn restart(&mut self) {
        self.restart_member(0);
    }

    /// Starts a member again after [`Mongo::kill_member`], and waits until it answers.
    pub fn restart_member(&mut self, place: usize) {
        self.spawn_member(place);
        wait_until("mongod answers", || {
            // Another process may have taken its port for a moment.
            let process = self.members[place].process.as_mut();
            if !process.expect("a mongod").is_running() {
                self.spawn_member(place);
            }
            self.ask(place, doc! { "ping": 1 }).is_ok()
        });
    }

    fn spawn_member(&mut self, place: usize) {
        let member = &mut self.members[place];
        let path = member.scratch.path();
        let log = File::create(path.join("mongod.out")).expect("a log");
        let mut command = member.host.command(mongod());
        command
            .arg("--dbpath")
            .arg(path)
            .args(["--port", &member.port.to_string()])
            .args(&member.arguments)
            .args(["--bind_ip", &member.host.address, "--nounixsocket"])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "512"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            // A primary sends a hundredth of the reads to its secondaries as well. Tests count the
            // reads that the sidecar sends there.
            .args(["--setParameter", "mirrorReads={samplingRate: 0.0}"])
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log);
        member.process = Some(Process::spawn(&mut command));
    }

    /// Makes the members one replica set.
    pub fn initiate(&self) {
        let members = self.members.iter().zip(0..);
        let members: Vec<_> = members
            .map(|(member, number)| doc! { "_id": number, "host": member.address() })
            .collect();
        // Members elect after three seconds without the primary, instead of ten.
        let settings = doc! { "electionTimeoutMillis": 3000 };
        let config = doc! { "_id": "rs0", "members": members, "settings": settings };
        self.ask(0, doc! { "replSetInitiate": config })
            .expect("a replica set");
        self.wait_for_primary();
    }

    /// Waits until a member takes writes; returns its place.
    pub fn wait_for_primary(&self) -> usize {
        eventually("a mongod is primary", || {
            (0..self.members.len()).find(|member| {
                self.ask(*member, doc! { "hello": 1 })
                    .is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
            })
        })
    }

    /// Makes the primary step down and the others elect another one.
    pub fn elect_another(&self) {
        let primary = self.wait_for_primary();
        let command = doc! { "replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 10 };
        self.ask(primary, command).expect("a primary steps down");
        wait_until("another is elected", || self.wait_for_primary() != primary);
    }

    /// Ends a member by SIGKILL.
    pub fn kill_member(&mut self, place: usize) {
        self.take(place).end_by(Signal::KILL);
    }

    fn take(&mut self, place: usize) -> Process {
        self.members[place].process.take().expect("a mongod")
    }

    fn only(&self) -> &Process {
        self.members[0].process.as_ref().expect("a mongod")
    }

    /// Stops all members in order.
    pub fn stop(&mut self) {
        self.take(0).end_by(Signal::TERM);
    }

    /// Ends all members by SIGKILL.
    pub fn kill(&mut self) {
        self.kill_member(0);
    }

    /// Freezes the members: they keep their connections and answer nothing.
    pub fn freeze(&self) {
        self.only().signal(Signal::STOP);
    }

    /// Ends [`Mongo::freeze`].
    pub fn thaw(&self) {
        self.only().signal(Signal::CONT);
    }

    /// Returns the connection string by replica set, as a site uses it.
    pub fn uri(&self) -> String {
        uri(&self.members)
    }

    /// Host and port of the only member.
    pub fn address(&self) -> String {
        self.members[0].address()
    }

    /// Returns the connection string by address alone.
    pub fn plain_uri(&self) -> String {
        format!("mongodb://{}/", self.address())
    }

    /// Returns the connection string of the first member alone.
    pub fn direct_uri(&self) -> String {
        format!("{}?directConnection=true", self.plain_uri())
    }

    /// Returns how many times the first member was asked for its state since its start.
    pub fn hellos(&self) -> i64 {
        let status = self.admin(doc! { "serverStatus": 1 });
        let commands = status.get_document("metrics").expect("metrics");
        let commands = commands.get_document("commands").expect("commands");
        let hello = commands.get_document("hello").expect("hello");
        hello.get_i64("total").expect("a count")
    }

    /// The names of all collections of the sites' database.
    pub fn collections(&self) -> Vec<String> {
        self.block_on(async { self.database().list_collection_names().await })
            .expect("names")
    }

    /// Runs the driver's futures.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The sites' database.
    pub fn database(&self) -> Database {
        self.client.database(DATABASE)
    }

    pub fn files(&self) -> Collection<Document> {
        self.database().collection(&format!("{BUCKET}.files"))
    }

    pub fn chunks(&self) -> Collection<Document> {
        self.database().collection(&format!("{BUCKET}.chunks"))
    }

    /// Returns how many documents of a collection match.
    pub fn count(&self, collection: &Collection<Document>, filter: Document) -> u64 {
        self.block_on(async { collection.count_documents(filter).await })
            .expect("a count")
    }

    /// Runs a command on the admin database.
    pub fn admin(&self, command: Document) -> Document {
        self.try_admin(command).expect("an admin command")
    }

    pub(crate) fn try_admin(&self, command: Document) -> mongodb::error::Result<Document> {
        let admin = self.client.database("admin");
        self.block_on(async { admin.run_command(command).await })
    }

    /// Returns how many of these commands of sidecars are running now, in any of these collections.
    pub fn running(&self, command: &str, collections: &[&str]) -> usize {
        let running = self.admin(doc! { "currentOp": 1, "appName": "gridspool" });
        let running = running.get_array("inprog").expect("a list");
        let is_asked_for = |operation: &&Bson| {
            let operation = operation
                .as_document()
                .and_then(|found| found.get_document("command").ok());
            operation.is_some_and(|shown| {
                collections.iter().any(|collection| {
                    // MongoDB shows only the beginning of a long command, as a text.
                    let begin = format!("{{ {command}: \"{collection}\"");
                    shown
                        .get_str(command)
                        .is_ok_and(|shown| shown == *collection)
                        || shown
                            .get_str("$truncated")
                            .is_ok_and(|text| text.starts_with(&begin))
                })
            })
        };
        running.iter().filter(is_asked_for).count()
    }

    /// Runs a command on the admin database of one member.
    pub fn ask(&self, member: usize, command: Document) -> mongodb::error::Result<Document> {
        let admin = self.members[member].client.database("admin");
        self.block_on(async { admin.run_command(command).await })
    }

    /// Makes commands fail (failCommand, MongoDB's own test command): `mode` is for example
    /// `{ times: 1 }`, `"alwaysOn"` or `"off"`; `data` names commands and fault.
    pub fn fail_command(&self, mode: impl Into<Bson>, data: Document) {
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data });
    }
}

impl Member {
    fn address(&self) -> String {
        format!("{}:{}", self.host.address, self.port)
    }
}

fn uri(members: &[Member]) -> String {
    let addresses: Vec<_> = members.iter().map(Member::address).collect();
    format!("mongodb://{}/?replicaSet=rs0", addresses.join(","))
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // A frozen process must be thawed before it can end.
            process.signal(Signal::CONT);
        }
    }
}

/// Makes a connection string to one member, for a test's own use.
fn direct_string(user: &str, address: &str, options: &str) -> String {
    format!(
        "mongodb://{user}{address}/?directConnection=true&serverSelectionTimeoutMS=2000{options}"
    )
}

/// The mongod to run.
fn mongod() -> PathBuf {
    let named = std::env::var_os("GRIDSPOOL_MONGOD").map(PathBuf::from);
    named
        .or_else(|| on_path("mongod"))
        .expect("GRIDSPOOL_MONGOD, or a mongod on PATH; scripts/test brings one")
}
