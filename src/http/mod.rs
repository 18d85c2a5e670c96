//! The edge that nginx speaks with: heads of requests in, heads of answers out.
//!
//! nginx has spooled the body before a request comes here, and sends the body of an answer itself.
//! The only bytes of files that pass through are slices of committed files on their way into
//! nginx's cache. This is the only room that knows actix.

mod access;
mod admin;
mod allow;
mod catch_panic;
mod changes;
mod conditions;
mod connection;
mod content_type;
mod created;
mod delete;
mod digest;
mod disposition;
mod document;
mod download;
mod drain;
mod elsewhere;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod hop;
mod idempotency;
mod layers;
mod log_throttle;
mod methods;
mod metrics;
mod passed;
mod path;
mod pieces;
mod prefer;
mod problem;
mod ranges;
mod reason;
mod refusal;
mod refused;
mod room;
mod slices;
mod upload;
mod upload_metadata;
mod waiting;
mod whole;

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use crate::accel;
use crate::commit::{Arrivals, Backlog, Health, Slots, Tally};
use crate::delivery::Delivery;
use crate::file::FileKey;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::peers::{HOP, Peers};
use crate::store::Store;

pub use access::Access;
pub use catch_panic::catch_panic;
pub use connection::Connection;
pub use drain::Drain;
pub use prefer::Waits;
use problem::Problem;
pub use refused::{check_path, count_refusal};
pub use slices::Turns;

/// The parts of one node, for the handlers.
pub struct Node {
    /// Where promises are made.
    pub journal: Arc<Journal>,
    /// Takes uploads in.
    pub intake: Arc<Intake>,
    /// The entries that the committer has to commit or clear away.
    pub backlog: Arc<Backlog>,
    /// Finds and deletes files.
    pub delivery: Arc<Delivery>,
    /// Where committed files are.
    pub store: Arc<dyn Store>,
    /// Whether the store answers.
    pub health: Health,
    /// How many commits may run.
    pub slots: Arc<Slots>,
    /// The uploads that wait for a commit.
    pub arrivals: Arc<Arrivals>,
    /// Room for senders who wait for a commit.
    pub waits: Waits,
    /// The count of what was committed.
    pub tally: Arc<Tally>,
    /// How many slices go at once.
    pub slices: Turns,
    /// The rights of callers.
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
        let resource = web::resource(path)
            .route(web::post().to(upload::posted))
            .route(web::put().to(upload::unnamed));
        methods::and_no_other(resource, "POST, PUT, OPTIONS")
    };
    let file = |path: &str| {
        let resource = web::resource(path)
            .route(web::get().to(download::file))
            .route(web::head().to(download::file))
            .route(web::put().to(upload::named))
            .route(web::delete().to(delete::file));
        methods::and_no_other(resource, allow::OF_FILE)
    };
    // An upload takes it for a name, as any other. A delete would be one of the file.
    let meta = web::resource("/files/{id}/{name:meta}")
        .route(web::get().to(document::meta))
        .route(web::head().to(document::meta))
        .route(web::put().to(upload::named));
    let below_meta = web::resource("/files/{id}/{name:meta/.*}")
        .route(web::get().to(download::file))
        .route(web::head().to(download::file))
        .route(web::put().to(upload::named));
    // Another node asks by way of the first, and this node's nginx comes back to the second.
    let at_owner = |rest: &str| web::resource(format!("{HOP}/files/{{id}}{rest}"));
    let again = |rest: &str| web::resource(format!("{}/{{node}}/files/{{id}}{rest}", accel::PEER));
    service
        .service(collection("/files"))
        .service(collection("/files/"))
        .service(file("/files/{id}"))
        .service(methods::and_no_other(meta, allow::OF_META))
        .service(methods::and_no_other(below_meta, allow::OF_META))
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
            at_owner("")
                .route(web::get().to(hop::file))
                .route(web::head().to(hop::file))
                .route(web::delete().to(hop::delete))
                .default_service(methods::only("GET, HEAD, DELETE")),
        )
        .service(
            at_owner(elsewhere::META)
                .route(web::get().to(hop::meta))
                .route(web::head().to(hop::meta))
                .default_service(methods::only("GET, HEAD")),
        )
        .service(
            web::resource(format!("{HOP}/node"))
                .route(web::get().to(hop::introduce))
                .default_service(methods::only("GET")),
        )
        .service(
            again("")
                .route(web::get().to(hop::again))
                .route(web::head().to(hop::again)),
        )
        .service(
            again(elsewhere::META)
                .route(web::get().to(hop::meta_again))
                .route(web::head().to(hop::meta_again)),
        )
        .configure(health::routes)
        .default_service(web::to(nothing_here));
}

/// The routes of the admin socket.
pub fn admin(service: &mut ServiceConfig) {
    let reading = |path: &str| web::resource(path).default_service(methods::only("GET"));
    let posting = |path: &str| web::resource(path).default_service(methods::only("POST"));
    service
        .service(reading("/status").route(web::get().to(admin::status)))
        .service(reading("/metrics").route(web::get().to(metrics::metrics)))
        .service(reading("/waiting").route(web::get().to(waiting::list)))
        .service(reading("/waiting/{id}").route(web::get().to(waiting::one)))
        .service(posting("/waiting/{id}/retry").route(web::post().to(waiting::retry)))
        .service(posting("/hold/retry").route(web::post().to(waiting::retry_held)))
        .service(
            web::resource("/drain")
                .route(web::post().to(drain::begin))
                .route(web::delete().to(drain::end))
                .default_service(methods::only("POST, DELETE")),
        )
        .configure(health::routes)
        .default_service(web::to(nothing_here));
}

async fn nothing_here() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
