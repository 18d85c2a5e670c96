//! The counts of a run, and its violations.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::faults::Fault;
use crate::ledger::Ledger;
use crate::load::Mix;
use crate::pieces::Pieces;
use crate::scene::Scene;
use crate::whole::Complete;

/// The counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    scene: Scene,
    pub(crate) uploads: AtomicU64,
    pub(crate) promises: AtomicUsize,
    pub(crate) unanswered: AtomicU64,
    /// Uploads that were running when a fault came, and were not promised.
    pub(crate) cut: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) deletes: AtomicU64,
    /// Uploads that were repeated under their key after their promise.
    pub(crate) repeats: AtomicU64,
    pub(crate) verified: AtomicU64,
    /// Appends that were answered, to uploads in pieces.
    pub(crate) appends: AtomicU64,
    /// Answers that told the offset of an upload in pieces.
    pub(crate) told: AtomicUsize,
    /// Appends whose client hung up within the body.
    pub(crate) hung_up: AtomicU64,
    /// Uploads whose client did not wait for the answer.
    pub(crate) left: AtomicU64,
    /// Files that were made of partial uploads.
    pub(crate) joined: AtomicU64,
    /// Uploads in pieces that became files.
    pub(crate) completed: AtomicU64,
    /// Uploads in pieces that became the files of a form, or a message.
    pub(crate) made: AtomicU64,
    /// Readers of uploads that were still coming.
    pub(crate) live: AtomicU64,
    /// Whole files under a key that broke off, and were found again by it.
    pub(crate) found: AtomicU64,
    /// Uploads in pieces that clients ended.
    pub(crate) ended: AtomicU64,
    /// The longest time in seconds until journal and spool were empty after all faults.
    pub(crate) longest_drain: AtomicU64,
    /// Ids without a file that were cleared away: a cut or a delete had left their chunks.
    pub(crate) orphans: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u32>>,
    violations: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn at(scene: Scene) -> Self {
        Self {
            scene,
            ..Self::default()
        }
    }

    pub(crate) fn count(&self, fault: Fault) {
        let mut faults = self.faults.lock().expect("the faults");
        *faults.entry(fault.name()).or_default() += 1;
    }

    /// Records a violation. The first one also shows the state of the machine.
    pub(crate) fn violate(&self, what: &str) {
        eprintln!("prove: VIOLATION: {what}");
        let mut violations = self.violations.lock().expect("the violations");
        violations.push(what.to_owned());
        if violations.len() == 1 {
            eprintln!("{}", self.scene.text());
        }
    }

    pub(crate) fn violations(&self) -> usize {
        self.violations.lock().expect("the violations").len()
    }

    /// Takes in that an upload in pieces was promised, and returns its files.
    pub(crate) fn complete(&self, ledger: &Ledger, pieces: &Pieces) -> Vec<Complete> {
        let files = ledger.promise(pieces);
        let promises = files.len().max(pieces.made.len());
        self.promises.fetch_add(promises, Ordering::Relaxed);
        let count = if pieces.whole.is_made() {
            &self.made
        } else {
            &self.completed
        };
        count.fetch_add(1, Ordering::Relaxed);
        files
    }

    /// The answers after which the next fault is due.
    pub(crate) fn answers(&self, mix: Mix) -> usize {
        let promises = self.promises.load(Ordering::Relaxed);
        match mix {
            Mix::All => promises,
            Mix::Pieces => promises + self.told.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn line(&self) -> String {
        let [uploads, unanswered, left, reads, deletes, repeats, verified] = [
            &self.uploads,
            &self.unanswered,
            &self.left,
            &self.reads,
            &self.deletes,
            &self.repeats,
            &self.verified,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        format!(
            "{uploads} uploads, {} files promised, {unanswered} uploads refused or unanswered, {left} answers not waited for, \
             {reads} reads and {deletes} deletes under load, {repeats} sent again, \
             {verified} files verified, {} violations",
            self.promises.load(Ordering::Relaxed),
            self.violations()
        )
    }

    pub(crate) fn report(&self, took: Duration) -> String {
        let faults = self.faults.lock().expect("the faults");
        let faults: Vec<_> = faults
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let [
            completed,
            made,
            appends,
            joined,
            hung_up,
            found,
            live,
            ended,
        ] = [
            &self.completed,
            &self.made,
            &self.appends,
            &self.joined,
            &self.hung_up,
            &self.found,
            &self.live,
            &self.ended,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        format!(
            "{}\nin pieces: {completed} files, {made} forms and messages completed by {appends} appends, {joined} files made of partial ones, {hung_up} bodies broken off, {found} whole files found again by their keys, {live} read as they came, {ended} uploads ended\nfaults: {}; {} uploads were on their way at one, and were not promised\nempty after {} s at most; {} ids of stray chunks cleared away; {} s",
            self.line(),
            faults.join(", "),
            self.cut.load(Ordering::Relaxed),
            self.longest_drain.load(Ordering::Relaxed),
            self.orphans.load(Ordering::Relaxed),
            took.as_secs()
        )
    }
}
