//! Answers requests of other nodes, which come through their nginx and ours, and requests of this
//! node's nginx after another node did not have a file. [`crate::peers`] describes the protocol.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::waiting::Why;
use super::{delete, download, live, meta};
use crate::delivery::{Found, MessageHere, OutlineHere, Usable};
use crate::file::{FileId, FileKey, Sha256};
use crate::http::headers::text;
use crate::http::{Node, Problem};
use crate::journal::{Kept, Lookup};
use crate::message::links::Reason;
use crate::peers::{NEVER_PROMISED, PASS, Purpose};

/// Answers `GET` and `HEAD` of a file that may be on this node's disk.
pub(super) async fn file(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let kept = look(&request, &node).await?;
    download::answer_kept(&request, &node, &kept).await
}

/// Answers `GET` and `HEAD` of an upload on this node that may still grow, or of the file that it has become.
pub(super) async fn live(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    node.peers.check(pass(&request), Purpose::Read, id)?;
    if let Lookup::Growing = node.delivery.lookup(id).await? {
        return live::begin(&request, &node, id).await;
    }
    let kept = look_at(id, &node).await?;
    download::answer_kept(&request, &node, &kept).await
}

/// Answers `GET` and `HEAD` of the description of such a file.
pub(super) async fn meta(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    // The other node has checked that the token is an admin's.
    let explains = node
        .peers
        .check(pass(&request), Purpose::Explain, id(&request)?);
    let (kept, why) = if explains.is_ok() {
        let kept = look_at(id(&request)?, &node).await?;
        let why = Why::of(&node, kept.id).await?;
        (kept, why)
    } else {
        (look(&request, &node).await?, None)
    };
    meta::describe(&FileKey::Id(kept.id), &Found::Kept(kept), why)
}

/// The file on this node's disk, for another node: 404 if it is not there, even if the store has it, and 410
/// if no other place has it: it was deleted, or is an upload that may still grow.
async fn look(request: &HttpRequest, node: &Node) -> Result<Kept, Problem> {
    let id = id(request)?;
    node.peers.check(pass(request), Purpose::Read, id)?;
    look_at(id, node).await
}

async fn look_at(id: FileId, node: &Node) -> Result<Kept, Problem> {
    match node.delivery.lookup(id).await? {
        Lookup::Kept(kept) => Ok(kept),
        Lookup::Deleted | Lookup::Growing => Err(Problem::deleted()),
        Lookup::Absent => Err(Problem::not_found()),
    }
}

/// Answers `GET` of a message that may be on this node's disk, with a signature, in the form that
/// nodes use.
pub(super) async fn message(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    node.peers.check(pass(&request), Purpose::Message, id)?;
    match node.delivery.message_in_journal(id).await? {
        MessageHere::Found(found) => {
            let told = found.carry().map_err(|err| Problem::not_written(&err))?;
            Ok(signed(node.peers.seal(id, &told)))
        }
        MessageHere::Deleted => Err(Problem::deleted()),
        MessageHere::Absent => Err(Problem::not_found()),
    }
}

/// Answers `GET` of the description of a file that a message refers to, with a signature.
pub(super) async fn outline(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    node.peers.check(pass(&request), Purpose::Outline, id)?;
    let usable = match request.query_string().strip_prefix("of=") {
        None => Usable::Any,
        Some(digest) => Usable::Of(Sha256::from_hex(digest).ok_or_else(Problem::not_found)?),
    };
    match node.delivery.outline_in_journal(id, usable).await? {
        OutlineHere::Found(outline) => {
            let told = serde_json::to_string(&outline);
            let told = told.map_err(|err| Problem::not_written(&err))?;
            Ok(signed(node.peers.seal(id, &told)))
        }
        OutlineHere::Unusable => Err(Problem::deleted()),
        OutlineHere::Absent => Err(Problem::not_found()),
    }
}

/// Answers `POST` of a link to a file that waits here for its commit: the outcome, with a
/// signature.
pub(super) async fn link(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let (file, message) = (id(&request)?, linked_to(&request)?);
    let pass = pass(&request);
    node.peers.check_link(pass, Purpose::Link, file, message)?;
    let linked = node.links.link_here(file, message).await?;
    Ok(signed(node.peers.seal_linked(file, message, linked)))
}

