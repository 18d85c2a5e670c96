//! The routes of both sockets. A route reads its request, calls another room, and answers.

mod admission;
mod created;
mod delete;
mod download;
mod drain;
mod elsewhere;
mod file;
mod health;
mod inline_body;
mod list;
mod live;
mod messages;
mod meta;
mod methods;
mod metrics;
mod peer;
mod receivers;
mod rescue;
mod room;
mod salvage;
mod slices;
mod snapshot;
mod status;
mod taken;
mod upload;
mod upload_form;
mod uploads;
mod uploads_admission;
mod uploads_answer;
mod uploads_begin;
mod uploads_made;
mod waiting;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use super::Problem;
use crate::accel;
use crate::peers::{HOP, address_of_parts, addresses_of_keys};

/// The routes of the socket for nginx.
pub fn public(service: &mut ServiceConfig) {
    let slices_of = |location: &str| format!("{location}/{{key}}/{{version}}");
    let collection = |path: &str| {
        let resource = web::resource(path)
            .route(web::post().to(upload::posted))
            .route(web::put().to(upload::put))
            .route(web::get().to(list::list))
            .route(web::head().to(list::list));
        methods::and_no_other(resource, methods::OF_FILES)
    };
    let file = |path: &str| {
        let resource = web::resource(path)
            .route(web::get().to(file::file))
            .route(web::head().to(file::file))
            .route(web::put().to(upload::put))
            .route(web::delete().to(delete::file));
        methods::and_no_other(resource, methods::OF_FILE)
    };
    // For an upload it is a name as any other. A delete would delete the file, so there is none.
    let meta = web::resource("/files/{id}/{name:meta}")
        .route(web::get().to(meta::meta))
        .route(web::head().to(meta::meta))
        .route(web::put().to(upload::put));
    let below_meta = web::resource("/files/{id}/{name:meta/.*}")
        .route(web::get().to(file::file))
        .route(web::head().to(file::file))
        .route(web::put().to(upload::put));
    // Another node asks at the first address, and this node's nginx comes back to the second.
    let at_owner = |rest: &str| web::resource(format!("{HOP}/files/{{id}}{rest}"));
    let again = |rest: &str| web::resource(format!("{}/{{node}}/files/{{id}}{rest}", accel::PEER));
    service
        .service(collection("/files"))
        .service(collection("/files/"))
        .service(file("/files/{id}"))
        .service(methods::and_no_other(meta, methods::OF_META))
        .service(methods::and_no_other(below_meta, methods::OF_META))
        .service(file("/files/{id}/{name:.*}"))
        .configure(uploads::routes)
        .configure(messages::routes)
        .configure(receivers::routes)
        .route(accel::ADMISSION, web::get().to(admission::admission))
        .route(accel::SALVAGE, web::post().to(salvage::salvage))
        .route(accel::ROOM_FOR_UPLOAD, web::get().to(room::room))
        .route(&slices_of(accel::STORE), web::get().to(slices::slice))
        .route(&slices_of(accel::SMALL_STORE), web::get().to(slices::slice))
        .route(
            &format!("{}/{{room}}/{{id}}", accel::JOURNAL),
            web::get().to(download::again),
        )
        .service(
            at_owner("")
                .route(web::get().to(peer::file))
                .route(web::head().to(peer::file))
                .route(web::delete().to(peer::delete))
                .default_service(methods::only("GET, HEAD, DELETE")),
        )
        .configure(of_growing)
        .service(
            at_owner(elsewhere::META)
                .route(web::get().to(peer::meta))
                .route(web::head().to(peer::meta))
                .default_service(methods::only("GET, HEAD")),
        )
        .service(
            at_owner("/outline")
                .route(web::get().to(peer::outline))
                .default_service(methods::only("GET")),
        )
        .service(
            at_owner("/links/{message}")
                .route(web::post().to(peer::link))
                .route(web::delete().to(peer::unlink))
                .default_service(methods::only("POST, DELETE")),
        )
        .service(
            web::resource(format!("{HOP}/messages/{{id}}"))
                .route(web::get().to(peer::message))
                .route(web::delete().to(peer::delete_message))
                .default_service(methods::only("GET, DELETE")),
        )
        .service(
            web::resource(format!("{HOP}/node"))
                .route(web::get().to(peer::introduce))
                .default_service(methods::only("GET")),
        )
        .service(
            again("")
                .route(web::get().to(peer::again))
                .route(web::head().to(peer::again)),
        )
        .service(
            again(elsewhere::META)
                .route(web::get().to(peer::meta_again))
                .route(web::head().to(peer::meta_again)),
        )
        .configure(of_keys)
        .configure(health::routes)
        .default_service(web::to(nothing_here));
}

/// The addresses at which other nodes ask about idempotency keys.
fn of_keys(service: &mut ServiceConfig) {
    let [votes, answers, kept] = addresses_of_keys();
    let asking = |path: String| web::resource(path).default_service(methods::only("POST"));
    service
        .service(asking(votes).route(web::post().to(peer::votes)))
        .service(asking(answers).route(web::post().to(peer::key)))
        .service(asking(kept).route(web::post().to(peer::hand_over)));
}

/// The addresses of uploads that may still grow, to which nginx is sent, and of those that are to be put
/// together.
fn of_growing(service: &mut ServiceConfig) {
    service
        .service(
            web::resource(address_of_parts())
                .route(web::get().to(peer::part))
                .default_service(methods::only("GET")),
        )
        .route(
            &format!("{}/{{id}}", accel::LIVE),
            web::get().to(live::bytes),
        )
        .service(
            web::resource(format!("{HOP}/live/{{id}}"))
                .route(web::get().to(peer::live))
                .route(web::head().to(peer::live))
                .default_service(methods::only("GET, HEAD")),
        )
        .service(
            web::resource(format!("{}/{{node}}/live/{{id}}", accel::PEER_LIVE))
                .route(web::get().to(peer::again))
                .route(web::head().to(peer::again)),
        );
}

/// The routes of the admin socket.
pub fn admin(service: &mut ServiceConfig) {
    let reading = |path: &str| web::resource(path).default_service(methods::only("GET"));
    let posting = |path: &str| web::resource(path).default_service(methods::only("POST"));
    service
        .service(reading("/status").route(web::get().to(status::status)))
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
        .service(
            web::resource("/rescue")
                .route(web::get().to(rescue::progress))
                .route(web::post().to(rescue::begin))
                .default_service(methods::only("GET, POST")),
        )
        .configure(health::routes)
        .default_service(web::to(nothing_here));
}

async fn nothing_here() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
