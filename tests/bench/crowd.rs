//! Many clients run side by side, each as a task on the generator's threads.

use std::thread::ScopedJoinHandle;
use std::time::Instant;

use futures::future::join_all;
use tokio::sync::Barrier;

/// The number of threads, the same as for other loads.
const THREADS: usize = 2;

/// Runs `clients` clients, numbered from 0, to their ends and returns their results. The results
/// are not in the order of the numbers.
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

/// A start line. Clients wait here for each other, once.
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

    /// Waits until all clients are here; returns the moment at which the first of them went on.
    pub(crate) async fn together(&self) -> Instant {
        self.barrier.wait().await;
        *self.begun.get_or_init(Instant::now)
    }
}
