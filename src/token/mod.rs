//! What a bearer may do: JSON Web Tokens (RFC 7519), read, checked and minted.
//!
//! A token is signed by a key of the platform's; no state is kept of it. Its algorithm is that of
//! the key that its `kid` names, whatever the token says. This room must never know HTTP, nor
//! write a token or a key into a log.

mod claims;
mod grant;
mod keys;
mod mint;
mod signing;
#[cfg(test)]
mod tests;

use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{TokenData, decode, decode_header};

use claims::Claims;
use keys::Keys;

pub use grant::{Grant, Scope};
pub use keys::{KeysError, read_private};
pub use mint::{MintError, mint, new_key};

/// How far the clocks of who mints and who checks may be apart, in seconds.
const SKEW_SECONDS: u64 = 60;

/// A longer text is not even looked into. nginx takes no longer header.
const MAX_BYTES: usize = 8192;

/// The keys that tokens may be signed with.
#[derive(Debug)]
pub struct Keyring {
    keys: Keys,
}

/// Why a token is worth nothing. For the log: a caller learns only that it is so.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any that is minted.
    #[error("the token has {0} bytes")]
    TooLong(usize),
    /// Its `kid` names no key, or it has none and there are several keys.
    #[error("the token names no key of ours")]
    UnknownKey,
    /// It has a header that must be understood (RFC 7515 §4.1.11), and nothing here does.
    #[error("the token has critical headers")]
    Critical,
    /// Its form, signature, times, audience or claims are wrong.
    #[error("the token is not valid: {}", reason(.0))]
    Invalid(jsonwebtoken::errors::Error),
}

/// Without the text of a JSON error, which may hold a piece of the token.
fn reason(err: &jsonwebtoken::errors::Error) -> String {
    let kind = err.kind();
    if matches!(
        kind,
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_)
    ) {
        "malformed".to_owned()
    } else {
        err.to_string()
    }
}

impl Keyring {
    /// Reads the keys of a file, for tokens that are meant for `audience`.
    ///
    /// # Errors
    /// [`KeysError`] if the file cannot be read, may be read by everybody, or holds anything but
    /// keys.
    pub fn load(path: &Path, audience: &str) -> Result<Self, KeysError> {
        Ok(Self {
            keys: Keys::read(path, audience)?,
        })
    }

    /// What a token grants just now.
    ///
    /// # Errors
    /// [`TokenError`] if it grants nothing.
    pub fn check(&self, token: &str) -> Result<Grant, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::TooLong(token.len()));
        }
        let header = decode_header(token).map_err(TokenError::Invalid)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let key = self
            .keys
            .named(header.kid.as_deref())
            .ok_or(TokenError::UnknownKey)?;
        let token: TokenData<Claims> =
            decode(token, &key.verifying, &key.validation).map_err(TokenError::Invalid)?;
        Ok(token.claims.into())
    }
}
