//! What is done to the servers, and how it is undone.

use std::thread::sleep;
use std::time::Duration;

use mongodb::bson::doc;
use rustix::process::{Pid, Signal, kill_process};

use crate::random::Random;
use crate::stage::Servers;
use crate::support::wait_until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The sidecar is killed.
    Kill,
    /// The sidecar is killed at a point that the journal names, one after another.
    Point,
    /// The power of the journal's disk is cut, and with it nginx and sidecar end.
    Power,
    /// mongod is killed.
    MongoKill,
    /// mongod stands still for a while.
    MongoFreeze,
    /// mongod gives up being primary for a while.
    MongoStepDown,
    /// mongod closes connections.
    MongoClose,
    /// mongod does what it is asked to and answers with an error.
    MongoLostAnswer,
    /// mongod refuses commands.
    MongoRefuse,
    /// mongod takes its time.
    MongoBlock,
    /// A worker of nginx is killed.
    NginxWorker,
    /// All of nginx is killed.
    NginxKill,
    /// nginx reads its configuration anew.
    NginxReload,
    /// The disk is full for a while.
    DiskFull,
    /// The disk has no inodes for a while.
    NoInodes,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::Kill,
        Self::Point,
        Self::Power,
        Self::MongoKill,
        Self::MongoFreeze,
        Self::MongoStepDown,
        Self::MongoClose,
        Self::MongoLostAnswer,
        Self::MongoRefuse,
        Self::MongoBlock,
        Self::NginxWorker,
        Self::NginxKill,
        Self::NginxReload,
        Self::DiskFull,
        Self::NoInodes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Point => "point",
            Self::Power => "power",
            Self::MongoKill => "mongo-kill",
            Self::MongoFreeze => "mongo-freeze",
            Self::MongoStepDown => "mongo-step-down",
            Self::MongoClose => "mongo-close",
            Self::MongoLostAnswer => "mongo-lost-answer",
            Self::MongoRefuse => "mongo-refuse",
            Self::MongoBlock => "mongo-block",
            Self::NginxWorker => "nginx-worker",
            Self::NginxKill => "nginx-kill",
            Self::NginxReload => "nginx-reload",
            Self::DiskFull => "disk-full",
            Self::NoInodes => "no-inodes",
        }
    }

    /// Whether no client may notice it: uploads go on without MongoDB, and through a reload.
    pub(crate) fn is_harmless(self) -> bool {
        !matches!(
            self,
            Self::Kill
                | Self::Point
                | Self::Power
                | Self::NginxWorker
                | Self::NginxKill
                | Self::DiskFull
                | Self::NoInodes
        )
    }

    /// Does it, and undoes it. Clients go on meanwhile. `Err` tells what it could not do.
    pub(crate) fn strike(self, servers: &mut Servers, random: &mut Random) -> Result<(), String> {
        let Servers {
            site,
            mongo,
            ground,
            points,
        } = servers;
        match self {
            Self::Kill => {
                site.kill_sidecar();
                site.start_sidecar();
            }
            Self::Point => {
                let points = points.as_mut().expect("a build that has points");
                return points.strike(site, random);
            }
            Self::Power => {
                ground.cut();
                // Some go on for a moment on a dead disk.
                pause(random, 20);
                site.kill_all();
                ground.restore();
                site.start_sidecar();
                site.start_nginx();
            }
            Self::MongoKill => {
                mongo.kill();
                pause(random, 2_000);
                mongo.restart();
                mongo.wait_for_primary();
            }
            Self::MongoFreeze => {
                mongo.freeze();
                pause(random, 4_000);
                mongo.thaw();
            }
            Self::MongoStepDown => {
                // The answer may be a connection that is closed.
                mongo.step_down(1 + random.below(2));
                mongo.wait_for_primary();
            }
            Self::MongoClose => {
                let fault = doc! { "failCommands": COMMANDS.as_slice(), "closeConnection": true };
                mongo.fail_sidecars(times(random), fault);
                pause(random, 1_000);
                mongo.heal();
            }
            Self::MongoLostAnswer => {
                let collection = random.pick(&["gridspool.fs.files", "gridspool.fs.chunks"]);
                let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
                let fault = doc! {
                    "failCommands": ["insert"], "namespace": collection, "writeConcernError": error,
                };
                mongo.fail_sidecars(times(random), fault);
                pause(random, 1_000);
                mongo.heal();
            }
            Self::MongoRefuse => {
                // NotWritablePrimary, Interrupted, MaxTimeMSExpired, Unauthorized.
                let code = random.pick(&[10107, 11601, 50, 13]);
                let fault = doc! { "failCommands": COMMANDS.as_slice(), "errorCode": code };
                mongo.fail_sidecars(times(random), fault);
                pause(random, 1_000);
                mongo.heal();
            }
            Self::MongoBlock => {
                let millis = i32::try_from(random.below(3_000)).expect("a small number");
                let fault = doc! {
                    "failCommands": COMMANDS.as_slice(), "blockConnection": true, "blockTimeMS": millis,
                };
                mongo.fail_sidecars(times(random), fault);
                pause(random, 1_000);
                mongo.heal();
            }
            Self::NginxWorker => {
                let workers = site.nginx_workers();
                signal(random.pick(&workers), Signal::KILL);
            }
            Self::NginxKill => {
                site.kill_nginx();
                site.start_nginx();
            }
            Self::NginxReload => {
                let before = site.nginx_workers();
                signal(site.nginx_id(), Signal::HUP);
                wait_until("nginx has new workers", || {
                    site.nginx_workers().iter().any(|id| !before.contains(id))
                });
            }
            Self::DiskFull | Self::NoInodes => {
                if self == Self::DiskFull {
                    ground.fill();
                } else {
                    ground.fill_inodes();
                }
                pause(random, 500);
                ground.make_room();
                if !site.status()["journal"]["poison"].is_null() {
                    // It may refuse to believe in the disk again.
                    site.stop_sidecar();
                    site.start_sidecar();
                }
            }
        }
        Ok(())
    }
}

const COMMANDS: [&str; 4] = ["insert", "find", "aggregate", "createIndexes"];

/// How often a command fails.
fn times(random: &mut Random) -> mongodb::bson::Document {
    doc! { "times": i32::try_from(1 + random.below(6)).expect("a small number") }
}

/// The moment at which something happens is not to be known.
pub(crate) fn pause(random: &mut Random, most_millis: u64) {
    sleep(Duration::from_millis(random.below(most_millis)));
}

fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    // A worker may have gone.
    kill_process(id.expect("a process id"), signal).unwrap_or_default();
}
