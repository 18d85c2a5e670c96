//! Questions to a MongoDB on a machine that does much else.

use std::error::Error;

/// Asks until MongoDB answers: a machine that does much else may not answer in time.
pub(super) async fn answered<T, E: Error>(ask: impl AsyncFn() -> Result<T, E>) -> T {
    let mut times = 0;
    loop {
        match ask().await {
            Ok(told) => return told,
            Err(err) => assert!(times < 10, "{err}"),
        }
        times += 1;
    }
}
