//! The errors of other layers as refusals: one text for the caller, and one for the log.
//!
//! The status of every error of every layer is decided here, once, in matches without a wildcard.

use actix_web::http::{StatusCode, header};
use log::Level;

use super::log_throttle::LogThrottle;
use super::reason::Reason;
use super::{Problem, RETRY_LATER, RETRY_SOON};
use crate::delivery::{DeliveryError, ListError, LiveError};
use crate::file::InvalidMetadata;
use crate::form::FormError;
use crate::http::headers::HeadError;
use crate::intake::IntakeError;
use crate::journal::{AdoptError, JournalError, UploadError};
use crate::linking::LinkError;
use crate::message::MessageError;
use crate::peers::{BadPass, Unreachable};
use crate::spool::ClaimError;
use crate::store::StoreError;

impl From<HeadError> for Problem {
    fn from(err: HeadError) -> Self {
        let told = |status, code| Self::new(status, code, err.to_string());
        match err {
            HeadError::AmbiguousPath => told(StatusCode::BAD_REQUEST, "ambiguous-path"),
            HeadError::NoKey => Self::not_found(),
            HeadError::ManyTokens => told(StatusCode::BAD_REQUEST, "many-tokens"),
            HeadError::Digest => told(StatusCode::BAD_REQUEST, "bad-digest"),
            HeadError::IdempotencyKey | HeadError::NoIdempotencyKey => {
                told(StatusCode::BAD_REQUEST, "bad-idempotency-key").because(Reason::Key)
            }
            HeadError::Metadata | HeadError::RepeatedMetadata => {
                told(StatusCode::BAD_REQUEST, "bad-metadata")
            }
            HeadError::UnkeptMetadata(err) => err.into(),
            HeadError::Form(said) => Self::bad_form(said),
            HeadError::Coded => told(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content-coding-not-taken",
            )
            .with(header::ACCEPT_ENCODING, "identity".to_owned()),
            HeadError::NotWhole { .. } => told(StatusCode::BAD_REQUEST, "not-a-whole-file"),
            HeadError::TusVersion => told(StatusCode::PRECONDITION_FAILED, "tus-version"),
            HeadError::UploadField(_) | HeadError::Checksum => {
                told(StatusCode::BAD_REQUEST, "bad-upload-field")
            }
            HeadError::UploadLength => told(StatusCode::BAD_REQUEST, "inconsistent-upload-length"),
            HeadError::PatchType(_) => told(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-an-append"),
            HeadError::BodyNotPassed => Self::body_not_passed(),
            HeadError::NoBodyFile => {
                log::error!("nginx counted a body and named no file: see nginx.conf.d/gridspool");
                Self::body_not_passed()
            }
        }
    }
}

impl From<ClaimError> for Problem {
    fn from(err: ClaimError) -> Self {
        match &err {
            ClaimError::Name(_)
            | ClaimError::Taken { .. }
            | ClaimError::Kind { .. }
            | ClaimError::Length { .. } => {
                log::error!("{err}");
                Self::body_not_passed()
            }
            ClaimError::Open { source, .. } => {
                if source.kind() == std::io::ErrorKind::NotFound {
                    // The caller has hung up: nginx has removed the file, and nobody reads this answer.
                    log::debug!("{err}");
                } else {
                    log::error!("{err}");
                }
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "The body is gone. Send the request again.",
                )
                .retry_after(RETRY_SOON)
            }
        }
    }
}

