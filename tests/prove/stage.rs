//! The servers of a run, and one round: load, faults, and then a check of everything.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kit::{Builder, Cluster, Mongo, Site, wait_until};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::faults::{Fault, pause};
use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::load::{Load, Mix};
use crate::messages::{Follower, RECEIVERS};
use crate::options::Options;
use crate::points::Points;
use crate::random::Random;
use crate::scene::Scene;
use crate::tally::Tally;
use crate::verify;
use crate::wires::Wires;

/// Clients at once.
const CLIENTS: u64 = 8;

/// The most promises before a fault, and the promises during it after which clients rest.
const MOST_PROMISES: u64 = 60;
const ENOUGH_MORE: usize = 60;

/// The most answers about uploads in pieces before a fault, if there are no other requests.
const MOST_ANSWERS: u64 = 8;

/// The servers, in the order in which they end.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) cluster: Cluster,
    pub(crate) mongo: Mongo,
    /// The file system of each node's journal, spool and cache.
    pub(crate) grounds: Vec<Ground>,
    /// The file system of mongod's files.
    pub(crate) mongo_ground: Ground,
    pub(crate) points: Option<Points>,
    /// The clock of each sidecar, if faults move it.
    pub(crate) clocks: Vec<Clock>,
    pub(crate) wires: Wires,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) servers: Servers,
    pub(crate) tally: Tally,
    pub(crate) ledger: Ledger,
    /// A follower of each list, over all rounds.
    followers: Vec<Follower>,
    next_key: AtomicU64,
    /// The faults that must come before any fault comes again.
    bag: Vec<Fault>,
    _scratch: TempDir,
}

/// Ends the clients at every end of a round.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Stage {
    pub(crate) fn set(options: &Options) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let places: Vec<_> = (1..=options.nodes)
            .map(|node| scratch.path().join(format!("node-{node}")))
            .collect();
        let grounds: Vec<_> = places
            .iter()
            .map(|place| Ground::make(&options.file_system, 4 << 30, place))
            .collect();
        let mongo_ground = Ground::make("ext4", 16 << 30, &scratch.path().join("mongod"));
        let mongo = Mongo::start_below(&mongo_ground.root(), options.replicas);
        let clocks: Vec<_> = places.iter().map(|place| Clock::new(place)).collect();
        let builder = |node: u16| {
            let place = usize::from(node) - 1;
            builder(options, &grounds[place].data(), &clocks[place])
        };
        let mut wires = Wires::default();
        let way = |from, to, site: &Site| wires.lay(from, to, site.port());
        let mut cluster = Cluster::start_with(options.nodes, builder, &mongo, way);
        // The cache may grow to 4 GB, and would come to have more files than the disk has inodes. A
        // restarted nginx knows the earlier files only after a minute: see `round`.
        for site in &mut cluster.nodes {
            site.change_nginx(&[("gridspool.conf", "inactive=24h", "inactive=15s")]);
        }
        for ground in &grounds {
            ground.sync();
        }
        let ledger = Ledger::create(&scratch.path().join("ledger"));
        let scene = Scene {
            disks: grounds.iter().map(Ground::data).collect(),
            logs: cluster.nodes.iter().map(Site::run_dir).collect(),
        };
        Self {
            servers: Servers {
                cluster,
                mongo,
                grounds,
                mongo_ground,
                points: options
                    .with_points
                    .as_deref()
                    .map(|program| Points::new(program, options.seed, options.nodes)),
                clocks,
                wires,
            },
            tally: Tally::at(scene),
            ledger,
            followers: (0..RECEIVERS).map(Follower::of).collect(),
            next_key: AtomicU64::new(1),
            bag: Vec::new(),
            _scratch: scratch,
        }
    }

    /// Makes some faults under load, and then checks everything.
    pub(crate) fn round(&mut self, options: &Options, random: &mut Random, faults: u32) {
        let (is_over, calm) = (AtomicBool::new(false), AtomicU64::new(0));
        let enough = AtomicUsize::new(usize::MAX);
        let Self {
            servers,
            tally,
            ledger,
            followers,
            next_key,
            bag,
            ..
        } = self;
        let mix = options.mix;
        let load = Load {
            mix,
            ledger,
            tally,
            ports: &servers
                .cluster
                .nodes
                .iter()
                .map(Site::port)
                .collect::<Vec<_>>(),
            is_over: &is_over,
            calm: &calm,
            next_key,
            enough: &enough,
        };
        std::thread::scope(|scope| {
            let end = End(&is_over);
            for _ in 0..CLIENTS {
                let (load, seed) = (&load, random.next());
                scope.spawn(move || load.run(seed));
            }
            for follower in &mut *followers {
                let load = &load;
                scope.spawn(move || follower.follow(load));
            }
            for _ in 0..faults {
                let fault = drawn(bag, options, random);
                let most = match mix {
                    Mix::All => MOST_PROMISES,
                    Mix::Pieces => MOST_ANSWERS,
                };
                let more = usize::try_from(1 + random.below(most)).expect("a small number");
                let wanted = tally.answers(mix) + more;
                let promises = tally.promises.load(Ordering::Relaxed);
                enough.store(promises + more + ENOUGH_MORE, Ordering::Relaxed);
                wait_until("uploads are answered", || tally.answers(mix) >= wanted);
                pause(random, 30);
                // Odd while a fault is active that clients may notice.
                let noticeable = u64::from(!fault.is_harmless());
                calm.fetch_add(noticeable, Ordering::SeqCst);
                eprintln!("prove: {}", fault.name());
                if let Err(what) = fault.strike(servers, random) {
                    tally.violate(&what);
                }
                servers.cluster.wait_until_met();
                calm.fetch_add(noticeable, Ordering::SeqCst);
                tally.count(fault);
            }
            drop(end);
        });
        verify::everything(servers, ledger, followers, tally, options.goes_on);
        // No request runs. nginx never removes spool files that it has forgotten.
        for site in &servers.cluster.nodes {
            let cache = site.data_dir().join("cache");
            for part in std::fs::read_dir(cache).expect("nginx's cache") {
                std::fs::remove_dir_all(part.expect("a part of it").path()).expect("to empty it");
            }
        }
    }
}

