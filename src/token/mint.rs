//! Mints tokens and keys for admins and tests. Platforms mint with a library of their own.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, encode};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;

use super::keys::{Curve, Jwk, KeyPair, Keys, KeysError, Octets, Set};
use super::{Scope, signing};
use crate::config::{KeyKind, KeyOrder, TokenConfig, TokenOrder};

/// The reason why no token or key was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// No key of the file can sign, or none with this name.
    #[error("{0}: no key there can sign this")]
    NoKey(String),
    /// The scope contains an unknown word.
    #[error("scope: {0}: no such word; there are {words}", words = Scope::ALL.map(Scope::name).join(", "))]
    Scope(String),
    /// Another cause, in words.
    #[error("{0}")]
    Failed(String),
}

/// Mints the ordered token, signed with a key of the file.
///
/// # Errors
/// [`MintError`].
pub fn mint(tokens: &TokenConfig, order: &TokenOrder) -> Result<String, MintError> {
    let mut words = order.scope.iter();
    if let Some(unknown) = words.find(|word| Scope::named(word).is_none()) {
        return Err(MintError::Scope(unknown.clone()));
    }
    let keys = Keys::read(&tokens.keys, &tokens.audience)?;
    let no_key = || MintError::NoKey(tokens.keys.display().to_string());
    let key = keys.to_sign(order.kid.as_deref()).ok_or_else(no_key)?;
    let secret = key.signing.as_ref().ok_or_else(no_key)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut claims = json!({
        "exp": now.saturating_add(order.seconds),
        "aud": tokens.audience,
        "scope": order.scope.join(" "),
    });
    for (name, value) in [
        ("sub", order.subject.as_ref().map(|subject| json!(subject))),
        ("file", order.file.as_ref().map(|file| json!(file))),
        ("max_bytes", order.max_bytes.map(|bytes| json!(bytes))),
        (
            "types",
            (!order.types.is_empty()).then(|| json!(order.types)),
        ),
        (
            "meta",
            (!order.metadata.is_empty()).then(|| json!(order.metadata)),
        ),
        ("from", order.from.as_ref().map(|from| json!(from))),
        ("to", (!order.to.is_empty()).then(|| json!(order.to))),
        (
            "receiver",
            order.receiver.as_ref().map(|receiver| json!(receiver)),
        ),
    ] {
        if let (Some(value), Some(claims)) = (value, claims.as_object_mut()) {
            claims.insert(name.to_owned(), value);
        }
    }
    let header = Header {
        kid: Some(key.kid.clone()),
        ..Header::new(key.algorithm)
    };
    encode(&header, &claims, secret).map_err(|err| MintError::Failed(err.to_string()))
}

/// A new key set with one key, as the file of keys holds it.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_key(order: &KeyOrder) -> Result<String, MintError> {
    let mut secret = [0; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| MintError::Failed("no random bytes".to_owned()))?;
    let kid = order.kid.clone();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = match order.kind {
        KeyKind::Hs256 => Jwk::Shared {
            kid,
            kty: Octets::Octets,
            k: text(&secret),
        },
        KeyKind::EdDsa => Jwk::Pair {
            kid,
            kty: KeyPair::Pair,
            crv: Curve::Ed25519,
            x: signing::public_of(&secret)
                .map(|public| text(&public))
                .ok_or_else(|| MintError::Failed("no key of these bytes".to_owned()))?,
            d: Some(text(&secret)),
        },
    };
    serde_json::to_string_pretty(&Set { keys: vec![jwk] })
        .map_err(|err| MintError::Failed(err.to_string()))
}
