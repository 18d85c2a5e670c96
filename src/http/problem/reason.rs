//! The reasons of refusals: a closed list of words, and the count of each.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::StatusCode;

use super::log_throttle::LogThrottle;
use crate::journal::{Level, Watermark};

/// The reason why an upload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Reason {
    /// There is no valid token.
    Auth,
    /// The token does not allow this request.
    Scope,
    /// The body, or what goes with it, is too large.
    Size,
    /// The type is not accepted.
    Type,
    /// The subject has sent too many uploads.
    Rate,
    /// Too many bytes of the subject are pending.
    Quota,
    /// The journal is full.
    Backlog,
    /// The disk has too few free bytes.
    Disk,
    /// The disk has too few free inodes.
    Inodes,
    /// An admin drains the node.
    Drain,
    /// By the list of nodes this node does not have its number, or not yet.
    Number,
    /// An fsync has failed.
    Poison,
    /// Its `Idempotency-Key` belongs to another upload.
    Key,
    /// The request itself is wrong.
    Request,
    /// Something failed here.
    Fault,
}

impl Reason {
    /// All reasons.
    pub(in crate::http) const ALL: [Self; 15] = [
        Self::Auth,
        Self::Scope,
        Self::Size,
        Self::Type,
        Self::Rate,
        Self::Quota,
        Self::Backlog,
        Self::Disk,
        Self::Inodes,
        Self::Drain,
        Self::Number,
        Self::Poison,
        Self::Key,
        Self::Request,
        Self::Fault,
    ];

    /// The word in status and metrics.
    pub(in crate::http) const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Scope => "scope",
            Self::Size => "size",
            Self::Type => "type",
            Self::Rate => "rate",
            Self::Quota => "quota",
            Self::Backlog => "backlog",
            Self::Disk => "disk",
            Self::Inodes => "inodes",
            Self::Drain => "drain",
            Self::Number => "number",
            Self::Poison => "poison",
            Self::Key => "key",
            Self::Request => "request",
            Self::Fault => "fault",
        }
    }

    /// Returns the reason of a status that has no closer one.
    pub(in crate::http) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Auth,
            StatusCode::FORBIDDEN => Self::Scope,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::LENGTH_REQUIRED => Self::Size,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::Type,
            StatusCode::TOO_MANY_REQUESTS => Self::Rate,
            StatusCode::INSUFFICIENT_STORAGE => Self::Disk,
            status if status.is_client_error() => Self::Request,
            _ => Self::Fault,
        }
    }
}

impl From<Level> for Reason {
    fn from(level: Level) -> Self {
        match level.watermark {
            Watermark::FreeBytes => Self::Disk,
            Watermark::FreeInodes => Self::Inodes,
            Watermark::PendingBytes | Watermark::PendingEntries => Self::Backlog,
        }
    }
}

/// The causes for which a token opens nothing: those of [`crate::token::TokenError`], a missing
/// token, an insufficient scope, and another file.
pub(in crate::http) const TOKEN_CAUSES: [&str; 10] = [
    "missing",
    "malformed",
    "unknown_key",
    "bad_signature",
    "bad_claim",
    "expired",
    "not_yet_valid",
    "wrong_audience",
    "insufficient_scope",
    "other_file",
];

/// Lines about refused tokens; each has all counts.
static TOKENS: LogThrottle = LogThrottle::new(log::Level::Info);

/// The counts of all reasons since the start.
#[derive(Debug, Default)]
pub(in crate::http) struct Refusals {
    uploads: [AtomicU64; Reason::ALL.len()],
    tokens: [AtomicU64; TOKEN_CAUSES.len()],
}

impl Refusals {
    /// Counts an upload that was refused.
    pub(in crate::http) fn count(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|known| *known == reason);
        count(place.and_then(|place| self.uploads.get(place)));
    }

    /// Counts a token that opened nothing, and logs it.
    pub(in crate::http) fn count_token(&self, cause: &'static str) {
        let place = TOKEN_CAUSES.iter().position(|known| *known == cause);
        count(place.and_then(|place| self.tokens.get(place)));
        let level = TOKENS.level();
        if log::log_enabled!(level) {
            let mut counts = String::new();
            for (cause, count) in self.tokens().filter(|(_, count)| *count > 0) {
                // Writing to a text cannot fail.
                write!(counts, " {cause} {count}").unwrap_or_default();
            }
            log::log!(
                level,
                "a token opened nothing: {cause}; since the start:{counts}"
            );
        }
    }

    /// Returns every reason, with the number of uploads that were refused for it.
    pub(in crate::http) fn uploads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Reason::ALL.into_iter().map(Reason::name);
        names.zip(self.uploads.iter().map(value))
    }

    /// Returns every cause, with the number of tokens that opened nothing for it.
    pub(in crate::http) fn tokens(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TOKEN_CAUSES.into_iter().zip(self.tokens.iter().map(value))
    }
}

fn count(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
