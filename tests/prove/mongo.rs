//! Faults of MongoDB; if there are several members, of its primary.

use std::time::Duration;

use kit::Mongo;
use mongodb::bson::{Document, doc};
use rustix::process::Signal;

use crate::faults::pause;
use crate::ground::Ground;
use crate::random::Random;

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
    /// It carries out commands and answers with errors.
    LostAnswer,
    /// It refuses commands.
    Refuse,
    /// It is slow.
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

    /// Makes the fault and undoes it. `Err` names the step that failed.
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

    /// Returns the arguments of failCommand, for faults that it makes.
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
                // NotWritablePrimary, Interrupted, MaxTimeMSExpired, Unauthorized, and BadValue,
                // which makes the sidecar put entries off.
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
