//! Callers and their rights: tokens, sizes, types, rates and quotas.
//!
//! An upload is checked before its body is read, and again when the body is there. The checks keep no state
//! and are cheap.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use super::changes;
use crate::accel;
use crate::file::FileKey;
use crate::http::headers::whole::{self, Asked, Meaning};
use crate::http::headers::{bearer, body, content_type, path, text};
use crate::http::problem::Refusals;
use crate::http::{Node, Problem};
use crate::intake::Sender;
use crate::peers::Peers;
use crate::token::{Grant, Keyring, Scope};

/// The rules of this node.
#[derive(Debug)]
pub struct Access {
    /// `None` if everybody may do everything.
    keyring: Option<Keyring>,
    pub(in crate::http) refusals: Refusals,
}

/// The sender of a request, and their rights.
#[derive(Debug)]
pub(in crate::http) struct Caller {
    /// Their rights, and the name under which their uploads are counted.
    pub(in crate::http) sender: Sender,
    /// The word that a balancer got when it asked for room.
    pub(in crate::http) room: Option<HeaderValue>,
}

impl Access {
    /// The rules that the settings give. Without a keyring everybody may do everything.
    pub fn new(keyring: Option<Keyring>) -> Self {
        Self {
            keyring,
            refusals: Refusals::default(),
        }
    }

    /// The sender of a request with this target. Another node may have sent it on.
    ///
    /// # Errors
    /// A problem if a token is needed and the request has no valid one.
    pub(in crate::http) fn caller(
        &self,
        headers: &HeaderMap,
        target: &str,
        peers: &Peers,
    ) -> Result<Caller, Problem> {
        let grant = match &self.keyring {
            None => Grant::everything(),
            Some(keyring) => {
                let Some(token) = bearer::token(headers, target)? else {
                    self.refusals.count_token("missing");
                    return Err(Problem::token_needed());
                };
                keyring.check(token, body::took(headers)).map_err(|err| {
                    self.refusals.count_token(err.cause());
                    Problem::invalid_token(err)
                })?
            }
        };
        let address = || {
            let sent_on = text(headers, accel::SENT_ON_FOR);
            let stated = peers.stated_client(sent_on, target);
            let address = stated.unwrap_or_else(|| client_address(headers));
            format!("address {address}")
        };
        let subject = grant.subject().map(Sender::name_of_sub);
        let subject = subject.unwrap_or_else(address);
        Ok(Caller {
            sender: Sender { grant, subject },
            room: headers.get(accel::ROOM).cloned(),
        })
    }
}

/// The address from which nginx got a request.
pub(in crate::http) fn client_address(headers: &HeaderMap) -> &str {
    text(headers, accel::CLIENT_ADDRESS)
}

/// Lets an upload begin, and counts it. nginx asks for this before it reads a body. A body that
/// came with its head has no such question, so this runs when the body is there.
pub(in crate::http) fn let_in(
    node: &Node,
    sender: &Sender,
    room: Option<&HeaderValue>,
) -> Result<(), Problem> {
    node.edge.drain.check(room)?;
    let_join(node, sender)
}

/// Lets uploads of this node be put together, and counts that. A drained node does so, too, as no other can.
pub(in crate::http) fn let_join(node: &Node, sender: &Sender) -> Result<(), Problem> {
    node.check_listed()?;
    Ok(node.intake.count(sender)?)
}

/// Returns the sender of an upload that has arrived, and what its head means.
pub(in crate::http) async fn uploader(
    request: &HttpRequest,
    node: &Node,
) -> Result<(Caller, Meaning), Problem> {
    let caller = caller(request, node)?;
    caller.check_upload(&node.access, target(request))?;
    let headers = request.headers();
    let [spooled, passed] = [accel::BODY_LENGTH, header::CONTENT_LENGTH.as_str()];
    if let Some(length) = body::length(headers, spooled) {
        node.intake.arrived(length);
    }
    let asked = Asked {
        method: request.method().as_str(),
        target: target(request),
        length: body::length(headers, spooled)
            .or_else(|| body::length(headers, passed))
            .or(Some(0)),
    };
    let meaning = whole::check(headers, asked)?;
    changes::check_upload(request, node, asked.method, asked.target).await?;
    caller.check_claim(headers, asked.target)?;
    Ok((caller, meaning))
}

