//! A replica set of three members.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::error::Error;

use crate::{Mongo, eventually};

/// Three mongods that elect a primary within seconds.
#[derive(Debug)]
pub struct ReplicaSet {
    pub members: Vec<Mongo>,
}

impl ReplicaSet {
    /// Starts the members, and waits until they have a primary and all have its data.
    pub fn start() -> Self {
        let start = |_| Mongo::start_with(&["--replSet", "rs0"]);
        let members: Vec<_> = (0..3).map(start).collect();
        let list = (0..).zip(&members).map(|(id, member)| {
            let host = member.address();
            doc! { "_id": id, "host": host }
        });
        let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 };
        let members_list: Vec<_> = list.collect();
        members[0].admin(doc! { "replSetInitiate": {
            "_id": "rs0", "members": members_list, "settings": settings,
        }});
        let set = Self { members };
        set.primary();
        eventually("all are members", || {
            let states: Vec<_> = set.members.iter().map(Mongo::state).collect();
            states
                .iter()
                .all(|state| matches!(state, Some(1 | 2)))
                .then_some(())
        });
        set
    }

    /// The connection string of all members.
    pub fn uri(&self) -> String {
        let addresses: Vec<_> = self.members.iter().map(Mongo::address).collect();
        format!("mongodb://{}/?replicaSet=rs0", addresses.join(","))
    }

    /// Waits for a primary; returns its place among the members. A member that was frozen still
    /// takes itself for the primary for a while: of two, this returns the one that was elected
    /// last.
    pub fn primary(&self) -> usize {
        eventually("a primary", || {
            let elections = self.members.iter().map(Mongo::election).enumerate();
            let elected = elections.filter_map(|(place, election)| Some((election?, place)));
            elected.max().map(|(_, place)| place)
        })
    }

    /// The places of the other two.
    pub fn secondaries(&self) -> [usize; 2] {
        let primary = self.primary();
        [(primary + 1) % 3, (primary + 2) % 3]
    }

    /// Waits until a member has all that the primary has, and can be read from.
    pub fn wait_until_even(&self, place: usize) {
        eventually("a member has caught up", || {
            let primary = self.members[self.primary()].applied()?;
            (self.members[place].applied()? >= primary).then_some(())
        });
    }
}

impl Mongo {
    /// Returns the number of a member's state (1 for the primary, 2 for a secondary), if it
    /// answers.
    pub fn state(&self) -> Option<i32> {
        let status: Result<Document, Error> = self.try_admin(doc! { "replSetGetStatus": 1 });
        status.ok()?.get_i32("myState").ok()
    }

    /// Returns the election in which a member became the primary, as long as it says that it is.
    fn election(&self) -> Option<ObjectId> {
        let hello = self.try_admin(doc! { "hello": 1 }).ok()?;
        let is_primary = hello.get_bool("isWritablePrimary").ok()?;
        is_primary.then_some(hello.get_object_id("electionId").ok()?)
    }

    /// Returns the term and time up to which a member has applied writes. A member that cannot be
    /// read from returns nothing, because it takes back writes that nobody else has.
    fn applied(&self) -> Option<(i64, Timestamp)> {
        let status = self.try_admin(doc! { "replSetGetStatus": 1 }).ok()?;
        if !matches!(status.get_i32("myState"), Ok(1 | 2)) {
            return None;
        }
        let times = status.get_document("optimes").ok()?;
        let applied = times.get_document("appliedOpTime").ok()?;
        Some((
            applied.get_i64("t").ok()?,
            applied.get_timestamp("ts").ok()?,
        ))
    }

    /// Keeps a secondary from applying new writes, or lets it go on.
    pub fn hold_back(&self, is_held: bool) {
        let mode = if is_held { "alwaysOn" } else { "off" };
        self.admin(doc! { "configureFailPoint": "rsSyncApplyStop", "mode": mode });
    }

    /// Returns how many reads of chunks a member got since its start.
    pub fn chunk_reads(&self) -> i64 {
        let top = self.admin(doc! { "top": 1 });
        let totals = top.get_document("totals").expect("totals");
        let Ok(chunks) = totals.get_document("gridspool.fs.chunks") else {
            return 0;
        };
        let queries = chunks.get_document("queries").expect("queries");
        let count = queries.get("count").expect("a count");
        count
            .as_i64()
            .or(count.as_i32().map(i64::from))
            .expect("a count")
    }
}
