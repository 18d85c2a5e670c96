//! The store of the model: its answers, and the commit of a file that came with a message.

use super::*;

impl World {
    /// Answers a question as the store does.
    pub(super) fn answer(&mut self, ask: Ask, message: u8, bug: Bug) -> Answer {
        match (ask, &mut self.document) {
            (Ask::Add, Some(file)) if !file.is_dying || bug == Bug::LinkToDying => {
                file.links |= message;
                Answer::Done
            }
            (Ask::Take(reason), Some(file)) if file.links & message != 0 => {
                file.links &= !message;
                let is_last = file.links == 0;
                let goes = match reason {
                    Reason::Deleted => is_last,
                    Reason::NeverPromised => is_last && (file.was_linked || bug == Bug::UndoneGoes),
                };
                file.was_linked |= reason == Reason::Deleted && !is_last && bug != Bug::NoNote;
                file.is_dying |= goes && bug != Bug::TakeInTwo;
                if goes || file.is_dying {
                    Answer::DoneLast
                } else {
                    Answer::Done
                }
            }
            (Ask::LookAtFile, None) => Answer::Absent,
            (Ask::LookAtFile, Some(file)) if file.is_dying => Answer::Dying,
            (Ask::LookAtFile, Some(file)) if file.links & message != 0 => Answer::Linked,
            (Ask::LookAtFile, Some(_)) => Answer::There,
            (Ask::LookForTombstone, _) => self.tombstone.map_or(Answer::Absent, |_| Answer::There),
            (Ask::Entomb, _) => {
                self.tombstone.get_or_insert(false);
                Answer::Done
            }
            (Ask::DeleteDying, document) => {
                if document.is_some_and(|file| file.is_dying) {
                    *document = None;
                }
                Answer::Done
            }
            (Ask::DeleteChunks, _) => {
                self.has_chunks = false;
                Answer::Done
            }
            (Ask::NoteCleared, _) => {
                self.tombstone = Some(true);
                Answer::Done
            }
            (Ask::Add | Ask::Take(_), _) => Answer::NotDone,
        }
    }

    pub(super) fn commit(&mut self, step: Commit, bug: Bug) -> Actor {
        Actor::Commit(match step {
            Commit::Chunks => {
                self.has_chunks = true;
                Commit::Document
            }
            Commit::Document => {
                self.document.get_or_insert(Stored {
                    links: FIRST,
                    was_linked: false,
                    is_dying: false,
                });
                if bug == Bug::NoLookOfCommit {
                    Commit::Settle
                } else {
                    Commit::Look
                }
            }
            Commit::Look if self.tombstone.is_some() => Commit::TakeBack,
            Commit::Look => Commit::LookAtFile,
            // The commit counts the chunks, and writes them again if they are missing.
            Commit::LookAtFile if self.document.is_some() && !self.has_chunks => Commit::Chunks,
            Commit::LookAtFile if self.document.is_none() => Commit::Chunks,
            Commit::LookAtFile => Commit::Settle,
            Commit::Settle => return Actor::Ended,
            Commit::TakeBack => {
                self.document = None;
                Commit::TakeChunksBack
            }
            Commit::TakeChunksBack => {
                self.has_chunks = false;
                return Actor::Ended;
            }
        })
    }
}
