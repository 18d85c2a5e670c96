//! All servers, side by side: gridspool, nginx alone, the plain way, and the MongoDB behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::disk::{self, Disk};
use crate::mongo::{DATABASE, Mongo, RIVALS};
use crate::nginx::Nginx;
use crate::options::Options;
use crate::other::Other;
use crate::process::{Process, eventually};
use crate::recipe::Recipe;
use crate::sampling::{Usage, Watch};
use crate::sidecar::{NO_MONGODB, Settings, Sidecar};
use crate::stats::Sample;

/// The argument that makes this program the plain server.
pub(crate) const PLAIN: &str = "plain-server";

/// All servers. The fields are dropped from the top down, so clients of MongoDB end before it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) options: Options,
    /// A second and a third node, for the rows that need them.
    pub(crate) others: [Other; 2],
    pub(crate) gridspool: Nginx,
    pub(crate) alone: Nginx,
    /// nginx alone, with body buffers of 16 KiB.
    pub(crate) small: Nginx,
    /// The nginx before the least server. It takes bodies in gridspool's way.
    pub(crate) before_least: Nginx,
    /// A cache before nginx alone.
    pub(crate) caching: Nginx,
    pub(crate) before_plain: Nginx,
    plain: Process,
    /// The usual way in Python, for the rows that need it.
    pub(crate) recipe: Option<Recipe>,
    pub(crate) sidecar: Sidecar,
    pub(crate) mongo: Mongo,
    pub(crate) disk: Disk,
    /// The directory in which nginx alone keeps files.
    pub(crate) files: PathBuf,
    /// The directory in which the least server keeps bodies.
    kept: PathBuf,
    pub(crate) sockets: PathBuf,
    caches: [PathBuf; 2],
}

