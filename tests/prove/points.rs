//! Kills at each of the points that the journal's code names. The sidecar comes from a build with
//! these points, and gets the name of the one that kills it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::{Site, points};

use crate::faults::pause;
use crate::random::Random;

/// How long it may take until the sidecar passes a point.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(crate) struct Points {
    /// The build with the points.
    program: PathBuf,
    names: Vec<String>,
    next: usize,
    reached: BTreeSet<String>,
}

impl Points {
    /// All points in the sources, except those that this run does not come by. The seed determines the first
    /// one.
    pub(crate) fn new(program: &Path, seed: u64, nodes: u16) -> Self {
        // A damaged disk leads to the first ones, a dead node to the second ones, and the load has no forms in
        // pieces. Links are undone only after a cut or a race within a message, and few whole files come after some of
        // their pieces: a run meets these by chance.
        let mut absent = vec![
            "set-aside.",
            "rescue.",
            "intent.overtaken",
            "intent.undone",
            "whole.promised",
        ];
        if nodes == 1 {
            absent.push("vote.");
        }
        let mut names = points();
        names.retain(|name| !absent.iter().any(|absent| name.starts_with(absent)));
        Self {
            program: program.to_owned(),
            next: usize::try_from(seed % 1000).expect("a small number"),
            names,
            reached: BTreeSet::new(),
        }
    }

    /// Lets the next point kill the sidecar, and starts it again. `Err` names the point that it did not
    /// pass.
    pub(crate) fn strike(&mut self, site: &mut Site, random: &mut Random) -> Result<(), String> {
        let name = self.names[self.next % self.names.len()].clone();
        self.next += 1;
        // Other points are passed once per start, or rarely.
        let is_frequent = ["adopt.", "form.", "wal.group"]
            .iter()
            .any(|part| name.starts_with(part));
        let count = if is_frequent { 1 + random.below(4) } else { 1 };
        eprintln!("prove: the point {name}, number {count}");
        site.kill_sidecar();
        if name == "sweep.orphan-unlinked" {
            // A killed nginx leaves this file.
            std::fs::write(site.data_dir().join("spool/left"), "half").expect("a file");
        }
        let mut before = None;
        site.reconfigure(|mut builder| {
            before = builder.program.replace(self.program.clone());
            builder.set("failpoint", format!("{name}={count}"))
        });
        site.spawn_sidecar();
        let is_reached = site.ends_within(PATIENCE);
        site.kill_sidecar();
        site.reconfigure(|mut builder| {
            builder.program = before;
            builder.set("failpoint", "")
        });
        pause(random, 20);
        site.start_sidecar();
        if is_reached {
            self.reached.insert(name);
            Ok(())
        } else {
            Err(format!("the sidecar did not come by {name}"))
        }
    }

    pub(crate) fn line(&self) -> String {
        let (reached, all) = (self.reached.len(), self.names.len());
        format!("killed at {reached} of {all} points")
    }
}
