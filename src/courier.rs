//! Tells the tasks of one thread what other threads have for them. A task that another thread wakes costs a system
//! call, and a task that its own thread wakes costs none: so one task of the thread carries everything, and a few
//! calls tell a whole crowd.

use std::fmt;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

type Errand = Box<dyn FnOnce() + Send>;

/// The way to the tasks of the thread that made it. Its task ends with the thread.
#[derive(Clone)]
pub struct Courier(UnboundedSender<Errand>);

impl Courier {
    /// The courier of this thread. Must be called in a task.
    pub fn of_this_thread() -> Self {
        thread_local! {
            static COURIER: Courier = Courier::begin();
        }
        COURIER.with(Clone::clone)
    }

    fn begin() -> Self {
        let (send, mut receive) = unbounded_channel::<Errand>();
        // It ends with its thread.
        drop(tokio::spawn(async move {
            while let Some(errand) = receive.recv().await {
                errand();
            }
        }));
        Self(send)
    }

    /// Has that thread do something short, soon. It is done here if the thread runs no tasks any more.
    pub fn send(&self, errand: impl FnOnce() + Send + 'static) {
        if let Err(unsent) = self.0.send(Box::new(errand)) {
            (unsent.0)();
        }
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Courier").finish_non_exhaustive()
    }
}
