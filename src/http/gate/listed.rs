//! The list of nodes decides whether this node takes uploads: its number may belong to another journal.

use actix_web::http::StatusCode;

use crate::http::problem::Reason;
use crate::http::{Node, Problem};
use crate::peers::Obstacle;

/// Seconds after which a balancer sends uploads elsewhere.
const RETRY_SECONDS: u32 = 5;

impl Node {
    /// Refuses an upload that other nodes would not find.
    ///
    /// # Errors
    /// 503.
    pub(in crate::http) fn check_listed(&self) -> Result<(), Problem> {
        let detail = match self.peers.obstacle() {
            None => return Ok(()),
            Some(Obstacle::Joins) => "The other nodes do not know this node yet.",
            Some(Obstacle::Taken(_) | Obstacle::Copied(_)) => {
                "The number of this node belongs to another one."
            }
            Some(Obstacle::Left | Obstacle::Lost(_)) => "This node was taken out of service.",
        };
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-listed", detail);
        Err(problem.because(Reason::Number).retry_after(RETRY_SECONDS))
    }
}
