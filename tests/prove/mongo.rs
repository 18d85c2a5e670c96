//! What is done to MongoDB: to its primary, where there are several members.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use rustix::process::Signal;

use crate::faults::pause;
use crate::ground::Ground;
use crate::random::Random;
use crate::support::{Host, Mongo};

/// No client may notice any of them: uploads go on without MongoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MongoFault {
    /// It is killed.
    Kill,
    /// It stands still for a while.
    Freeze,
    /// It gives up being primary, for a while or for another.
    StepDown,
    /// It closes connections.
    Close,
    /// It does what it is asked to and answers with an error.
    LostAnswer,
    /// It refuses commands.
    Refuse,
    /// It takes its time.
    Block,
    /// Its disk is full for a while: it ends by itself.
    Full,
}

impl MongoFault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "mongo-kill",
            Self::Freeze => "mongo-freeze",
            Self::StepDown => "mongo-step-down",
            Self::Close => "mongo-close",
            Self::LostAnswer => "mongo-lost-answer",
            Self::Refuse => "mongo-refuse",
            Self::Block => "mongo-block",
            Self::Full => "mongo-full",
        }
    }

    /// Does it, and undoes it. `Err` tells what it could not do.
    pub(crate) fn strike(
        self,
        mongo: &mut Mongo,
        ground: &Ground,
        random: &mut Random,
    ) -> Result<(), String> {
        let primary = mongo.wait_for_primary();
        match self {
            Self::Kill => {
                mongo.kill_member(primary);
                pause(random, 2_000);
                mongo.restart_member(primary);
            }
            Self::Freeze => {
                mongo.signal(primary, Signal::STOP);
                pause(random, 4_000);
                mongo.signal(primary, Signal::CONT);
            }
            Self::StepDown => mongo.step_down(primary, 1 + random.below(2)),
            Self::Full => {
                ground.fill();
                let has_ended = mongo.ends_by_checkpoints(Duration::from_secs(30));
                pause(random, 1_000);
                ground.make_room();
                if !has_ended {
                    return Err("a mongod without room has not ended".to_owned());
                }
                mongo.restart_all();
            }
            Self::Close | Self::LostAnswer | Self::Refuse | Self::Block => {
                let times = 1 + random.below(6);
                mongo.fail_everywhere(times, &self.answer(random));
                pause(random, 1_000);
                mongo.heal_everywhere();
            }
        }
        mongo.wait_for_primary();
        Ok(())
    }

    /// What failCommand is told, for those that are made by it.
    fn answer(self, random: &mut Random) -> Document {
        let commands = ["insert", "delete", "find", "aggregate", "createIndexes"];
        match self {
            Self::LostAnswer => {
                let collection = random.pick(&["gridspool.fs.files", "gridspool.fs.chunks"]);
                let command = random.pick(&["insert", "delete"]);
                let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
                doc! {
                    "failCommands": [command], "namespace": collection, "writeConcernError": error,
                }
            }
            Self::Refuse => {
                // NotWritablePrimary, Interrupted, MaxTimeMSExpired, Unauthorized, and BadValue, by
                // which entries are put off.
                let code = random.pick(&[10107, 11601, 50, 13, 2]);
                doc! { "failCommands": commands.as_slice(), "errorCode": code }
            }
            Self::Block => {
                let millis = i32::try_from(random.below(3_000)).expect("a small number");
                doc! {
                    "failCommands": commands.as_slice(), "blockConnection": true, "blockTimeMS": millis,
                }
            }
            Self::Kill | Self::Freeze | Self::StepDown | Self::Close | Self::Full => {
                doc! { "failCommands": commands.as_slice(), "closeConnection": true }
            }
        }
    }
}

impl Mongo {
    /// Starts a replica set of so many, with their files below a directory, and waits until one
    /// takes writes.
    pub(crate) fn start_below(directory: &Path, members: usize) -> Self {
        let hosts = vec![Host::default(); members];
        let mongo = Self::start_each(&hosts, directory, &["--replSet", "rs0"], "");
        mongo.initiate();
        mongo
    }

    fn signal(&self, place: usize, signal: Signal) {
        let process = self.members[place].process.as_ref();
        process.expect("a mongod").signal(signal);
    }

    /// Has it give up being primary for so many seconds: to another, once that has all of it, or to
    /// nobody.
    fn step_down(&self, place: usize, seconds: u64) {
        let command = if self.members.len() == 1 {
            let seconds = i64::try_from(seconds).expect("a small number");
            doc! { "replSetStepDown": seconds, "force": true }
        } else {
            doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5, "force": true }
        };
        // The answer is lost if all connections are closed before it.
        self.ask(place, command).map(drop).unwrap_or_default();
    }

    /// Makes the next so many commands of sidecars fail, whichever member they come to.
    pub(crate) fn fail_everywhere(&self, times: u64, data: &Document) {
        let times = i64::try_from(times).expect("a small number");
        let mut data = data.clone();
        data.insert("appName", "gridspool");
        let command = doc! {
            "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data,
        };
        for place in 0..self.members.len() {
            self.ask(place, command.clone()).expect("a fault");
        }
    }

    /// Ends every fault of this kind.
    pub(crate) fn heal_everywhere(&self) {
        for place in 0..self.members.len() {
            let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
            self.ask(place, command).expect("an end of a fault");
        }
    }

    /// How many chunks there are of each id.
    pub(crate) fn chunk_counts(&self) -> BTreeMap<ObjectId, u64> {
        let group = doc! { "$group": { "_id": "$files_id", "chunks": { "$sum": 1_i64 } } };
        self.block_on(async {
            let mut counts = BTreeMap::new();
            let mut cursor = self.chunks().aggregate([group]).await.expect("a cursor");
            while cursor.advance().await.expect("a count") {
                let found: Document = cursor.deserialize_current().expect("a count");
                let id = found.get_object_id("_id").expect("one of ours");
                let chunks = found.get_i64("chunks").expect("a count");
                counts.insert(id, u64::try_from(chunks).expect("a small number"));
            }
            counts
        })
    }

    /// Has it write all that it has to its files, until a member ends by itself; whether one has
    /// within this time.
    fn ends_by_checkpoints(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time {
            for place in 0..self.members.len() {
                // It may end before it answers.
                let answer = self.ask(place, doc! { "fsync": 1 });
                answer.map(drop).unwrap_or_default();
                let process = self.members[place].process.as_mut();
                if process
                    .expect("a mongod")
                    .ends_within(Duration::from_millis(500))
                {
                    return true;
                }
            }
        }
        false
    }

    fn restart_all(&mut self) {
        for place in 0..self.members.len() {
            self.kill_member(place);
        }
        for place in 0..self.members.len() {
            self.restart_member(place);
        }
    }
}
