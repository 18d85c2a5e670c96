//! The figures of the journal. Status and metrics read them here.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::index::Totals;
use super::{Journal, Level, Room, Watermark};
use crate::config::Durability;
use crate::file::age_seconds;

/// The figures of one moment, as `/status` shows them. A number that is not known is `None`, which is not
/// zero.
#[derive(Debug, Clone, Serialize)]
pub struct JournalFigures {
    /// The setting of what makes a promise.
    #[serde(serialize_with = "write_durability")]
    pub durability: Durability,
    /// Whether uploads can be promised.
    #[serde(rename = "writable")]
    pub is_writable: bool,
    /// The reason why nothing is promised until a restart.
    pub poison: Option<String>,
    /// The level of each limit.
    #[serde(rename = "marks", serialize_with = "write_levels")]
    pub levels: Option<[Level; 4]>,
    /// Entries and bytes in each room.
    #[serde(serialize_with = "write_rooms")]
    pub rooms: [(Room, Totals); Room::ALL.len()],
    /// Uploads that may still grow, and the bytes that have come of them.
    #[serde(serialize_with = "write_totals")]
    pub open_uploads: Totals,
    /// The damage in the log that the last start found.
    pub damage: Vec<String>,
    /// Unreadable files that were set aside for an admin.
    pub corrupt_files: Option<usize>,
    /// Files that a repeated upload is answered from.
    pub answers: usize,
    /// Files of the log.
    #[serde(skip)]
    pub log_segments: usize,
    /// Age of the oldest entry that is not committed; `None` if all are.
    pub oldest_pending_seconds: Option<u64>,
    /// Bodies that nginx has not passed on yet, or is about to clear away.
    #[serde(skip)]
    pub spool_bodies: usize,
    /// Bytes that have come of bodies on their way in.
    #[serde(skip)]
    pub spool_bytes: Option<u64>,
}

impl Journal {
    /// The figures of now. Reads directories, and asks the disk what is free.
    pub fn figures(&self) -> JournalFigures {
        let free = self.free().ok();
        let is_roomy = free.map(|free| self.check_room(free, 0).is_ok());
        JournalFigures {
            durability: self.durability(),
            is_writable: is_roomy.unwrap_or(false) && !self.stands_still(),
            poison: self.poison().map(str::to_owned),
            levels: free.map(|free| self.levels(free)),
            rooms: Room::ALL.map(|room| (room, self.totals(room))),
            open_uploads: self.open_uploads(),
            damage: self.damage().to_vec(),
            corrupt_files: self.corrupt_files().ok(),
            answers: self.answers_kept(),
            log_segments: self.log_segments(),
            oldest_pending_seconds: self.oldest_pending().map(age_seconds),
            spool_bodies: self.spool_bodies(),
            spool_bytes: self.spooled_bytes().ok(),
        }
    }

    fn spool_bodies(&self) -> usize {
        std::fs::read_dir(self.layout.spool()).map_or(0, Iterator::count)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn write_durability<S: Serializer>(durability: &Durability, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(durability.name())
}

/// The level of each thing that has a mark, and the mark.
#[expect(clippy::ref_option, reason = "serde wants it so")]
fn write_levels<S: Serializer>(levels: &Option<[Level; 4]>, to: S) -> Result<S::Ok, S::Error> {
    let Some(levels) = levels else {
        return to.serialize_none();
    };
    to.collect_map(levels.iter().map(|level| {
        let bound = match level.watermark {
            Watermark::FreeBytes | Watermark::FreeInodes => "least",
            Watermark::PendingBytes | Watermark::PendingEntries => "most",
        };
        // A file system without a limit has no number.
        let now = Some(level.now).filter(|&now| now < u64::MAX);
        let shown = BTreeMap::from([("now", now), (bound, Some(level.limit))]);
        (level.watermark.name(), shown)
    }))
}

fn write_rooms<S: Serializer>(rooms: &[(Room, Totals)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(
        rooms
            .iter()
            .map(|(room, totals)| (room.name(), shown(totals))),
    )
}

fn write_totals<S: Serializer>(totals: &Totals, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(shown(totals))
}

fn shown(totals: &Totals) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("entries", totals.entries), ("bytes", totals.bytes)])
}
