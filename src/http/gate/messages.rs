//! The rights of a caller to messages and to receivers' lists.

use actix_web::HttpRequest;

use super::access;
use crate::delivery::FoundMessage;
use crate::file::FileKey;
use crate::http::{Node, Problem};
use crate::message::Party;
use crate::token::{Grant, Scope};

/// A caller that may read some messages.
#[derive(Debug)]
pub(in crate::http) struct Reader(Grant);

/// The effect of a delete.
#[derive(Debug)]
pub(in crate::http) enum Deletes {
    /// The message goes for all.
    Message,
    /// Its entry goes from the list of this receiver.
    OwnEntry(Party),
}

/// Returns the caller of a request for a message.
///
/// # Errors
/// A problem, if there is no valid token, or if the token opens no message at all.
pub(in crate::http) fn reader(request: &HttpRequest, node: &Node) -> Result<Reader, Problem> {
    caller(request, node, Scope::Download)
}

/// Returns the caller of a request to delete a message.
///
/// # Errors
/// A problem, if there is no valid token, or if the token deletes no message at all.
pub(in crate::http) fn deleter(request: &HttpRequest, node: &Node) -> Result<Reader, Problem> {
    caller(request, node, Scope::Delete)
}

fn caller(request: &HttpRequest, node: &Node, scope: Scope) -> Result<Reader, Problem> {
    let grant = access::caller(request, node)?.sender.grant;
    let grant = grant.with_file_read_by(|text| node.delivery.key(text));
    let opens_any =
        grant.allows(scope) || grant.allows(Scope::Message) || grant.receiver().is_some();
    if opens_any {
        return Ok(Reader(grant));
    }
    node.access.refusals.count_token("insufficient_scope");
    Err(Problem::insufficient_scope(scope))
}

/// Refuses a caller that may not read the list of this receiver, nor report deliveries from it. A
/// token to receive opens only the list of its receiver, and a token for one file opens none. The
/// platform may read all lists. Returns whether the caller may see the other receivers of a message.
///
/// # Errors
/// A problem, if the caller may not read the list.
pub(in crate::http) fn check_list(
    request: &HttpRequest,
    node: &Node,
    receiver: &Party,
) -> Result<bool, Problem> {
    let grant = access::caller(request, node)?.sender.grant;
    if grant.allows_new(Scope::List) {
        return Ok(true);
    }
    match grant.receiver() {
        Some(own) if own == receiver && grant.allows_new(Scope::Receive) => Ok(false),
        Some(_) => {
            node.access.refusals.count_token("other_file");
            Err(Problem::not_found())
        }
        // Another program has checked the request.
        None if grant.allows_new(Scope::Receive) => Ok(true),
        None => {
            node.access.refusals.count_token("insufficient_scope");
            Err(Problem::insufficient_scope(Scope::Receive))
        }
    }
}

impl Reader {
    /// Refuses a caller that may not read this message, as if there were no message. A token to
    /// download opens messages as it opens files: a token for one file opens the message of that
    /// package, or that part. A token to send opens the messages of its own subject or sender, and
    /// a token to receive those to its receiver. Returns false if the caller reads only as one of
    /// the receivers: such a caller does not see the other receivers.
    pub(in crate::http) fn check(
        &self,
        node: &Node,
        found: &FoundMessage,
        part: Option<&FileKey>,
    ) -> Result<bool, Problem> {
        self.opens(found, part).ok_or_else(|| refused(node))
    }

    /// Returns the effect of a delete by this caller. A token to delete opens messages as it opens
    /// files, and a token to send opens those that it has sent. A receiver takes the message off its
    /// own list alone, because other receivers may still have it.
    ///
    /// # Errors
    /// A problem for any other caller, as if there were no message.
    pub(in crate::http) fn check_delete(
        &self,
        node: &Node,
        found: &FoundMessage,
    ) -> Result<Deletes, Problem> {
        if self.holds(found, None, Scope::Delete) {
            return Ok(Deletes::Message);
        }
        let Self(grant) = self;
        let own = self.opens(found, None).and(grant.receiver());
        let own = own.filter(|receiver| found.message.to.contains(receiver));
        let own = own.ok_or_else(|| refused(node))?;
        Ok(Deletes::OwnEntry(own.clone()))
    }

    /// Makes a caller with these rights.
    pub(in crate::http) fn of(grant: Grant) -> Self {
        Self(grant)
    }

    /// Returns whether the caller may see the receivers; `None` if it may not read the message.
    fn opens(&self, found: &FoundMessage, part: Option<&FileKey>) -> Option<bool> {
        if self.holds(found, part, Scope::Download) {
            return Some(true);
        }
        let Self(grant) = self;
        let is_to = |receiver| found.message.to.contains(receiver);
        let is_receiver = self.is_for(found, part) && grant.receiver().is_some_and(is_to);
        is_receiver.then_some(false)
    }

    /// Returns whether the caller has this right to the message, or has sent it.
    fn holds(&self, found: &FoundMessage, part: Option<&FileKey>, scope: Scope) -> bool {
        let Self(grant) = self;
        let is_own = || {
            let subject = grant.subject().filter(|_| grant.allows(Scope::Message));
            subject.is_some() && subject == found.sub.as_deref()
                || grant.allows(Scope::Message)
                    && grant.from().is_some()
                    && grant.from() == found.message.from.as_ref()
        };
        self.is_for(found, part) && (grant.allows(scope) || is_own())
    }

    /// Returns whether the token is for any file, for the package, or for that part.
    fn is_for(&self, found: &FoundMessage, part: Option<&FileKey>) -> bool {
        let Self(grant) = self;
        let package = FileKey::Id(found.id);
        let mut files = [Some(&package), part].into_iter().flatten();
        files.any(|file| !grant.is_for_another(file))
    }

    /// Returns whether the caller may forward a part: it may read the part, or sends as one of the
    /// receivers.
    pub(in crate::http) fn forwards(&self, found: &FoundMessage, part: &FileKey) -> bool {
        let Self(grant) = self;
        let is_receiver = |party| found.message.to.contains(party);
        let is_to_caller = grant.allows(Scope::Message) && grant.from().is_some_and(is_receiver);
        let may_read = self.opens(found, Some(part)).is_some();
        may_read || is_to_caller && !grant.is_for_another(part)
    }
}

fn refused(node: &Node) -> Problem {
    node.access.refusals.count_token("other_file");
    Problem::not_found()
}