/// Answers `DELETE` of such a link.
pub(super) async fn unlink(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let (file, message) = (id(&request)?, linked_to(&request)?);
    let pass = pass(&request);
    let reason = match request.query_string() {
        NEVER_PROMISED => Reason::NeverPromised,
        _ => Reason::Deleted,
    };
    let purpose = Purpose::of_unlink(reason);
    node.peers.check_link(pass, purpose, file, message)?;
    let unlinked = node.links.unlink_here(file, message, reason).await?;
    let word = (node.peers).seal_unlinked(purpose, file, message, unlinked);
    Ok(signed(word))
}

/// Answers `DELETE` of a file that this node gave its id. There is no pass for other files, so no
/// request goes from node to node without end.
pub(super) async fn delete(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    node.peers.check(pass(&request), Purpose::Delete, id)?;
    delete::carry_out(node, FileKey::Id(id)).await
}

/// Answers `DELETE` of a message that this node gave its id.
pub(super) async fn delete_message(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = id(&request)?;
    let pass = pass(&request);
    node.peers.check(pass, Purpose::DeleteMessage, id)?;
    delete::carry_out_message(node, id).await
}

/// Answers `POST` of another node's ballots on idempotency keys, with signed votes.
pub(super) async fn votes(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let ballots = node.peers.check_ballots(pass(&request), asked(&request))?;
    let ballots = ballots.ok_or_else(Problem::not_found)?;
    let (ballots, votes) = node.intake.votes(ballots).await?;
    Ok(signed(node.peers.seal_votes(&ballots, &votes)))
}

/// Answers `POST` of a question for what there is under an idempotency key here, with a signature.
pub(super) async fn key(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let question = node.peers.check_key(pass(&request), asked(&request))?;
    let question = question.ok_or_else(Problem::not_found)?;
    let told = node.intake.tell_of_key(question).await?;
    Ok(signed(node.peers.seal_key(&question, &told)))
}

/// Answers `POST` of a question for the answers to keys of this node, which leaves, with a signature.
pub(super) async fn hand_over(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let asked = asked(&request);
    let question = node.peers.check_hand_over(pass(&request), asked)?;
    let (place, asked_by) = question.ok_or_else(Problem::not_found)?;
    let told = node.intake.hand_over(place).await?;
    let told = told.ok_or_else(Problem::not_found)?;
    let told = node.peers.seal(asked_by, &format!("{asked} {told}"));
    Ok(signed(told))
}

/// Answers `GET` of a piece of a partial upload that is to be put together with others, with a signature.
pub(super) async fn part(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let part = node.peers.check_part(pass(&request), asked(&request))?;
    let part = part.ok_or_else(Problem::not_found)?;
    let piece = node.intake.tell_of_part(part).await?;
    let told = node.peers.seal_part(&part, piece.as_ref());
    Ok(HttpResponse::Ok().body(told))
}

/// Answers `GET` with the introduction of this node.
pub(super) async fn introduce(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let from = request.query_string().strip_prefix("from=");
    let from = from.and_then(|from| from.parse().ok());
    let introduction = node.peers.introduce(pass(&request), from)?;
    Ok(HttpResponse::Ok().json(introduction))
}

/// The owner does not have the file, so it is in the store by now, or nowhere.
pub(super) async fn again(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let found = node.delivery.find_after_owner(sent_back(&request)?).await?;
    download::send_found(&request, &node, found).await
}

/// Does the same for a description.
pub(super) async fn meta_again(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let id = sent_back(&request)?;
    let found = node.delivery.find_after_owner(id).await?;
    meta::describe(&FileKey::Id(id), &found, None)
}

/// The file that its owner does not have. No token is checked here, so the address must be exactly the one
/// that this process gave nginx.
fn sent_back(request: &HttpRequest) -> Result<FileId, Problem> {
    let owner: Option<u16> = request.match_info().query("node").parse().ok();
    owner.ok_or_else(Problem::not_found)?;
    id(request)
}

fn signed(answer: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(answer)
}

fn asked(request: &HttpRequest) -> &str {
    request.match_info().query("asked")
}

fn linked_to(request: &HttpRequest) -> Result<FileId, Problem> {
    let message = request.match_info().query("message").parse();
    message.map_err(|_| Problem::not_found())
}

fn id(request: &HttpRequest) -> Result<FileId, Problem> {
    let id = request.match_info().query("id").parse();
    id.map_err(|_| Problem::not_found())
}

fn pass(request: &HttpRequest) -> &str {
    text(request.headers(), PASS)
}

impl Problem {
    /// Tells another node that the file was deleted, so that it does not look elsewhere.
    fn deleted() -> Self {
        Self::new(StatusCode::GONE, "deleted", "The file was deleted.")
    }
}
