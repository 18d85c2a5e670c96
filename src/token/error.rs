//! The reasons why a token is not accepted: a closed list for the bearer, the log and the metrics.

use jsonwebtoken::errors::{Error, ErrorKind};

/// The reason why a token is not accepted. No text repeats any part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a readable JWS, is longer than any minted token, or has a `crit` header, which this
    /// program does not support (RFC 7515 §4.1.11).
    #[error("the token cannot be read as a JSON Web Token")]
    Malformed,
    /// Its `kid` names an unknown key, or it has no `kid` and there are several keys.
    #[error("the token names no key that is known here")]
    UnknownKey,
    /// The named key did not sign it, or another algorithm was used.
    #[error("the signature of the token is not one of the key that it names")]
    BadSignature,
    /// A claim is missing, or has an unknown form, so that its restriction cannot be applied.
    #[error("the claim {0} of the token is missing or has an unknown form")]
    BadClaim(&'static str),
    /// Its `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is meant for another audience.
    #[error("the token is meant for another audience")]
    WrongAudience,
}

impl TokenError {
    /// The label of the cause, for metrics.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::BadClaim(_) => "bad_claim",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
        }
    }
}

/// The cause for an error of the library. No text of the library is passed on: it may quote the token.
impl From<Error> for TokenError {
    fn from(err: Error) -> Self {
        let kind = err.kind();
        if let ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) = kind {
            // The library checks these three.
            let judged = ["exp", "nbf"].into_iter().find(|judged| judged == name);
            return Self::BadClaim(judged.unwrap_or("aud"));
        }
        for (theirs, ours) in [
            (ErrorKind::ExpiredSignature, Self::Expired),
            (ErrorKind::ImmatureSignature, Self::NotYetValid),
            (ErrorKind::InvalidAudience, Self::WrongAudience),
            (ErrorKind::InvalidSignature, Self::BadSignature),
            (ErrorKind::InvalidAlgorithm, Self::BadSignature),
        ] {
            if std::mem::discriminant(&theirs) == std::mem::discriminant(kind) {
                return ours;
            }
        }
        Self::Malformed
    }
}
