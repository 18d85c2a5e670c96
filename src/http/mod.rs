//! The edge that nginx speaks with: heads of requests in, heads of answers out.
//!
//! nginx has spooled the body before a request comes here, and sends the body of an answer itself.
//! The only bytes of files that pass through are slices of committed files on their way into
//! nginx's cache. This is the only room that knows actix.

mod access;
mod admin;
mod conditions;
mod connection;
mod contained;
mod content_type;
mod created;
mod delete;
mod digest;
mod disposition;
mod document;
mod download;
mod drain;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod hop;
mod idempotency;
mod layers;
mod metrics;
mod passed;
mod path;
mod pieces;
mod prefer;
mod problem;
mod ranges;
mod reason;
mod refusal;
mod room;
mod seldom;
mod slices;
mod subjects;
mod upload;
mod upload_metadata;
mod waiting;
mod whole;

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};

use crate::accel;
use crate::commit::{Arrivals, Backlog, Health, Slots, Tally};
use crate::delivery::Delivery;
use crate::file::FileKey;
use crate::journal::Journal;
use crate::peers::{HOP, Peers};
use crate::spool::Spool;
use crate::store::Store;

pub use access::Access;
pub use connection::Connection;
pub use contained::contained;
pub use drain::Drain;
pub use path::check as check_path;
use problem::Problem;
pub use reason::count_refusal;

/// What the handlers work with: one node's parts.
pub struct Node {
    /// Where promises are made.
    pub journal: Arc<Journal>,
    /// Where nginx puts bodies.
    pub spool: Spool,
    /// What the committer has to do.
    pub backlog: Arc<Backlog>,
    /// Finds and deletes files.
    pub delivery: Delivery,
    /// Where committed files are.
    pub store: Arc<dyn Store>,
    /// Whether the store answers.
    pub health: Health,
    /// How many commits may run.
    pub slots: Arc<Slots>,
    /// Who waits for a commit.
    pub arrivals: Arc<Arrivals>,
    /// What was committed.
    pub tally: Arc<Tally>,
    /// Who may do what.
    pub access: Access,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// Whether new uploads are taken.
    pub drain: Drain,
    /// The node number.
    pub number: u16,
    /// When this process started.
    pub started: SystemTime,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Node")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// The key that stands for all that mean the same file.
    fn read(&self, key: FileKey) -> FileKey {
        match key {
            FileKey::Foreign(text) => self.store.key(&text),
            FileKey::Id(_) => key,
        }
    }
}

/// The routes of the socket for nginx.
pub fn public(service: &mut ServiceConfig) {
    let slices_of = |location: &str| format!("{location}/{{key}}/{{version}}");
    let collection = |path: &str| {
        web::resource(path)
            .route(web::post().to(upload::posted))
            .route(web::put().to(upload::unnamed))
            .default_service(only("POST, PUT"))
    };
    let file = |path: &str| {
        web::resource(path)
            .route(web::get().to(download::file))
            .route(web::head().to(download::file))
            .route(web::put().to(upload::named))
            .route(web::delete().to(delete::file))
            .default_service(only("GET, HEAD, PUT, DELETE"))
    };
    service
        .service(collection("/files"))
        .service(collection("/files/"))
        .service(file("/files/{id}"))
        .service(
            // Uploads and deletes take it for a name, as any other.
            web::resource("/files/{id}/{name:meta}")
                .route(web::get().to(document::meta))
                .route(web::head().to(document::meta))
                .route(web::put().to(upload::named))
                .route(web::delete().to(delete::file))
                .default_service(only("GET, HEAD, PUT, DELETE")),
        )
        .service(file("/files/{id}/{name:.*}"))
        .route(accel::ADMISSION, web::get().to(access::admission))
        .route(accel::ROOM_FOR_UPLOAD, web::get().to(room::room))
        .route(&slices_of(accel::STORE), web::get().to(slices::slice))
        .route(&slices_of(accel::SMALL_STORE), web::get().to(slices::slice))
        .route(
            &format!("{}/{{room}}/{{id}}", accel::JOURNAL),
            web::get().to(download::again),
        )
        .service(
            web::resource(format!("{HOP}/files/{{id}}"))
                .route(web::get().to(hop::file))
                .route(web::head().to(hop::file))
                .route(web::delete().to(hop::delete)),
        )
        .service(
            web::resource(format!("{HOP}/files/{{id}}{}", hop::META))
                .route(web::get().to(hop::meta))
                .route(web::head().to(hop::meta)),
        )
        .route(&format!("{HOP}/node"), web::get().to(hop::introduce))
        .service(
            web::resource(format!("{}/{{node}}/files/{{id}}", accel::PEER))
                .route(web::get().to(hop::again))
                .route(web::head().to(hop::again)),
        )
        .service(
            web::resource(format!(
                "{}/{{node}}/files/{{id}}{}",
                accel::PEER,
                hop::META
            ))
            .route(web::get().to(hop::meta_again))
            .route(web::head().to(hop::meta_again)),
        )
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .default_service(web::to(nothing_here));
}

/// The routes of the admin socket.
pub fn admin(service: &mut ServiceConfig) {
    service
        .route("/status", web::get().to(admin::status))
        .route("/metrics", web::get().to(metrics::metrics))
        .route("/waiting", web::get().to(waiting::list))
        .route("/waiting/{id}", web::get().to(waiting::one))
        .route("/waiting/{id}/retry", web::post().to(waiting::retry))
        .route("/hold/retry", web::post().to(waiting::retry_held))
        .route("/drain", web::post().to(drain::begin))
        .route("/drain", web::delete().to(drain::end))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .default_service(web::to(nothing_here));
}

async fn nothing_here() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

/// Answers a method that a resource does not have.
fn only(allow: &'static str) -> Route {
    web::to(
        move |request: HttpRequest, node: web::Data<Node>| async move {
            access::caller(&request, &node)?;
            Err::<HttpResponse, _>(Problem::method_not_allowed(allow))
        },
    )
}