impl From<FormError> for Problem {
    fn from(err: FormError) -> Self {
        match err {
            FormError::Malformed(why) => {
                log::debug!("a form was refused: {err}");
                Self::bad_form(why)
            }
            FormError::TooLarge(_) => {
                log::debug!("a form was refused: {err}");
                Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "form-too-large",
                    "The form has more parts, or a part has a longer head, than this server takes.",
                )
            }
            FormError::Unreadable(err) => Self::unreadable_body(&err),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(err: IntakeError) -> Self {
        match err {
            IntakeError::Claim(err) => err.into(),
            IntakeError::Adopt(err) => err.into(),
            IntakeError::Journal(err) => err.into(),
            IntakeError::Upload(err) => err.into(),
            IntakeError::Form(err) => err.into(),
            IntakeError::Metadata(err) => err.into(),
            IntakeError::UnreadableBody(err) => Self::unreadable_body(&err),
            IntakeError::DiskSilent(err) => Self::disk_not_asked(&err),
            IntakeError::DigestMismatch => Self::digest_mismatch(),
            IntakeError::TooLarge => Self::too_large(),
            IntakeError::LargerThanAllowed => Self::larger_than_allowed(),
            IntakeError::TypeNotAllowed => Self::type_not_allowed(),
            IntakeError::TooManyUploads { seconds } => Self::too_many_uploads(seconds),
            IntakeError::TooManyAtOnce => Self::too_many_at_once(),
            IntakeError::TooMuchPending => Self::too_much_pending(),
            IntakeError::NoFile => Self::no_file_in_form(),
            IntakeError::TooMuchMetadata => Self::too_much_metadata_for_so_many(),
            IntakeError::StillRunning => Self::still_running(),
            IntakeError::KeyOfAnother => Self::key_of_another(),
            IntakeError::Message(err) => err.into(),
            IntakeError::TwoKeys => Self::two_keys(),
            IntakeError::PartGone => Self::part_gone(),
            IntakeError::TooManyLinks => Self::too_many_links(),
            IntakeError::Link(err) => err.into(),
            IntakeError::PartyNotAllowed(field) => Self::party_not_allowed(field),
            IntakeError::ReceiverFull(receiver) => Self::receiver_full(&receiver),
            IntakeError::KeyUnsure(err) => Self::key_unsure(&err),
            IntakeError::Owner(err) => err.into(),
            IntakeError::Lost => Self::internal(),
        }
    }
}

impl From<MessageError> for Problem {
    fn from(err: MessageError) -> Self {
        let said = err.to_string();
        match err {
            MessageError::TooManyReceivers
            | MessageError::PackageTooLong
            | MessageError::TextTooLong
            | MessageError::TooManyParts => Self::message_too_large(&said),
            MessageError::Unreadable { .. }
            | MessageError::NoReceiver
            | MessageError::Empty
            | MessageError::NotJson(_)
            | MessageError::NoSuchFile => Self::bad_message(&said),
        }
    }
}

impl From<InvalidMetadata> for Problem {
    fn from(err: InvalidMetadata) -> Self {
        match err {
            InvalidMetadata::Name => Self::bad_form("A text has no name that can be kept."),
            InvalidMetadata::TooMuch => Self::too_much_metadata(),
            InvalidMetadata::UnlinkedExpires => Self::bad_metadata(err.to_string()),
        }
    }
}

/// Lines about refused uploads: there could be as many lines as uploads.
static REFUSED: LogThrottle = LogThrottle::new(Level::Error);

/// Lines about a store that fails.
static FAILED: LogThrottle = LogThrottle::new(Level::Warn);

/// Lines about a node that does not answer.
static SILENT: LogThrottle = LogThrottle::new(Level::Warn);

/// Lines about wrong passes: keys or clocks differ, or a client forges one.
static FORGED: LogThrottle = LogThrottle::new(Level::Warn);

impl Problem {
    fn no_space() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "no-space",
            "There is no room for the body just now.",
        )
        .retry_after(RETRY_LATER)
    }
}

