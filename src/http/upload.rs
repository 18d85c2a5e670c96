//! POST and PUT: from a head and a spool file to a promise.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::access::{self, Caller};
use super::content_type::{self, FormType};
use super::idempotency::{Key, Shape};
use super::prefer::Preferences;
use super::subjects::Reservation;
use super::{Node, Problem, created, digest, disposition, form, upload_metadata};
use crate::accel;
use crate::file::{FileName, MediaType, Metadata, UnixMillis, Window};
use crate::journal::{Adopted, Draft};
use crate::spool::SpooledBody;

/// `POST /files`: a form, or a file itself.
pub(super) async fn posted(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Some(form_type) = content_type::form(request.headers())? else {
        return upload(&request, node.into_inner(), None).await;
    };
    let caller = access::uploader(&request, &node)?;
    let head = Head::read(request.headers())?;
    let (preferences, node) = (Preferences::read(request.headers()), node.into_inner());
    let adopting = Arc::clone(&node);
    let adopted = web::block(move || adopt_form(&adopting, &caller, head, &form_type)).await??;
    created::answer(node, preferences, adopted, Shape::Form).await
}

/// PUT without a name.
pub(super) async fn unnamed(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    upload(&request, node.into_inner(), None).await
}

/// `PUT /files/{filename}`, as `curl -T` sends it. Of a longer path the last part is the name.
pub(super) async fn named(
    request: HttpRequest,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let segment = ["name", "id"]
        .into_iter()
        .filter_map(|part| request.match_info().get(part))
        .find(|segment| !segment.is_empty());
    let name = segment
        .and_then(|segment| FileName::from_claim(&percent_decode_str(segment).decode_utf8_lossy()));
    upload(&request, node.into_inner(), name).await
}

/// Claims the spool file and adopts it, in one go on the blocking pool: a caller that hangs up
/// half-way leaves either a promise or nothing.
async fn upload(
    request: &HttpRequest,
    node: Arc<Node>,
    path_name: Option<FileName>,
) -> Result<HttpResponse, Problem> {
    let caller = access::uploader(request, &node)?;
    let headers = request.headers();
    if content_type::form(headers)?.is_some() {
        return Err(Problem::no_form_here());
    }
    let claimed_type = content_type::claimed(headers)?;
    let filename = headers
        .get(header::CONTENT_DISPOSITION)
        .and_then(disposition::claimed_name)
        .or(path_name);
    let head = Head::read(headers)?;
    let preferences = Preferences::read(headers);
    let adopting = Arc::clone(&node);
    let adopted =
        web::block(move || adopt(&adopting, &caller, head, claimed_type, filename)).await??;
    created::answer(node, preferences, adopted, Shape::File).await
}

/// What the head of an upload says of its body.
struct Head {
    spooled: Option<Spooled>,
    digests: digest::Claimed,
    metadata: Metadata,
    key: Key,
}

impl Head {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            spooled: spooled(headers)?,
            digests: digest::Claimed::read(headers)?,
            metadata: upload_metadata::read(headers)?,
            key: Key::read(headers)?,
        })
    }

    /// Claims the spool file, and sees that it is what was sent. Blocks.
    fn claim(&self, node: &Node) -> Result<Option<SpooledBody>, Problem> {
        let claim = |spooled: &Spooled| node.spool.claim(&spooled.path, spooled.length);
        let body = self.spooled.as_ref().map(claim).transpose()?;
        self.digests.check(body.as_ref())?;
        Ok(body)
    }
}

/// What nginx says of the body: the header that names its file, and its length.
struct Spooled {
    path: Vec<u8>,
    length: Option<u64>,
}

/// `None` if the request has no body.
fn spooled(headers: &HeaderMap) -> Result<Option<Spooled>, Problem> {
    let length = match headers.get(accel::BODY_LENGTH) {
        None => None,
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(length.ok_or_else(Problem::body_not_passed)?)
        }
    };
    match headers.get(accel::BODY_FILE) {
        Some(path) => Ok(Some(Spooled {
            path: path.as_bytes().to_owned(),
            length,
        })),
        None if length.unwrap_or(0) == 0 => Ok(None),
        None => {
            log::error!("nginx counted a body and named no file: see nginx.conf.d/gridspool");
            Err(Problem::body_not_passed())
        }
    }
}

