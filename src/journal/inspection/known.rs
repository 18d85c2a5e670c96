//! Tells which ids the journal may know, for a caller that walks through all chunks of the store page
//! by page: chunks of such an id may be on their way to a file. One reading of the log serves many
//! pages.
//!
//! 1. Chunks of an entry are written only after its promise, so their time is not before that of the
//!    promise. A page is listed before the journal is asked about its ids.
//! 2. If an entry was promised before the log was read, that reading contains it, unless it had left
//!    the journal by then: then it had its file, or was deleted. Entries that leave later are still
//!    named: their chunks are left alone too long, not too short.
//! 3. If an entry was promised later, its id or its chunks are younger than the reading. So if either
//!    is younger than the reading minus [`SLACK`], or the chunks have no time, the log is read again
//!    before that page is judged. By 1, the new reading contains the promise. This also covers small
//!    entries with inline bodies.
//! 4. A body in a file of its own is looked for each time.
//! 5. Step 3 trusts the node's clock. If that was set back further than [`SLACK`] meanwhile, chunks may
//!    look older than they are: they are then reported as stray, but no file is harmed, as each removal
//!    itself excludes a commit (`Bucket::remove_orphan`).
//! 6. A damaged log stays damaged: it is not read again, and its contents are unknown.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::live::TRIES;
use super::{Contents, Inspection};
use crate::file::FileId;
use crate::journal::OpenError;

/// Ids contain whole seconds, and clocks are corrected in small steps.
const SLACK: Duration = Duration::from_mins(1);

/// Knows the ids of the journal, from one reading for many questions.
#[derive(Debug)]
pub struct KnownIds {
    journal: Inspection,
    snapshot: Option<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    begun: SystemTime,
    /// `None` if the log is damaged.
    contents: Option<Contents>,
}

impl KnownIds {
    /// Nothing is read yet.
    pub fn new(journal: Inspection) -> Self {
        Self {
            journal,
            snapshot: None,
        }
    }

    /// Returns the ids among these that the journal knows; each comes with the time of its last
    /// chunk, if there is one. Ids that have left the journal may be included. Returns `None` if
    /// the log is damaged: then the contents are unknown.
    ///
    /// # Errors
    /// As [`Inspection::list`].
    pub fn among(
        &mut self,
        asked: &[(FileId, Option<SystemTime>)],
    ) -> Result<Option<HashSet<FileId>>, OpenError> {
        if asked.is_empty() {
            return Ok(Some(HashSet::new()));
        }
        let snapshot = match self.snapshot.take() {
            Some(snapshot) if asked.iter().all(|asked| snapshot.tells_of(*asked)) => snapshot,
            _ => Snapshot::new(&self.journal)?,
        };
        let Snapshot { contents, .. } = self.snapshot.insert(snapshot);
        let Some(contents) = contents else {
            return Ok(None);
        };
        let mut known = HashSet::new();
        for &(id, _) in asked {
            let body = self.journal.bodies().join(id.to_string());
            let has_body = body.try_exists().map_err(OpenError::at(body))?;
            if has_body || contents.entry(id).is_some() {
                known.insert(id);
            }
        }
        Ok(Some(known))
    }
}

impl Snapshot {
    fn new(journal: &Inspection) -> Result<Self, OpenError> {
        let begun = SystemTime::now();
        let mut contents = journal.list_live()?;
        for _ in 1..TRIES {
            if contents.anomalies().is_empty() {
                break;
            }
            contents = journal.list_live()?;
        }
        let contents = contents.anomalies().is_empty().then_some(contents);
        Ok(Self { begun, contents })
    }

    /// Whether a promise of this id must have been made before the last reading.
    fn tells_of(&self, (id, written): (FileId, Option<SystemTime>)) -> bool {
        let is_before = |time: SystemTime| time + SLACK < self.begun;
        self.contents.is_none() || is_before(id.made_at()) && written.is_some_and(is_before)
    }
}
