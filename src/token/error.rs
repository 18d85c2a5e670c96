//! Why a token is worth nothing: one cause of a closed list, for the bearer, the log and the counts.

use jsonwebtoken::errors::{Error, ErrorKind};

/// The fault of a token. None of it repeats a piece of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JWS that can be read, is longer than any that is minted, or wants something understood
    /// that nothing here understands (RFC 7515 §4.1.11).
    #[error("the token cannot be read as a JSON Web Token")]
    Malformed,
    /// Its `kid` names no key, or it has none and there are several keys.
    #[error("the token names no key that is known here")]
    UnknownKey,
    /// It was not signed by the key that it names, or not by that key's algorithm.
    #[error("the signature of the token is not one of the key that it names")]
    BadSignature,
    /// A claim is missing, or has a form that is not known: what it restricts cannot be kept to.
    #[error("the claim {0} of the token is missing or has an unknown form")]
    BadClaim(&'static str),
    /// Its `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is meant for somebody else.
    #[error("the token is meant for another audience")]
    WrongAudience,
}

impl TokenError {
    /// The label of the cause.
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

/// The cause that an error of the library means. The text of none is passed on: it may quote the token.
impl From<Error> for TokenError {
    fn from(err: Error) -> Self {
        let kind = err.kind();
        if let ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) = kind {
            // The library judges these three.
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
