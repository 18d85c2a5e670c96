//! The faults of the servers, and how each is undone.

use std::thread::sleep;
use std::time::Duration;

use kit::wait_until;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Clock;
use crate::load::below;
use crate::mongo::MongoFault;
use crate::other_format;
use crate::random::Random;
use crate::stage::Servers;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The sidecar is killed.
    Kill,
    /// The sidecar is killed at a point that the journal names, one after another.
    Point,
    /// The power of the journal's disk is cut, which also ends nginx and the sidecar.
    Power,
    /// MongoDB gets a fault.
    Mongo(MongoFault),
    /// A worker of nginx is killed.
    NginxWorker,
    /// All of nginx is killed.
    NginxKill,
    /// nginx reads its configuration anew.
    NginxReload,
    /// nginx starts its successor and ends.
    NginxUpgrade,
    /// The disk is full for a while.
    DiskFull,
    /// The disk has no inodes for a while.
    NoInodes,
    /// The wall clock of the sidecar jumps, and jumps back.
    Clock,
    /// The journal seems to have an unknown format: the start is refused.
    OtherFormat,
    /// nginx and sidecar of a node stand still for a while.
    Freeze,
    /// nginx and sidecar of a node are killed, and away for a while.
    Away,
    /// A node cannot reach some others for a while, though clients and MongoDB reach all of them.
    Partition,
}

impl Fault {
    pub(crate) const ALL: [Self; 22] = [
        Self::Kill,
        Self::Point,
        Self::Power,
        Self::Mongo(MongoFault::Kill),
        Self::Mongo(MongoFault::Freeze),
        Self::Mongo(MongoFault::StepDown),
        Self::Mongo(MongoFault::Close),
        Self::Mongo(MongoFault::LostAnswer),
        Self::Mongo(MongoFault::Refuse),
        Self::Mongo(MongoFault::Block),
        Self::Mongo(MongoFault::Full),
        Self::NginxWorker,
        Self::NginxKill,
        Self::NginxReload,
        Self::NginxUpgrade,
        Self::DiskFull,
        Self::NoInodes,
        Self::Clock,
        Self::OtherFormat,
        Self::Freeze,
        Self::Away,
        Self::Partition,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Point => "point",
            Self::Power => "power",
            Self::Mongo(fault) => fault.name(),
            Self::NginxWorker => "nginx-worker",
            Self::NginxKill => "nginx-kill",
            Self::NginxReload => "nginx-reload",
            Self::NginxUpgrade => "nginx-upgrade",
            Self::DiskFull => "disk-full",
            Self::NoInodes => "no-inodes",
            Self::Clock => "clock",
            Self::OtherFormat => "other-format",
            Self::Freeze => "freeze",
            Self::Away => "away",
            Self::Partition => "partition",
        }
    }

    /// Returns whether no client may notice the fault: uploads go on without MongoDB, during a
    /// reload and an upgrade, and with any wall clock.
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
                | Self::OtherFormat
                | Self::Freeze
                | Self::Away
                | Self::Partition
        )
    }

    /// Returns whether it needs other nodes that go on.
    pub(crate) fn is_of_a_cluster(self) -> bool {
        matches!(self, Self::Freeze | Self::Away | Self::Partition)
    }

    /// Makes the fault of any node and undoes it, while clients go on. `Err` names the step that failed.
    pub(crate) fn strike(self, servers: &mut Servers, random: &mut Random) -> Result<(), String> {
        let place = below(random, servers.cluster.nodes.len());
        let Servers {
            cluster,
            mongo,
            grounds,
            mongo_ground,
            points,
            clocks,
            wires,
        } = servers;
        let (site, ground) = (&mut cluster.nodes[place], &grounds[place]);
        let clock = &clocks[place];
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
                // Some processes go on for a moment on a dead disk.
                pause(random, 20);
                site.kill_all();
                ground.restore();
                site.start_sidecar();
                site.start_nginx();
            }
            Self::Mongo(fault) => return fault.strike(mongo, mongo_ground, random),
            Self::NginxUpgrade => {
                let successor = site.start_nginx_successor();
                pause(random, 1_000);
                site.end_nginx_for(successor);
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
                    // The sidecar may stay poisoned.
                    site.stop_sidecar();
                    site.start_sidecar();
                }
                // The log first has to fill its reserve up; until then clients are asked to come later.
                wait_until("uploads are taken again", || {
                    site.client().get("/readyz").status == 200
                });
            }
            Self::Clock => {
                // As long as keys are remembered and longer, and back before the last start.
                clock.set(random.pick(&["+40d", "-3h", "+90s", "-10y"]));
                pause(random, 3_000);
                clock.set(Clock::RIGHT);
            }
            Self::OtherFormat => return other_format::strike(site),
            Self::Freeze => {
                site.freeze();
                pause(random, 8_000);
                site.thaw();
            }
            Self::Away => {
                site.kill_all();
                pause(random, 6_000);
                site.start_sidecar();
                site.start_nginx();
            }
            Self::Partition => wires.part(place, cluster.nodes.len(), random),
        }
        Ok(())
    }
}

/// Waits for a random time, so that the moment of a fault is random.
pub(crate) fn pause(random: &mut Random, most_millis: u64) {
    sleep(Duration::from_millis(random.below(most_millis)));
}

fn signal(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    // A worker may have gone.
    kill_process(id.expect("a process id"), signal).unwrap_or_default();
}
