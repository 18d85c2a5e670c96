//! Whose chunks in the store may be on their way to a file, for one who walks through all of them a page
//! at a time. The log is read once for many pages.
//!
//! 1. Chunks of an entry are written only after its promise, so their time is not before that of the
//!    promise. A page is listed before its ids are asked about.
//! 2. An entry that was promised before the log was read is in what was read, or had left the journal by
//!    then: it had its file, or was deleted. What leaves later is named still: it is left alone too
//!    long, not too short.
//! 3. An entry that was promised later has its id, or its chunks, from then. So where either is younger
//!    than the look, less [`SLACK`], or the chunks tell no time, the log is read anew before anything is
//!    said of that page. By 1, this look finds the promise. This is also so for small entries, which
//!    have no body in a file of its own.
//! 4. A body in a file of its own is looked for each time.
//! 5. 3 believes the node's clock. One that was set back further than [`SLACK`] meanwhile may make chunks
//!    look older than they are: they are then told as stray, but no file is harmed. Each removal excludes a
//!    commit of its own accord (`Bucket::remove_orphan`).
//! 6. A log that is damaged stays so: it is not read again, and nobody knows what is in it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::live::TRIES;
use super::{Contents, Inspection};
use crate::file::FileId;
use crate::journal::OpenError;

/// Ids tell whole seconds, and clocks are mended in small steps.
const SLACK: Duration = Duration::from_mins(1);

/// Knows what the journal has, from one look for many questions.
#[derive(Debug)]
pub struct KnownIds {
    journal: Inspection,
    look: Option<Look>,
}

#[derive(Debug)]
struct Look {
    begun: SystemTime,
    /// `None` if the log cannot be read whole.
    contents: Option<Contents>,
}

impl KnownIds {
    /// Nothing is read yet.
    pub fn new(journal: Inspection) -> Self {
        Self {
            journal,
            look: None,
        }
    }

    /// Which of these the journal has anything of; each with the time of its last chunk, if that is told.
    /// What has left the journal may be named too. `None` if the log cannot be read whole: nobody knows
    /// then what is in it.
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
        let look = match self.look.take() {
            Some(look) if asked.iter().all(|asked| look.tells_of(*asked)) => look,
            _ => Look::new(&self.journal)?,
        };
        let Look { contents, .. } = self.look.insert(look);
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

impl Look {
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

    /// Whether a promise of this id was made before the look, if there was one.
    fn tells_of(&self, (id, written): (FileId, Option<SystemTime>)) -> bool {
        let is_before = |time: SystemTime| time + SLACK < self.begun;
        self.contents.is_none() || is_before(id.made_at()) && written.is_some_and(is_before)
    }
}