impl Stage {
    /// Starts everything but the sidecar. Rows start that with their settings.
    pub(crate) fn set(options: Options) -> Self {
        let disk = Disk::prepare(&options);
        let sockets = disk::sockets();
        let mongo = Mongo::start(&disk.scratch);
        let data = disk.data.join("gridspool");
        let sidecar = Sidecar::prepare(&data, &sockets, &disk.scratch);
        let place = |name: &str| disk.scratch.join(name);
        let gridspool = Nginx::of_gridspool(&place("gridspool"), &data, &sidecar.socket, &[]);
        let other = |number| Other::prepare(number, &disk, &sockets, gridspool.address());
        let others = [2, 3].map(other);
        let kept = disk.data.join("least");
        for room in ["spool", "body", "tmp", "incoming"] {
            fs::create_dir_all(kept.join(room)).expect("a directory");
        }
        let [files, temp, small, plain] = ["alone/files", "alone/temp", "small/files", "plain"]
            .map(|name| {
                let path = disk.data.join(name);
                fs::create_dir_all(&path).expect("a directory");
                path
            });
        assert!(temp.exists() && small.exists());
        let alone = Nginx::alone(&place("alone"), &gridspool, &disk.data.join("alone"), None);
        let small = disk.data.join("small");
        let small = Nginx::alone(&place("small"), &gridspool, &small, Some("16k"));
        let cache = data.join("cache");
        let second_cache = disk.data.join("caching");
        let caching = Nginx::caching(&place("caching"), &gridspool, &second_cache, &alone);
        let socket = sockets.join("plain.sock");
        let before_least = Nginx::before_least(&place("before-least"), &gridspool, &kept, &socket);
        let before_plain = Nginx::before_plain(&place("plain"), &gridspool, &plain, &[&socket]);
        let program = std::env::current_exe().expect("this program");
        let server = Process::spawn(Command::new(program).arg(PLAIN).arg(&socket).args([
            mongo.uri().as_str(),
            RIVALS,
            DATABASE,
        ]));
        eventually("the plain server answers", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        Self {
            options,
            others,
            gridspool,
            alone,
            small,
            before_least,
            caching,
            before_plain,
            plain: server,
            recipe: None,
            sidecar,
            mongo,
            disk,
            files,
            kept,
            sockets,
            caches: [cache, second_cache],
        }
    }

    /// Starts the sidecar with an empty journal.
    ///
    /// # Errors
    /// A text, if the sidecar does not know a setting.
    pub(crate) fn begin(&mut self, uri: &str, settings: &Settings) -> Result<(), String> {
        self.end();
        self.sidecar.start(uri, settings)
    }

    /// Ends the sidecar and deletes its uploads. MongoDB keeps the committed ones.
    pub(crate) fn end(&mut self) {
        self.sidecar.stop();
        self.sidecar.forget();
        self.disk.settle();
    }

    /// Begins, does `act`, and ends. If `uri` names a MongoDB, it waits until the sidecar sees
    /// that, and empties the database at the end.
    ///
    /// # Errors
    /// The errors of [`Stage::begin`] and of `act`.
    pub(crate) fn with_sidecar(
        &mut self,
        uri: &str,
        settings: &Settings,
        act: impl FnOnce(&mut Self) -> Result<Sample, String>,
    ) -> Result<Sample, String> {
        let is_there = uri != NO_MONGODB;
        self.begin(uri, settings)?;
        if is_there {
            self.sidecar.wait_until_up();
        }
        let sample = act(self);
        self.end();
        if is_there {
            self.mongo.forget(DATABASE);
        }
        sample
    }

    /// Deletes the files that the least server has kept.
    pub(crate) fn forget_kept(&self) {
        for name in ["body", "incoming"] {
            disk::empty(&self.kept.join(name));
        }
        self.disk.settle();
    }

    /// Empties the caches of gridspool's nginx and of the caching one.
    pub(crate) fn empty_cache(&mut self) {
        for (nginx, cache) in [&mut self.gridspool, &mut self.caching]
            .into_iter()
            .zip(&self.caches)
        {
            nginx.stop();
            disk::empty(cache);
            nginx.restart();
        }
    }

    /// Measures `act`, and adds the use of all processes to its sample.
    ///
    /// # Errors
    /// The errors of `act`.
    pub(crate) fn measure(
        &self,
        act: impl FnOnce() -> Result<Sample, String>,
    ) -> Result<Sample, String> {
        let watch = self.watch();
        let before = self.disk.written_mib();
        let mut sample = act()?;
        sample.set("disk_mib", self.disk.written_mib() - before);
        sample.usage = used(&watch);
        Ok(sample)
    }

    /// Begins to watch all processes.
    pub(crate) fn watch(&self) -> Watch {
        let recipe = self.recipe.as_ref();
        let ids = |read: fn(&Recipe) -> Vec<u32>| recipe.map(read).unwrap_or_default();
        let of_others = |ids: fn(&Other) -> Vec<u32>| self.others.iter().flat_map(ids).collect();
        Watch::start(&[
            ("nginx", self.gridspool.ids()),
            ("sidecar", self.sidecar.ids()),
            ("nginx-others", of_others(|other| other.nginx.ids())),
            ("sidecar-others", of_others(|other| other.sidecar.ids())),
            ("mongod", self.mongo.ids()),
            ("nginx-alone", self.alone.ids()),
            ("nginx-16k", self.small.ids()),
            ("nginx-least", self.before_least.ids()),
            ("nginx-caching", self.caching.ids()),
            ("nginx-plain", self.before_plain.ids()),
            ("plain", vec![self.plain.id()]),
            ("nginx-recipe", ids(|recipe| recipe.nginx.ids())),
            ("recipe", ids(Recipe::ids)),
            ("client", vec![std::process::id()]),
        ])
    }
}

/// Returns the use of the processes that used any CPU time.
pub(crate) fn used(watch: &Watch) -> BTreeMap<String, Usage> {
    let mut all = watch.finish();
    all.retain(|_, usage| usage.cpu_seconds > 0.0);
    all
}