/// Blocks on the disk.
fn adopt(
    node: &Node,
    caller: &Caller,
    head: Head,
    claimed_type: Option<MediaType>,
    filename: Option<FileName>,
) -> Result<Vec<Adopted>, Problem> {
    let body = head.claim(node)?;
    let window = Window::whole(body.as_ref().map_or(0, SpooledBody::length));
    let mut room = caller.check_body(node, window.length)?;
    let content_type = type_of(caller, claimed_type, body.as_ref(), window)?;
    let draft = Draft {
        filename,
        content_type,
        metadata: forced(caller, head.metadata)?,
        request: None,
    };
    let (body, parts) = (body.as_ref(), vec![(window, draft)]);
    head.key
        .once(node, caller, Shape::File, body, parts, |parts| {
            let drafts = parts.into_iter().map(|(_, draft)| draft);
            let adopted = drafts.map(|draft| node.journal.adopt(body, draft));
            let adopted = adopted.collect::<Result<Vec<_>, _>>()?;
            enter(node, &mut room, &adopted);
            Ok(adopted)
        })
}

/// Blocks on the disk. All files of a form are promised, or none.
fn adopt_form(
    node: &Node,
    caller: &Caller,
    head: Head,
    form_type: &FormType,
) -> Result<Vec<Adopted>, Problem> {
    let body = head.claim(node)?.ok_or_else(Problem::no_file_in_form)?;
    let form = form::read(&body, form_type, head.metadata)?;
    let metadata = forced(caller, form.metadata)?;
    // The parts keep the whole body on the disk.
    let mut room = caller.check_body(node, body.length())?;
    let drafts = form.files.into_iter().map(|file| {
        let draft = Draft {
            filename: file.filename,
            content_type: type_of(caller, file.content_type, Some(&body), file.window)?,
            metadata: metadata.clone(),
            request: None,
        };
        Ok((file.window, draft))
    });
    let drafts = drafts.collect::<Result<Vec<_>, Problem>>()?;
    head.key
        .once(node, caller, Shape::Form, Some(&body), drafts, |drafts| {
            let adopted = node.journal.adopt_form(&body, drafts)?;
            enter(node, &mut room, &adopted);
            Ok(adopted)
        })
}

/// Counts what was promised, and has it committed.
fn enter(node: &Node, room: &mut Reservation<'_>, adopted: &[Adopted]) {
    for file in adopted {
        room.keep(file.id(), file.meta().length);
        node.backlog.push(file.id(), UnixMillis::now());
    }
}

/// The type that a file gets: what its sender says, or what its first bytes show; if the sender
/// may send it.
fn type_of(
    caller: &Caller,
    claimed: Option<MediaType>,
    body: Option<&SpooledBody>,
    window: Window,
) -> Result<MediaType, Problem> {
    let sniffed = || {
        let sniffed = body.map(|body| body.sniff(window)).transpose()?;
        Ok(sniffed.unwrap_or_else(MediaType::octet_stream))
    };
    let content_type = claimed.unwrap_or_else(|| {
        sniffed().unwrap_or_else(|err: std::io::Error| {
            log::warn!("a body's type cannot be sniffed: {err}");
            MediaType::octet_stream()
        })
    });
    if body.is_some() {
        caller.check_type(&content_type, sniffed)?;
    }
    Ok(content_type)
}

/// What is kept with a file: what its sender says, and above it what the token does.
fn forced(caller: &Caller, mut metadata: Metadata) -> Result<Metadata, Problem> {
    for (name, text) in caller.grant.metadata() {
        metadata.insert(name.clone(), text.clone())?;
    }
    Ok(metadata)
}