/// Draws the next fault. All faults come equally often.
fn drawn(bag: &mut Vec<Fault>, options: &Options, random: &mut Random) -> Fault {
    if bag.is_empty() {
        bag.extend_from_slice(&options.faults);
    }
    let count = u64::try_from(bag.len()).expect("a small number");
    let which = usize::try_from(random.below(count)).expect("a small number");
    bag.swap_remove(which)
}

/// Returns a node that recovers from everything soon.
fn builder(options: &Options, data: &Path, clock: &Clock) -> Builder {
    // MongoDB may be slow on a busy machine even without faults.
    let is_mongo = |fault: &Fault| matches!(fault, Fault::Mongo(_));
    let mongodb_timeout_ms = if options.faults.iter().any(is_mongo) {
        3_000
    } else {
        20_000
    };
    let site = Builder::default()
        .data_in(data)
        .nginx_daemon()
        .set("settled_grace_seconds", 1)
        .set("spool_orphan_seconds", 2)
        .set("retry_first_ms", 50)
        .set("retry_max_ms", 1_000)
        .set("commit_attempts", 1_000)
        .set("mongodb_timeout_ms", mongodb_timeout_ms)
        // Uploads meet the end of the disk, and not a watermark before it.
        .set("min_free_bytes", 0)
        .set("min_free_inodes", 0)
        .set("log", "info,mongodb=error,actix_server=warn");
    let site = if options.faults.contains(&Fault::Clock) {
        let wrapper = clock.wrapper();
        site.wrap(&wrapper.iter().map(String::as_str).collect::<Vec<_>>())
    } else {
        site
    };
    match &options.sidecar {
        Some(program) => site.program(program),
        None => site,
    }
}
