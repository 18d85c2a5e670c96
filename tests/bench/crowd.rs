//! Many clients side by side, each a task of its own on the generator's threads.

use std::thread::ScopedJoinHandle;
use std::time::Instant;

use futures::future::join_all;
use tokio::sync::Barrier;

/// As many threads as the generator has for other loads.
const THREADS: usize = 2;

/// Runs so many clients, numbered from 0, to their ends; what each of them gave.
pub(crate) fn all<T: Send>(clients: usize, client: impl AsyncFn(usize) -> T + Sync) -> Vec<T> {
    let share = |thread: usize| {
        let numbers = (thread..clients).step_by(THREADS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(join_all(numbers.map(|number| client(number))))
    };
    std::thread::scope(|scope| {
        let share = &share;
        let running: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || share(thread)))
            .collect();
        let done = running.into_iter().map(ScopedJoinHandle::join);
        done.flat_map(|part| part.expect("a thread of the generator"))
            .collect()
    })
}

/// Where clients wait for each other, once.
#[derive(Debug)]
pub(crate) struct Start {
    barrier: Barrier,
    begun: std::sync::OnceLock<Instant>,
}

impl Start {
    pub(crate) fn of(clients: usize) -> Self {
        Self {
            barrier: Barrier::new(clients),
            begun: std::sync::OnceLock::new(),
        }
    }

    /// Waits until all are here; the moment in which the first of them went on.
    pub(crate) async fn together(&self) -> Instant {
        self.barrier.wait().await;
        *self.begun.get_or_init(Instant::now)
    }
}
