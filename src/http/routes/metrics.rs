//! The figures of a node as metrics, for Prometheus.
//!
//! Nothing is counted for them alone: a [`Snapshot`] is taken when it is asked for.

use std::fmt;
use std::time::UNIX_EPOCH;

use actix_web::{HttpResponse, web};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::snapshot::Snapshot;
use crate::commit::StoreStanding;
use crate::config::Durability;
use crate::file::age_seconds;
use crate::http::problem::Reason;
use crate::http::{Node, Problem};
use crate::journal::JournalFigures;
use crate::store::IndexStanding;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`: counters are since the start; a flag is 1 for yes, 0 for no.
pub(super) async fn metrics(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    // It reads directories, and the threads that serve nginx must not wait for a disk.
    let text = web::block(move || {
        let page = collect(&Snapshot::take(&node));
        let mut text = String::new();
        text::encode(&mut text, &page).map(|()| text)
    })
    .await?;
    let text = text.map_err(|err| {
        log::error!("metrics that cannot be written: {err}");
        Problem::internal()
    })?;
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).body(text))
}

fn collect(snapshot: &Snapshot) -> Registry {
    let mut page = Page(Registry::with_prefix("gridspool"));
    page.add_node(snapshot);
    page.add_refusals(snapshot);
    page.add_journal(&snapshot.journal);
    page.add_commit(snapshot);
    page.add_cluster(snapshot);
    page.0
}

/// The metrics of one moment.
struct Page(Registry);

impl Page {
    fn add_node(&mut self, snapshot: &Snapshot) {
        // A gauge, as the textfile collector of node_exporter does not know the type info.
        self.gauge_by(
            "version",
            "build_info",
            "Always 1; the label is the version",
            [(env!("CARGO_PKG_VERSION"), 1)],
        );
        let started = snapshot.started.duration_since(UNIX_EPOCH);
        self.gauge(
            "start_time_seconds",
            "When this process started, since the epoch of Unix",
            started.map_or(0, |time| time.as_secs()),
        );
        self.flag(
            "draining",
            "Whether new uploads are refused, as an admin wants it",
            snapshot.is_draining,
        );
        self.count(
            "spool_bodies",
            "Bodies on their way in, in the spool of nginx",
            snapshot.journal.spool_bodies,
        );
        // As with the directory of damaged files: what cannot be read is not zero.
        if let Some(bytes) = snapshot.journal.spool_bytes {
            self.gauge(
                "spool_bytes",
                "Bytes that have come of bodies on their way in",
                bytes,
            );
        }
        self.gauge_by(
            "limit",
            "subjects_tracked",
            "Subjects that are remembered for a limit",
            snapshot.subjects,
        );
    }

    fn add_refusals(&mut self, snapshot: &Snapshot) {
        let obstacles = &snapshot.obstacles;
        self.gauge_by(
            "reason",
            "uploads_refused_for",
            "1 for each reason for which every upload is refused just now",
            [
                Reason::Drain,
                Reason::Poison,
                Reason::Disk,
                Reason::Inodes,
                Reason::Backlog,
                Reason::Fault,
            ]
            .map(|reason| (reason.name(), u64::from(obstacles.contains(&reason)))),
        );
        self.counter_by(
            "reason",
            "uploads_refused",
            "Uploads that were refused, by the reason",
            snapshot.uploads_refused.iter().copied(),
        );
        self.counter_by(
            "cause",
            "tokens_refused",
            "Tokens that opened nothing, and requests without one, by the cause",
            snapshot.tokens_refused.iter().copied(),
        );
        // A disk that does not tell has numbers that are not known, which are not zero.
        let levels = || snapshot.journal.levels.iter().flatten();
        self.gauge_by(
            "mark",
            "journal_level",
            "What there is of all that has a mark",
            levels().map(|level| (level.watermark.name(), level.now)),
        );
        self.gauge_by(
            "mark",
            "journal_mark",
            "The least that may be free, and the most that may be pending, for uploads to be taken",
            levels().map(|level| (level.watermark.name(), level.limit)),
        );
    }

    fn add_journal(&mut self, journal: &JournalFigures) {
        let rooms = journal.rooms.map(|(room, totals)| (room.name(), totals));
        self.gauge_by(
            "room",
            "journal_entries",
            "Entries in each room of the journal",
            rooms.map(|(room, totals)| (room, totals.entries)),
        );
        self.gauge_by(
            "room",
            "journal_bytes",
            "Bytes of the entries in each room of the journal",
            rooms.map(|(room, totals)| (room, totals.bytes)),
        );
        self.gauge(
            "journal_oldest_pending_seconds",
            "Age of the oldest entry that is not committed; 0 if all are",
            journal.oldest_pending_seconds.unwrap_or(0),
        );
        self.flag(
            "journal_writable",
            "Whether uploads can be promised",
            journal.is_writable,
        );
        self.flag(
            "journal_poisoned",
            "Whether an fsync has failed, so that nothing is promised until a restart",
            journal.poison.is_some(),
        );
        self.flag(
            "journal_durability_os",
            "Whether nothing is fsynced, so that a crash of the host loses files",
            journal.durability == Durability::Os,
        );
        self.count(
            "journal_log_segments",
            "Files of the log",
            journal.log_segments,
        );
        self.count(
            "journal_answers",
            "Files that a repeated upload is answered from",
            journal.answers,
        );
        if !journal.damage.is_empty() {
            let damage = journal.damage.iter().map(|damage| (damage.as_str(), 1));
            self.gauge_by(
                "damage",
                "journal_damage",
                "1 for each damage of the log that the last start found",
                damage,
            );
        }
        // A directory that cannot be read has a number that is not known, which is not zero.
        if let Some(count) = journal.corrupt_files {
            self.count(
                "journal_corrupt_files",
                "Unreadable files that were set aside for an admin",
                count,
            );
        }
    }

    fn add_commit(&mut self, snapshot: &Snapshot) {
        let commits = &snapshot.commit;
        self.count(
            "commit_in_flight",
            "Entries that are being committed or cleared away",
            commits.in_flight,
        );
        self.count(
            "commit_width",
            "Commits that may run side by side at the present pace",
            commits.width,
        );
        self.flag(
            "commit_gives_way",
            "Whether commits rest between each other, as clients wait for the processors",
            commits.gives_way,
        );
        self.count(
            "commit_waiting",
            "Clients that wait for a commit",
            commits.waiting,
        );
        self.count(
            "waiting_lists",
            "Receivers that wait for messages",
            snapshot.waiting_lists,
        );
        self.count(
            "live_readers",
            "Readers of uploads that are not complete",
            snapshot.live_readers,
        );
        // The ending `_total` of a counter's name is added as it is written.
        for (name, help, value) in [
            (
                "requests",
                "Requests that nginx sent, for clients and other nodes",
                snapshot.requests,
            ),
            (
                "committed_entries",
                "Entries committed",
                commits.committed_entries,
            ),
            (
                "committed_bytes",
                "Bytes committed",
                commits.committed_bytes,
            ),
            (
                "commit_failures",
                "Attempts that failed by the fault of the entry or of MongoDB",
                commits.failures,
            ),
        ] {
            self.0.register(name, help, ConstCounter::new(value));
        }
    }

    fn add_cluster(&mut self, snapshot: &Snapshot) {
        let standing = snapshot.store.standing;
        self.gauge_by(
            "state",
            "mongodb_state",
            "1 for the state that MongoDB is in, 0 for the others",
            StoreStanding::ALL.map(|state| (state.name(), u64::from(state == standing))),
        );
        let indexes = snapshot.indexes.iter();
        self.gauge_by(
            "index",
            "index_ready",
            "Whether an index is there that is made in the background",
            indexes.clone().map(|index| {
                let is_ready = index.standing == IndexStanding::Ready;
                (index.name, u64::from(is_ready))
            }),
        );
        self.gauge_by(
            "index",
            "index_failed",
            "Whether an index could not be made; status tells why",
            indexes.map(|index| (index.name, u64::from(index.error.is_some()))),
        );
        self.gauge_by(
            "node",
            "peer_up",
            "Whether another node answers",
            snapshot
                .peers
                .iter()
                .map(|(number, _, state)| (number.to_string(), u64::from(state.is_up()))),
        );
        let registered = snapshot.registered.iter();
        let load = registered.map(|record| (record.number.to_string(), record.load));
        let files = load.clone().map(|(node, load)| (node, load.files));
        self.gauge_by(
            "node",
            "peer_pending_files",
            "Files that wait at another node, as it last told: one that is away still has them",
            files,
        );
        let bytes = load.clone().map(|(node, load)| (node, load.bytes));
        self.gauge_by("node", "peer_pending_bytes", "Bytes of these files", bytes);
        self.gauge_by(
            "node",
            "peer_oldest_pending_seconds",
            "Age of the oldest of these files; 0 if there is none",
            load.map(|(node, load)| (node, load.oldest.map_or(0, age_seconds))),
        );
        self.flag(
            "node_number_used_twice",
            "Whether another process goes by the number of this node",
            snapshot.twin.is_some(),
        );
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn count(&mut self, name: &str, help: &str, count: usize) {
        self.0.register(name, help, ConstGauge::new(count));
    }

    fn flag(&mut self, name: &str, help: &str, is_so: bool) {
        self.gauge(name, help, u64::from(is_so));
    }

    /// One gauge for each value of a label.
    fn gauge_by<V: Into<String>>(
        &mut self,
        label: &'static str,
        name: &str,
        help: &str,
        gauges: impl IntoIterator<Item = (V, u64)>,
    ) {
        let family = ByLabel::new(MetricType::Gauge, label, gauges);
        self.0.register(name, help, family);
    }

    /// One counter for each value of a label.
    fn counter_by(
        &mut self,
        label: &'static str,
        name: &str,
        help: &str,
        counters: impl IntoIterator<Item = (&'static str, u64)>,
    ) {
        let family = ByLabel::new(MetricType::Counter, label, counters);
        self.0.register(name, help, family);
    }
}

/// Gauges or counters that differ in one label.
#[derive(Debug)]
struct ByLabel {
    kind: MetricType,
    label: &'static str,
    values: Vec<(String, u64)>,
}

impl ByLabel {
    fn new<V: Into<String>>(
        kind: MetricType,
        label: &'static str,
        values: impl IntoIterator<Item = (V, u64)>,
    ) -> Self {
        let values = values.into_iter();
        let values = values.map(|(name, value)| (name.into(), value)).collect();
        Self {
            kind,
            label,
            values,
        }
    }
}

impl EncodeMetric for ByLabel {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (name, value) in &self.values {
            let labels = [(self.label, name.as_str())];
            let mut one = encoder.encode_family(&labels)?;
            if matches!(self.kind, MetricType::Counter) {
                one.encode_counter::<NoLabelSet, _, u64>(value, None)?;
            } else {
                one.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}
