//! POST and PUT: from a head and a body to a promise.

use std::slice;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;

use super::access::{self, Caller};
use super::content_type::{self, Claimed};
use super::form_upload::FormUpload;
use super::idempotency::{Course, Key, Shape, subject_of};
use super::prefer::Preferences;
use super::subjects::Reservation;
use super::{Node, Problem, created, digest, disposition, form_upload, passed, upload_metadata};
use crate::accel;
use crate::file::{FileName, MediaType, Metadata, Window};
use crate::journal::{Adopted, Draft, Free, record_bytes};
use crate::spool::{Received, SpooledBody};

/// The name in metadata of the type that a sender claimed, where the file has got another.
const CLAIMED: &str = "claimed_content_type";

/// `POST /files`: a form, or a file itself.
pub(super) async fn posted(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let Some(boundary) = content_type::boundary(request.headers())? else {
        return upload(&request, body, node, None).await;
    };
    let upload = FormUpload {
        caller: access::uploader(&request, &node).await?,
        head: Head::read(request.headers())?,
        node: node.into_inner(),
        boundary,
    };
    form_upload::take(upload, Preferences::read(request.headers())).await
}

/// PUT without a name.
pub(super) async fn unnamed(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    upload(&request, body, node, None).await
}

/// `PUT /files/{filename}`, as `curl -T` sends it. The last part of a longer path is the name.
pub(super) async fn named(
    request: HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Problem> {
    let segment = ["name", "id"]
        .into_iter()
        .filter_map(|part| request.match_info().get(part))
        .find(|segment| !segment.is_empty());
    let name = segment.and_then(|segment| {
        let bytes: Vec<u8> = percent_decode_str(segment).collect();
        disposition::name_in_path(&bytes)
    });
    upload(&request, body, node, name).await
}

/// Takes a body over to its end: a caller that hangs up half-way leaves either a promise or nothing.
async fn upload(
    request: &HttpRequest,
    body: web::Payload,
    node: web::Data<Node>,
    path_name: Option<FileName>,
) -> Result<HttpResponse, Problem> {
    let caller = access::uploader(request, &node).await?;
    let headers = request.headers();
    if content_type::is_form(headers) {
        return Err(Problem::no_form_here());
    }
    let upload = Upload {
        content_type: Claimed::of(headers),
        filename: headers
            .get(header::CONTENT_DISPOSITION)
            .and_then(|value| disposition::claimed_name(value.as_bytes()))
            .or(path_name),
        head: Head::read(headers)?,
        caller,
        node: node.clone(),
    };
    let preferences = Preferences::read(headers);
    let adopted = if passed::is_passed(headers) {
        let body = passed::read(headers, body).await?;
        passed::take(upload, body).await?
    } else {
        web::block(move || upload.adopt_spooled()).await??
    };
    created::answer(node.into_inner(), preferences, adopted, Shape::File).await
}

/// A file that is being uploaded as a body of its own, and by whom.
pub(super) struct Upload {
    pub(super) node: web::Data<Node>,
    pub(super) caller: Caller,
    head: Head,
    content_type: Claimed,
    filename: Option<FileName>,
}

impl Upload {
    /// Claims the spool file and adopts it. Blocks on the disk.
    fn adopt_spooled(self) -> Result<Vec<Adopted>, Problem> {
        let spooled = self.head.claim(&self.node)?;
        let body = Received::from(spooled.as_ref());
        // nginx asked whether it may come before it spooled it.
        self.adopt(body, None)
    }

    /// Adopts it, unless that was done before: within this room, if it was not let in yet. Blocks on the disk.
    pub(super) fn adopt(
        &self,
        body: Received<'_>,
        room: Option<Free>,
    ) -> Result<Vec<Adopted>, Problem> {
        let (mut reserved, draft) = self.check(body)?;
        let _running = match Course::of(&self.node.journal, draft.request)? {
            Course::Answered(answer) => return Ok(answer),
            Course::Adopt(running) => running,
        };
        if let Some(room) = room {
            self.node.journal.check_room(room, body.length())?;
        }
        let adopted = self.node.journal.adopt(body, draft)?;
        self.node.delivery.learn(&adopted, true, None);
        let adopted = vec![adopted];
        enter(&self.node, &mut reserved, &adopted);
        Ok(adopted)
    }

    /// Sees that the body is what was sent and may be kept, and keeps room for it.
    pub(super) fn check(&self, body: Received<'_>) -> Result<(Reservation, Draft), Problem> {
        let stated = self.head.digests.check(body)?;
        let window = Window::whole(body.length());
        let mut metadata = forced(&self.caller, self.head.metadata.clone())?;
        let records = record_bytes(&metadata);
        let room = self.caller.check_body(&self.node, window.length, records)?;
        let claimed = self.content_type.clone();
        let content_type = type_of(&self.caller, claimed, body, window, &mut metadata)?;
        let mut part = (
            window,
            Draft {
                content_type,
                filename: self.filename.clone(),
                metadata,
                request: None,
                subject: subject_of(&self.caller),
                stated,
            },
        );
        let key = &self.head.key;
        part.1.request = key.request(&self.caller, Shape::File, body, slice::from_ref(&part))?;
        Ok((room, part.1))
    }
}

/// The claims of an upload's head about its body.
pub(super) struct Head {
    spooled: Option<Spooled>,
    pub(super) digests: digest::Claimed,
    pub(super) metadata: Metadata,
    pub(super) key: Key,
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

    /// Claims the spool file. Blocks.
    pub(super) fn claim(&self, node: &Node) -> Result<Option<SpooledBody>, Problem> {
        let claim = |spooled: &Spooled| node.spool.claim(&spooled.path, spooled.length);
        Ok(self.spooled.as_ref().map(claim).transpose()?)
    }
}

/// nginx's words about the body: the header that names its file, and its length.
struct Spooled {
    path: Vec<u8>,
    length: Option<u64>,
}

/// `None` if the request has no body, or one that came with it.
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

/// Counts what was promised, and has it committed.
pub(super) fn enter(node: &Node, room: &mut Reservation, adopted: &[Adopted]) {
    for (place, file) in adopted.iter().enumerate() {
        let meta = file.meta();
        // Bytes between the parts of a form stay on the disk as long as the parts do.
        let is_last = place + 1 == adopted.len();
        let own = meta.length + record_bytes(&meta.metadata);
        let bytes = if is_last { u64::MAX } else { own };
        room.keep(&node.journal, file.id(), bytes);
        node.backlog.push_now(file.id());
    }
}

/// The type that a file gets: what its sender means, or what its first bytes show; if the sender
/// may send it. The type that the sender claimed stays in the metadata, if it is another.
pub(super) fn type_of(
    caller: &Caller,
    claimed: Claimed,
    body: Received<'_>,
    window: Window,
    metadata: &mut Metadata,
) -> Result<MediaType, Problem> {
    let sniffed = || body.sniff(window);
    let is_meant = claimed.meant().is_some();
    let (content_type, said) = claimed.or_shown(|| {
        sniffed().unwrap_or_else(|err: std::io::Error| {
            log::warn!("a body's type cannot be sniffed: {err}");
            MediaType::octet_stream()
        })
    });
    if window.length > 0 {
        caller.check_type(&content_type, sniffed)?;
    } else if is_meant {
        // Nothing contradicts it.
        caller.check_type(&content_type, || Ok(content_type.clone()))?;
    }
    if let Some(said) = said
        && !caller.grant.metadata().contains_key(CLAIMED)
        && let Err(err) = metadata.set(CLAIMED.to_owned(), said)
    {
        log::debug!("what was said of a type is not kept: {err}");
    }
    Ok(content_type)
}

/// The metadata that is kept with a file: its sender's, and above it the token's.
pub(super) fn forced(caller: &Caller, mut metadata: Metadata) -> Result<Metadata, Problem> {
    for (name, text) in caller.grant.metadata() {
        metadata.set(name.clone(), text.clone())?;
    }
    Ok(metadata)
}
