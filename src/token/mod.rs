//! The rights of bearers: reads, checks and mints JSON Web Tokens (RFC 7519).
//!
//! A key of the platform signs a token; the sidecar keeps no state of it. The key that the token's
//! `kid` names decides on the algorithm, whatever the token says. This room must never know HTTP, nor
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
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{TokenData, decode, decode_header};

use claims::Claims;
use keys::Keys;

pub use error::TokenError;
pub use grant::{Grant, Scope};
pub use keys::{KeysError, read_private};
pub use mint::{MintError, mint, new_key};

/// The greatest difference between the clocks of the minting and the checking host, in seconds.
const SKEW_SECONDS: u64 = 60;

/// A body that takes longer to come needs a token that lasts.
const LONGEST_REQUEST_SECONDS: u64 = 24 * 3600;

/// A longer text is refused unread. nginx takes no longer header.
const MAX_BYTES: usize = 8192;

/// The keys that may sign tokens.
#[derive(Debug)]
pub struct Keyring {
    keys: Keys,
}

impl Keyring {
    /// Reads the keys of a file, for tokens of this `audience`.
    ///
    /// # Errors
    /// [`KeysError`] if the file cannot be read, is readable by everybody, or holds anything but keys.
    pub fn load(path: &Path, audience: &str) -> Result<Self, KeysError> {
        Ok(Self {
            keys: Keys::read(path, audience)?,
        })
    }

    /// The rights that a token gives to a request that began this long ago: it may have expired since.
    ///
    /// # Errors
    /// [`TokenError`] if it is not accepted.
    pub fn check(&self, token: &str, ago: Duration) -> Result<Grant, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let key = self.keys.named(header.kid.as_deref());
        let key = key.ok_or(TokenError::UnknownKey)?;
        // The signature is checked before any claim is read.
        let checked: Result<TokenData<Claims>, _> = decode(token, &key.verifying, &key.validation);
        let token = match checked {
            Err(err) if ago.as_secs() > 0 && matches!(err.kind(), ErrorKind::ExpiredSignature) => {
                let mut then = key.validation.clone();
                // Rounded up: the token was accepted then, perhaps in its last second.
                then.leeway += ago.as_secs().min(LONGEST_REQUEST_SECONDS) + 1;
                decode(token, &key.verifying, &then)?
            }
            checked => checked?,
        };
        token.claims.try_into()
    }
}