/// Returns the sender of a request. Their token may have any scope.
pub(in crate::http) fn caller(request: &HttpRequest, node: &Node) -> Result<Caller, Problem> {
    node.access
        .caller(request.headers(), target(request), &node.peers)
}

/// The target of a request, with its query.
pub(in crate::http) fn target(request: &HttpRequest) -> &str {
    let target = request.uri().path_and_query();
    target.map_or("", |target| target.as_str())
}

/// Refuses a caller who may not do this to the file. A token for another file gets a 404, as if the file were
/// absent. A token without the scope gets a 403, whether the file is there or not.
pub(in crate::http) fn check_file(
    request: &HttpRequest,
    node: &Node,
    scope: Scope,
    file: &FileKey,
) -> Result<(), Problem> {
    let grant = caller(request, node)?.sender.grant;
    check_grant(grant, node, scope, file)
}

/// Does the same for a known grant.
pub(in crate::http) fn check_grant(
    grant: Grant,
    node: &Node,
    scope: Scope,
    file: &FileKey,
) -> Result<(), Problem> {
    let grant = grant.with_file_read_by(|text| node.delivery.key(text));
    let refusals = &node.access.refusals;
    if grant.is_for_another(file) {
        refusals.count_token("other_file");
        Err(Problem::not_found())
    } else if grant.allows(scope) {
        Ok(())
    } else {
        refusals.count_token("insufficient_scope");
        Err(Problem::insufficient_scope(scope))
    }
}

/// Refuses a caller that may not list the files of others. Users may not, whatever their token
/// allows.
pub(in crate::http) fn check_lister(request: &HttpRequest, node: &Node) -> Result<(), Problem> {
    let grant = caller(request, node)?.sender.grant;
    if [Scope::List, Scope::Admin]
        .into_iter()
        .any(|scope| grant.allows_new(scope))
    {
        return Ok(());
    }
    if node.access.keyring.is_none() {
        return Err(Problem::for_tokens_only());
    }
    node.access.refusals.count_token("insufficient_scope");
    Err(Problem::insufficient_scope(Scope::List))
}

impl Caller {
    /// Refuses a caller who may not upload to this target. An upload that has begun may become a message:
    /// then its bearer needs the scope for that, which is checked when the upload is known.
    pub(in crate::http) fn check_upload(
        &self,
        access: &Access,
        target: &str,
    ) -> Result<(), Problem> {
        let scope = if path::is_of_messages(target) {
            Scope::Message
        } else {
            Scope::Upload
        };
        let has_begun = path::is_of_uploads(target) && !path::is_collection_of_uploads(target);
        let grant = &self.sender.grant;
        if grant.allows_new(scope) || has_begun && grant.allows_new(Scope::Message) {
            return Ok(());
        }
        access.refusals.count_token("insufficient_scope");
        Err(if grant.allows(scope) {
            Problem::no_new_files()
        } else {
            Problem::insufficient_scope(scope)
        })
    }

    /// Refuses a claimed type that the token does not allow. A claim that says nothing passes,
    /// because the body decides later. A form passes, because its parts have types of their own. A
    /// message is a form or JSON.
    pub(in crate::http) fn check_claim(
        &self,
        headers: &HeaderMap,
        target: &str,
    ) -> Result<(), Problem> {
        if path::is_of_messages(target) {
            let is_message = content_type::is_form(headers) || content_type::is_json(headers);
            return if is_message {
                Ok(())
            } else {
                Err(Problem::not_a_message())
            };
        }
        let claimed = content_type::claimed(headers);
        let is_allowed = content_type::is_form(headers)
            || claimed
                .meant()
                .is_none_or(|claimed| self.sender.grant.takes_type(claimed));
        if is_allowed {
            Ok(())
        } else {
            Err(Problem::type_not_allowed())
        }
    }

    /// Whether a balancer was told that there is room for this upload.
    pub(in crate::http) fn is_expected(&self, node: &Node) -> bool {
        node.edge.drain.has_promised(self.room.as_ref())
    }
}
