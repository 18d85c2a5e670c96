//! The rights of bearers: JSON Web Tokens (RFC 7519), read, checked and minted.
//!
//! A token is signed by a key of the platform's; no state is kept of it. Its algorithm is that of
//! the key that its `kid` names, whatever the token says. This room must never know HTTP, nor
//! write a token or a key into a log.

mod claims;
mod error;
mod grant;
mod keys;
mod mint;
mod signing;
#[cfg(test)]
mod tests;

use std::path::Path;

use jsonwebtoken::{TokenData, decode, decode_header};

use claims::Claims;
use keys::Keys;

pub use error::TokenError;
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

    /// The rights that a token gives just now.
    ///
    /// # Errors
    /// [`TokenError`] if it grants nothing.
    pub fn check(&self, token: &str) -> Result<Grant, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let key = self.keys.named(header.kid.as_deref());
        let key = key.ok_or(TokenError::UnknownKey)?;
        // The signature is checked before any claim is looked at.
        let token: TokenData<Claims> = decode(token, &key.verifying, &key.validation)?;
        token.claims.try_into()
    }
}
