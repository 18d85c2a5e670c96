//! Lets a panic end only the request that it happens in.

use std::panic::AssertUnwindSafe;

use actix_web::Error;
use futures::FutureExt as _;

use crate::http::Problem;

/// Answers with a 500 if the handler panics, and keeps the connection. The handler has dropped
/// everything that it held by then, so a panic leaves nothing half-changed.
///
/// # Errors
/// The errors of the handler, and the 500.
pub async fn catch_panic<T>(answering: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        log::error!("a request was lost by a panic");
        Err(Problem::internal().into())
    })
}
