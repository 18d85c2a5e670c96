//! Faults and contents of each member of a replica set.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use rustix::process::Signal;

use crate::{Host, Mongo};

impl Mongo {
    /// Starts a replica set of `members` members, with their files below a directory, and waits
    /// until one takes writes.
    pub fn start_below(directory: &Path, members: usize) -> Self {
        let hosts = vec![Host::default(); members];
        let mongo = Self::start_each(&hosts, directory, &["--replSet", "rs0"], "");
        mongo.initiate();
        mongo
    }

    pub fn signal(&self, place: usize, signal: Signal) {
        let process = self.members[place].process.as_ref();
        process.expect("a mongod").signal(signal);
    }

    /// Makes a member give up being primary for `seconds` seconds: to another member, once that one
    /// has all its data, or to nobody.
    pub fn step_down(&self, place: usize, seconds: u64) {
        let command = if self.members.len() == 1 {
            let seconds = i64::try_from(seconds).expect("a small number");
            doc! { "replSetStepDown": seconds, "force": true }
        } else {
            doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5, "force": true }
        };
        // The answer is lost if all connections are closed before it.
        self.ask(place, command).map(drop).unwrap_or_default();
    }

    /// Makes the next `times` commands of sidecars fail, on any member.
    pub fn fail_everywhere(&self, times: u64, data: &Document) {
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
    pub fn heal_everywhere(&self) {
        for place in 0..self.members.len() {
            let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
            self.ask(place, command).expect("an end of a fault");
        }
    }

    /// Returns how many chunks each id has.
    pub fn chunk_counts(&self) -> BTreeMap<ObjectId, u64> {
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

    /// Makes the members write all their data to their files, until a member ends by itself.
    /// Returns whether one has ended within this time.
    pub fn ends_by_checkpoints(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time {
            for place in 0..self.members.len() {
                // The member may end before it answers.
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

    pub fn restart_all(&mut self) {
        for place in 0..self.members.len() {
            self.kill_member(place);
        }
        for place in 0..self.members.len() {
            self.restart_member(place);
        }
    }
}