impl From<AdoptError> for Problem {
    fn from(err: AdoptError) -> Self {
        log::log!(REFUSED.level(), "an upload was refused: {err}");
        match err {
            AdoptError::Full(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "journal-full",
                "Too many files wait to be stored. Send the request again later.",
            )
            .because(Reason::Backlog)
            .retry_after(RETRY_LATER),
            AdoptError::Poisoned(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "journal-not-writable",
                "No files can be taken here just now.",
            )
            .because(Reason::Poison)
            .retry_after(RETRY_LATER),
            AdoptError::NoSpace(_) => Self::no_space(),
            AdoptError::NoInodes(_) => Self::no_space().because(Reason::Inodes),
            AdoptError::Disk { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "journal-not-writable",
                "The file could not be kept. Send the request again.",
            )
            .retry_after(RETRY_SOON),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(err: UploadError) -> Self {
        match err {
            UploadError::Absent => Self::no_upload(),
            UploadError::Ended => Self::upload_ended(),
            UploadError::Offset(offset) => Self::mismatching_offset(offset),
            UploadError::Complete(_) | UploadError::Made(_) => Self::upload_complete(),
            UploadError::TooLong { declared } => Self::beyond_length(declared),
            UploadError::LengthDiffers { declared } => Self::inconsistent_length(declared),
            UploadError::Busy => Self::upload_busy(),
            UploadError::Digest => Self::whole_digest_mismatch(),
            UploadError::Part(id) => Self::no_complete_part(id),
            UploadError::Adopt(err) => err.into(),
            UploadError::Journal(err) => err.into(),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(err: JournalError) -> Self {
        log::error!("{err}");
        match err {
            JournalError::Absent(_) => Self::not_found(),
            JournalError::Unreadable { .. } => Self::damaged(),
            JournalError::Disk { .. } => Self::unavailable(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(err: StoreError) -> Self {
        log::log!(FAILED.level(), "{err}");
        match err {
            StoreError::Unavailable(_) | StoreError::TimedOut(_) | StoreError::Unfit(_) => {
                Self::unavailable()
            }
            StoreError::Damaged(_) => Self::damaged(),
            StoreError::Gone(_) => Self::not_found(),
            StoreError::Failed(_) | StoreError::Refused(_) | StoreError::Body(_) => {
                Self::internal()
            }
        }
    }
}

impl From<DeliveryError> for Problem {
    fn from(err: DeliveryError) -> Self {
        match err {
            DeliveryError::Journal(err) => err.into(),
            DeliveryError::Store(err) => err.into(),
            DeliveryError::Owner(err) => err.into(),
        }
    }
}

impl From<ListError> for Problem {
    fn from(err: ListError) -> Self {
        match err {
            ListError::TooManyWait => Self::too_many_wait(),
            ListError::TooManyOfReceiver => Self::too_many_wait_for_one(),
            ListError::Delivery(err) => err.into(),
        }
    }
}

impl From<LiveError> for Problem {
    fn from(err: LiveError) -> Self {
        match err {
            LiveError::Full => Self::too_many_readers(),
            LiveError::Ended | LiveError::StoodStill | LiveError::Shorter | LiveError::Stopping => {
                Self::unavailable()
            }
            LiveError::Journal(err) => err.into(),
        }
    }
}

impl From<LinkError> for Problem {
    fn from(err: LinkError) -> Self {
        match err {
            LinkError::Journal(err) => err.into(),
            LinkError::Store(err) => err.into(),
            LinkError::Owner(err) => err.into(),
        }
    }
}

impl From<actix_web::error::BlockingError> for Problem {
    fn from(err: actix_web::error::BlockingError) -> Self {
        log::error!("work for a request was lost: {err}");
        Self::internal()
    }
}

impl From<Unreachable> for Problem {
    fn from(err: Unreachable) -> Self {
        log::log!(SILENT.level(), "{err}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The node that took the file does not answer just now. Send the request again.",
        )
        .retry_after(pause_of(&err))
    }
}

impl Problem {
    /// Nobody knows whether the upload under this key was taken in before.
    fn key_unsure(err: &Unreachable) -> Self {
        log::log!(SILENT.level(), "a keyed upload was refused: {err}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "key-unsure",
            "Too few nodes answer to tell whether this upload was taken before. Send it again.",
        )
        .because(Reason::Key)
        .retry_after(pause_of(err))
    }
}

impl From<BadPass> for Problem {
    fn from(err: BadPass) -> Self {
        log::log!(
            FORGED.level(),
            "a question in another node's name was refused: {err}"
        );
        match err {
            BadPass::NoKey => Self::not_found(),
            BadPass::Form | BadPass::Time(_) | BadPass::Signature => Self::forbidden(),
        }
    }
}

/// The seconds until a node that did not answer is looked at again.
fn pause_of(err: &Unreachable) -> u32 {
    let pause = err.pause().map(|pause| pause.as_secs() + 1);
    let pause = pause.map(|seconds| seconds.try_into().unwrap_or(RETRY_SOON));
    pause.unwrap_or(RETRY_SOON)
}

#[cfg(test)]
mod tests;
