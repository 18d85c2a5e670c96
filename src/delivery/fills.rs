//! Slices that nginx is fetching for its cache. A client that wants one of them waits until nginx has
//! it.
//!
//! If all clients went to nginx at once, nginx would lock the slice for the first. The others would
//! either wait for nginx to look at the lock again, which it does seldom, or each would fetch the slice
//! anew. So only the first client is sent, and the others follow when the slice is there. This is done
//! for the first slice of each request only.
//!
//! nginx does not ask for a slice that it already has. If nginx does not come soon after the first
//! client was sent, it has the slice. A client that is let go too early only costs one more read of the
//! same slice, from memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::recent::Recent;

/// nginx comes this soon for a slice that it does not have.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time that a slice may take. After that each client goes on by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// The time that a slice counts as being in nginx's cache, unless nginx asks for it again.
const FILLED_LIFETIME: Duration = Duration::from_mins(30);

/// The bound on bytes of names of such slices.
const FILLED_BYTES: usize = 4 * 1024 * 1024;

/// A slice of one content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The URI by which nginx asks for it.
    pub uri: String,
    /// Its number.
    pub number: u64,
}

/// The state of nginx's fetch of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// A client was sent for it.
    Sent,
    /// nginx has come for it.
    Asked,
    /// nginx has got the slice, or the fetch failed.
    Over,
}

#[derive(Debug)]
struct Fill {
    sent: Instant,
    stage: watch::Sender<Stage>,
}

/// The slices that nginx is fetching, and those that it has.
#[derive(Debug, Clone)]
pub struct Fills(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    running: Mutex<HashMap<Slice, Fill>>,
    filled: Recent<Slice, ()>,
}

impl Default for Fills {
    fn default() -> Self {
        Self(Arc::new(Inner {
            running: Mutex::default(),
            filled: Recent::new(FILLED_LIFETIME, FILLED_BYTES),
        }))
    }
}

impl Fills {
    /// Waits until a client may be sent to nginx for this slice: the first goes at once, the others
    /// when nginx has the slice.
    pub async fn follow(&self, slice: &Slice) {
        if self.0.filled.get(slice).is_some() {
            return;
        }
        let (sent, mut stage) = {
            let mut running = self.0.running();
            let Some(fill) = running.get(slice) else {
                // Slices that nginx never came for are dropped before the map has to grow.
                if running.len() == running.capacity() {
                    running.retain(|_, fill| !fill.is_stale());
                }
                running.insert(slice.clone(), Fill::new(Stage::Sent));
                return;
            };
            (fill.sent, fill.stage.subscribe())
        };
        let asked = stage.wait_for(|stage| *stage >= Stage::Asked);
        if timeout_at(sent + PATIENCE, asked).await.is_err() {
            self.0.end(slice, &stage, true);
            return;
        }
        let over = stage.wait_for(|stage| *stage == Stage::Over);
        if timeout(LIMIT, over).await.is_err() {
            self.0.end(slice, &stage, false);
        }
    }

    /// Notes that nginx has come for a slice.
    pub fn begin(&self, slice: Slice) -> Filling {
        // nginx may have had the slice and dropped it.
        if self.0.filled.get(&slice).is_some() {
            self.0.filled.forget(&slice);
        }
        let mut running = self.0.running();
        let fill = running.entry(slice.clone());
        let fill = fill.or_insert_with(|| Fill::new(Stage::Asked));
        fill.stage.send_replace(Stage::Asked);
        Filling {
            inner: Arc::clone(&self.0),
            stage: fill.stage.subscribe(),
            slice,
            is_complete: false,
        }
    }
}

impl Fill {
    fn new(stage: Stage) -> Self {
        Self {
            sent: Instant::now(),
            stage: watch::channel(stage).0,
        }
    }

    /// Whether nginx would have come by now.
    fn is_stale(&self) -> bool {
        *self.stage.borrow() == Stage::Sent && self.sent.elapsed() > PATIENCE
    }
}

impl Inner {
    /// Lets all clients go that wait for a slice.
    fn end(&self, slice: &Slice, own: &watch::Receiver<Stage>, is_filled: bool) {
        if is_filled {
            let ticket = self.filled.ticket();
            self.filled.put(ticket, slice, (), slice.uri.len());
        }
        let mut running = self.running();
        let is_own = |fill: &Fill| fill.stage.subscribe().same_channel(own);
        if running.get(slice).is_some_and(is_own)
            && let Some(fill) = running.remove(slice)
        {
            fill.stage.send_replace(Stage::Over);
        }
    }

    /// A thread that panicked under the lock leaves a map that is whole.
    fn running(&self) -> MutexGuard<'_, HashMap<Slice, Fill>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slice on its way to nginx. Dropping it lets all clients go that wait for it.
#[derive(Debug)]
pub struct Filling {
    inner: Arc<Inner>,
    slice: Slice,
    stage: watch::Receiver<Stage>,
    is_complete: bool,
}

impl Filling {
    /// All of its bytes have gone to nginx.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.inner.end(&self.slice, &self.stage, self.is_complete);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    fn slice() -> Slice {
        Slice {
            uri: "/a".to_owned(),
            number: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_the_others_when_nginx_has_the_slice() {
        for is_complete in [true, false] {
            let (fills, slice) = (Fills::default(), slice());
            assert!(fills.follow(&slice).now_or_never().is_some());
            let other = Slice {
                number: 2,
                ..slice.clone()
            };
            assert!(fills.follow(&other).now_or_never().is_some());
            let mut filling = fills.begin(slice.clone());
            let mut others = join_all((0..10).map(|_| fills.follow(&slice)));
            assert!((&mut others).now_or_never().is_none());
            tokio::time::sleep(LIMIT / 2).await;
            assert!((&mut others).now_or_never().is_none());
            if is_complete {
                filling.complete();
            }
            drop(filling);
            assert!((&mut others).now_or_never().is_some());
            // A later client goes at once: nginx has the slice, or this client is the first again.
            assert!(fills.follow(&slice).now_or_never().is_some());
            let is_known = fills.follow(&slice).now_or_never().is_some();
            assert_eq!(is_known, is_complete);
            // nginx has dropped it, and comes again.
            let _filling = fills.begin(slice.clone());
            assert!(fills.follow(&slice).now_or_never().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nginx_does_not_come_for_is_waited_for_but_a_moment() {
        let (fills, slice) = (Fills::default(), slice());
        fills.follow(&slice).await;
        let begun = Instant::now();
        join_all((0..10).map(|_| fills.follow(&slice))).await;
        fills.follow(&slice).await;
        assert_eq!(begun.elapsed().as_millis(), PATIENCE.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slice_that_stands_still_holds_nobody_for_ever() {
        let (fills, slice) = (Fills::default(), slice());
        fills.follow(&slice).await;
        let _filling = fills.begin(slice.clone());
        let begun = Instant::now();
        fills.follow(&slice).await;
        assert_eq!(begun.elapsed().as_millis(), LIMIT.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_nginx_never_came_for_take_no_more_and_more_room() {
        let fills = Fills::default();
        for number in 0..10_000 {
            fills.follow(&Slice { number, ..slice() }).await;
            tokio::time::advance(PATIENCE).await;
        }
        assert!(fills.0.running().len() < 100);
    }
}
