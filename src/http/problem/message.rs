//! The refusals of messages.

use actix_web::http::StatusCode;

use super::reason::Reason;
use super::{Problem, RETRY_LATER};
use crate::message::MOST_LINKS;

impl Problem {
    /// The body is no message; the text gives the reason.
    pub(super) fn bad_message(said: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-message", line(said))
    }

    /// A form has a text without a meaning in a message.
    pub(in crate::http) fn unknown_field(name: &str) -> Self {
        let name: String = name.chars().take(NAME_CHARACTERS).collect();
        Self::bad_message(&format!("a message has no field `{name}`"))
    }

    pub(super) fn message_too_large(said: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "message-too-large",
            line(said),
        )
    }

    /// The body is neither a form nor JSON.
    pub(in crate::http) fn not_a_message() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-a-message",
            "A message is a form (multipart/form-data), or JSON.",
        )
    }

    pub(in crate::http) fn no_list() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-page",
            "A page begins after a cursor (`after`), and has a number of messages (`limit`) and of seconds to \
             wait for the first (`wait`).",
        )
    }

    pub(in crate::http) fn not_delivered() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-message",
            "Say what was delivered in JSON: {\"ids\":[...]} or {\"through\":CURSOR}.",
        )
    }

    pub(super) fn receiver_full(receiver: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "receiver-full",
            line(&format!("too many messages wait for {receiver}")),
        )
        .because(Reason::Quota)
    }

    pub(super) fn too_many_wait() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-waiting",
            "Too many receivers wait for messages here. Ask again later, or without `wait`.",
        )
        .retry_after(RETRY_LATER)
    }

    pub(super) fn too_many_wait_for_one() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-waiting",
            "Too many requests wait for messages to this receiver here. Ask again later, or without `wait`.",
        )
        .retry_after(RETRY_LATER)
    }

    /// A message refers to a file that does not exist, or that its sender may not use.
    pub(in crate::http) fn no_such_part() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-part",
            "A part of the message is no file that its sender may send.",
        )
    }

    pub(super) fn part_gone() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "part-gone",
            "A part of the message was deleted.",
        )
    }

    pub(super) fn too_many_links() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "too-many-links",
            format!(
                "A part of the message belongs to {MOST_LINKS} messages, and can be sent no more."
            ),
        )
    }

    pub(super) fn two_keys() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-idempotency-key",
            "The message has one id, and Idempotency-Key is another. Send one of them.",
        )
        .because(Reason::Key)
    }

    /// The file can be deleted only with its messages.
    pub(in crate::http) fn linked() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "linked",
            "The file belongs to a message. It goes when the last message with it is deleted.",
        )
    }

    pub(super) fn party_not_allowed(field: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "party-not-allowed",
            format!("The token does not allow this `{field}`."),
        )
    }
}

/// The most characters of a name that an answer quotes.
const NAME_CHARACTERS: usize = 64;

/// Makes a sentence of printable ASCII.
fn line(said: &str) -> String {
    let mut line: String = said
        .chars()
        .map(|char| match char {
            ' '..='~' => char,
            _ => '?',
        })
        .collect();
    if let Some(first) = line.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    line.push('.');
    line
}
