//! The options of the command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::fault_named;
use crate::faults::Fault;
use crate::load::Mix;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) cycles: u32,
    /// Faults between two checks of everything.
    pub(crate) look_after: NonZeroU32,
    /// The time after which it ends with the next check.
    pub(crate) most: Duration,
    pub(crate) seed: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) mix: Mix,
    /// The nodes of the cluster.
    pub(crate) nodes: u16,
    /// Members of MongoDB's replica set.
    pub(crate) replicas: usize,
    /// The file system that is cut.
    pub(crate) file_system: String,
    /// The sidecar under proof, if it is not this checkout's.
    pub(crate) sidecar: Option<PathBuf>,
    /// A build of this checkout's sidecar that can be killed at named points.
    pub(crate) with_points: Option<PathBuf>,
    /// Whether it goes on after a violation.
    pub(crate) goes_on: bool,
}

impl Options {
    /// Reads the command line; `None` if it is wrong. scripts/prove has checked it before, and
    /// explains it.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut options = Self {
            cycles: 20,
            look_after: NonZeroU32::new(4)?,
            most: Duration::MAX,
            seed: u64::from(now.ok()?.subsec_nanos()),
            faults: Fault::ALL.to_vec(),
            mix: Mix::All,
            nodes: 1,
            replicas: 1,
            file_system: "ext4".to_owned(),
            sidecar: None,
            with_points: None,
            goes_on: false,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--cycles" => options.cycles = words.next()?.parse().ok()?,
                "--look-after" => options.look_after = words.next()?.parse().ok()?,
                "--minutes" => {
                    let minutes: u32 = words.next()?.parse().ok()?;
                    options.most = Duration::from_mins(minutes.into());
                }
                "--seed" => options.seed = words.next()?.parse().ok()?,
                "--faults" => {
                    let names = words.next()?;
                    options.faults = names.split(',').map(fault_named).collect::<Option<_>>()?;
                }
                "--load" => options.mix = Mix::named(&words.next()?)?,
                "--nodes" => options.nodes = words.next()?.parse().ok()?,
                "--replicas" => options.replicas = words.next()?.parse().ok()?,
                "--file-system" => options.file_system = words.next()?,
                "--sidecar" => options.sidecar = Some(words.next()?.into()),
                "--with-points" => options.with_points = Some(words.next()?.into()),
                "--go-on" => options.goes_on = true,
                _ => return None,
            }
        }
        options
            .faults
            .retain(|fault| options.nodes > 1 || !fault.is_of_a_cluster());
        Some(options)
    }
}
