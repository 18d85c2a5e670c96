//! A panic costs the request that met it, and no other.

use std::panic::AssertUnwindSafe;

use actix_web::Error;
use futures::FutureExt as _;

use crate::http::Problem;

/// Answers a request whose handler panics with a 500, on a connection that stays. The handler has given
/// back by then all that it held: a panic leaves nothing here half-changed.
///
/// # Errors
/// Those of the handler, and that answer.
pub async fn catch_panic<T>(answering: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        log::error!("a request was lost by a panic");
        Err(Problem::internal().into())
    })
}
