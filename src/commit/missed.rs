//! Finds entries that the backlog missed: the journal lists their work, and the backlog does not
//! know them. There should be none. This searches from time to time, because otherwise only the
//! next start would find them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Committer;
use super::backlog::{Backlog, Lane};
use crate::file::FileId;
use crate::journal::Journal;

/// The pause between two searches.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);

/// Unknown entries of the last search. An announcement may be under way during a search, so an entry
/// counts as missed only after two searches in a row.
#[derive(Debug, Default)]
struct Suspects(HashSet<FileId>);

/// Entries, each with the rest of its pause.
type Missed = HashMap<FileId, Option<Duration>>;

impl Suspects {
    /// Searches the journal if it has more work than the backlog knows. Blocks.
    fn look(&mut self, journal: &Journal, backlog: &Backlog) -> Missed {
        let before = std::mem::take(&mut self.0);
        // In this order, as the backlog learns of an entry after the journal.
        let count = journal.work_count();
        if count <= backlog.count() {
            return Missed::new();
        }
        let known = backlog.ids();
        let work = journal.work().into_iter();
        let unknown: Missed = work.filter(|(id, _)| !known.contains(id)).collect();
        let (missed, suspects) = unknown
            .into_iter()
            .partition::<Missed, _>(|(id, _)| before.contains(id));
        self.0 = suspects.into_keys().collect();
        missed
    }
}

impl Committer {
    /// Searches for them again and again.
    pub(super) async fn look_for_missed(&self) {
        let mut suspects = Suspects::default();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let backlog = Arc::clone(&self.commits.backlog);
            let looked = self.on_disk(move |journal| {
                let missed = suspects.look(journal, &backlog);
                (suspects, missed)
            });
            let (after, missed) = looked.await;
            suspects = after;
            for (id, left) in missed {
                log::warn!("{id}: it was not announced, and is committed or cleared away now");
                let lane = Lane::of(self.journal.is_package(id));
                let longest = self.config.retry_max;
                self.commits.backlog.push_found(id, lane, left, longest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, JournalConfig};
    use crate::journal::{Announcer, Draft, LocalDisk};
    use crate::spool::Received;

    /// A journal without a listener.
    fn journal(directory: &std::path::Path) -> Journal {
        Journal::init(directory, &LocalDisk).unwrap();
        let limits = JournalConfig {
            node: 1,
            durability: Durability::Os,
            max_bytes: 1_000_000,
            max_entries: 20,
            min_free_bytes: 0,
            min_free_inodes: 0,
            log_body_bytes: 100,
            settled_grace: LOOK_INTERVAL,
            settled_max_bytes: 1000,
            answer_lifetime: LOOK_INTERVAL,
            max_answers: 100,
            spool_orphan: LOOK_INTERVAL,
            upload_lifetime: Duration::from_hours(1),
            max_open_uploads: 100,
        };
        let announcer = Announcer::to_nobody();
        let opened = Journal::open(directory, limits, Box::new(LocalDisk), announcer);
        opened.unwrap().0
    }

    fn adopt(journal: &Journal) -> FileId {
        let draft = Draft::sample();
        let adopted = journal.adopt(Received::Inline(b"body"), draft);
        adopted.unwrap().id()
    }

    #[test]
    fn an_entry_that_was_not_announced_is_found_by_two_looks_and_one_that_is_known_by_none() {
        let scratch = tempfile::tempdir().unwrap();
        let journal = journal(scratch.path());
        let (backlog, mut suspects) = (Backlog::default(), Suspects::default());
        let mut look = || suspects.look(&journal, &backlog);
        let [known, missed, late, deleted] = [(); 4].map(|()| adopt(&journal));
        journal.delete(deleted).unwrap();
        backlog.push_now(known, Lane::Files);
        assert_eq!(look(), Missed::new());
        backlog.push_now(late, Lane::Files);
        let found = look();
        assert_eq!(found, Missed::from([(missed, None), (deleted, None)]));
        for id in found.into_keys() {
            backlog.push_now(id, Lane::Files);
        }
        for _ in 0..3 {
            assert_eq!(look(), Missed::new());
        }
    }
}
