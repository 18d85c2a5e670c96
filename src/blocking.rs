//! Runs work that blocks, away from the threads that serve nginx and talk to MongoDB.

use tokio::task::spawn_blocking;

/// Runs an operation on the blocking pool. A panic in it goes on here. Dropping the future does not stop it.
pub async fn on_thread<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(operation).await {
        Ok(done) => done,
        Err(lost) => std::panic::resume_unwind(lost.into_panic()),
    }
}
