//! Why requests are refused: a closed list of words, and how often each came.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::StatusCode;

use super::log_throttle::LogThrottle;
use crate::journal::{Level, Watermark};

/// Why an upload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Reason {
    /// There is no token that is worth anything.
    Auth,
    /// The token does not allow it.
    Scope,
    /// The body, or what goes with it, is too large.
    Size,
    /// The type is not taken.
    Type,
    /// The subject has sent too many.
    Rate,
    /// Too much of the subject's is pending.
    Quota,
    /// The journal is at its marks.
    Backlog,
    /// The disk is at its mark of free bytes, or full.
    Disk,
    /// The disk is at its mark of free inodes.
    Inodes,
    /// An admin drains the node.
    Drain,
    /// An fsync has failed.
    Poison,
    /// Its `Idempotency-Key` is that of another upload.
    Key,
    /// The request is wrong in itself.
    Request,
    /// Something failed here.
    Fault,
}

impl Reason {
    /// All of them.
    pub(in crate::http) const ALL: [Self; 14] = [
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
            Self::Poison => "poison",
            Self::Key => "key",
            Self::Request => "request",
            Self::Fault => "fault",
        }
    }

    /// The reason of a status, where no closer one is given.
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

/// Why a token opens nothing: the causes of [`crate::token::TokenError`], a missing token, a scope that is
/// not enough, and another file.
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

    /// Every reason, with how many uploads were refused for it.
    pub(in crate::http) fn uploads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Reason::ALL.into_iter().map(Reason::name);
        names.zip(self.uploads.iter().map(value))
    }

    /// Every cause, with how many tokens opened nothing for it.
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
