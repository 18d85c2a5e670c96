//! Finishing moves, so that a word about them may be said.
//!
//! A move is a rename, and a power cut undoes it until it is fsynced. The thread that moves an entry says
//! nothing before that; nor may any other that finds the entry where it has just come to. So memory knows
//! which moves are not finished, and whoever is about to speak of one finishes it.

use std::io;

use super::error::JournalError;
use super::layout::Room;
use super::settle::at;
use super::volume::if_there;
use super::{Journal, point};
use crate::file::FileId;

const STEP: &str = "fsync the rooms of a move";

impl Journal {
    /// Makes the moves of an entry survive a power cut, and takes away what they have left behind.
    ///
    /// 1. The room that the entry is in is fsynced.
    /// 2. Its records in the other rooms are unlinked, and what earlier moves could not take away: a
    ///    start may believe one of these.
    /// 3. The other rooms are fsynced.
    ///
    /// Does nothing to an entry whose moves are finished. If another thread moves it on meanwhile, that
    /// move is finished too.
    ///
    /// # Errors
    /// What the disk says; nothing may be said of the moves then.
    pub(super) fn finish_move(&self, id: FileId) -> Result<(), JournalError> {
        loop {
            let Some((to, moved)) = self.index().unfinished(id) else {
                return Ok(());
            };
            self.sync_room(id, to)?; // 1
            point!("move.room-fsynced");
            let others = moved.rooms.into_iter().filter(|&room| room != to);
            let others: Vec<_> = others.collect();
            if !self.unlink_others(id, moved.number, &others)? {
                continue;
            } // 2
            for &room in &others {
                self.sync_room(id, room)?; // 3
            }
            self.index().finish_moves(id, moved.number);
        }
    }

    /// The same for a thread that has not moved the entry itself.
    ///
    /// # Errors
    /// What the disk says. After a failed fsync nobody knows what a second one is worth.
    pub(super) fn finish_move_of_another(&self, id: FileId) -> Result<(), JournalError> {
        let is_unfinished = self.index().unfinished(id).is_some();
        match self.poison() {
            Some(reason) if is_unfinished => Err(at(id, STEP)(io::Error::other(reason.to_owned()))),
            Some(_) | None => self.finish_move(id),
        }
    }

    /// Unlinks records in other rooms than the one that the entry is in, unless it was moved since;
    /// whether it was not.
    fn unlink_others(&self, id: FileId, number: u64, rooms: &[Room]) -> Result<bool, JournalError> {
        // Under the lock: nobody moves the entry into one of them meanwhile.
        let index = self.index();
        if index
            .unfinished(id)
            .is_none_or(|(_, moved)| moved.number != number)
        {
            return Ok(false);
        }
        for &room in rooms {
            if_there(self.disk.unlink(&self.layout.record(room, id)))
                .map_err(at(id, "remove the old record"))?;
            point!("move.old-unlinked");
        }
        Ok(true)
    }

    fn sync_room(&self, id: FileId, room: Room) -> Result<(), JournalError> {
        self.sync_directory(&self.layout.room(room))
            .map_err(at(id, STEP))
    }
}
