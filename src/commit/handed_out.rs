//! The ids that are being worked on.

use std::sync::Arc;

use super::backlog::{Backlog, Lane};
use crate::config::GroupConfig;
use crate::file::{FileId, UnixMillis};

/// Ids that were handed out. Dropping this makes the unfinished ones due again at once, also in a
/// panic.
#[derive(Debug)]
pub(super) struct HandedOut {
    backlog: Arc<Backlog>,
    /// The unfinished ids.
    ids: Vec<FileId>,
}

impl HandedOut {
    /// Waits for due ids, like [`Backlog::next`].
    pub(super) async fn next(
        backlog: &Arc<Backlog>,
        lane: Lane,
        limits: &GroupConfig,
        length: impl Fn(FileId) -> u64,
    ) -> Self {
        Self {
            ids: backlog.next(lane, limits, length).await,
            backlog: Arc::clone(backlog),
        }
    }

    /// The unfinished ids.
    pub(super) fn ids(&self) -> &[FileId] {
        &self.ids
    }

    /// Finishes one of them; with a time, it is due again then.
    pub(super) fn finish(&mut self, id: FileId, again: Option<UnixMillis>) {
        let place = self.ids.iter().position(|&other| other == id);
        debug_assert!(place.is_some(), "{id}: it was finished before");
        if let Some(place) = place {
            self.ids.swap_remove(place);
            self.backlog.finish(id, again);
        }
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        let now = self.backlog.now();
        for id in self.ids.drain(..) {
            self.backlog.finish(id, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LIMITS: GroupConfig = GroupConfig {
        small_bytes: 100,
        entries: 9,
        bytes: 100,
        large: 9,
    };

    fn hand_out(backlog: &Arc<Backlog>) -> Option<HandedOut> {
        HandedOut::next(backlog, Lane::Files, &LIMITS, |_| 1).now_or_never()
    }

    #[test]
    fn whatever_is_not_finished_comes_again_and_nothing_else_does() {
        let backlog = Arc::new(Backlog::default());
        let [one, two, three] = [1, 2, 3].map(|byte| FileId::from_bytes([byte; 12]));
        for id in [one, two, three] {
            backlog.push_now(id, Lane::Files);
        }
        let mut handed_out = hand_out(&backlog).unwrap();
        assert_eq!(handed_out.ids(), [one, two, three]);
        handed_out.finish(two, None);
        assert_eq!((backlog.in_flight(), backlog.count()), (2, 2));
        assert!(hand_out(&backlog).is_none());
        drop(handed_out);
        assert_eq!((backlog.in_flight(), backlog.count()), (0, 2));
        assert_eq!(hand_out(&backlog).unwrap().ids(), [one, three]);
    }
}
