//! The file of keys: a JWK set (RFC 7517, RFC 8037) with `kid` and `alg` in each key.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde::{Deserialize, Serialize};

use super::{SKEW_SECONDS, signing};

/// The shortest key for HS256: as long as its hash (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The length of an Ed25519 key, public or private.
const ED25519_BYTES: usize = 32;

/// The permission bits for all other users, who must not read the file.
const WORLD: u32 = 0o007;

/// The reason why there are no keys. The text never quotes the file.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Any user of this host could read the keys, and mint.
    #[error("{0}: open to every user of this host; chmod 0640 or less")]
    Open(PathBuf),
    /// It is not a JWK set.
    #[error("{path}: line {line}: not a JWK set with kid and alg in each key")]
    Form {
        /// Where.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A key cannot be used.
    #[error("{path}: key {kid}: {reason}")]
    Key {
        /// Where.
        path: PathBuf,
        /// The key.
        kid: String,
        /// The fault.
        reason: &'static str,
    },
    /// It holds no key at all.
    #[error("{0}: no keys")]
    Empty(PathBuf),
}

/// The keys of one file.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

/// One key. Its algorithm is fixed; no token can change it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) verifying: DecodingKey,
    /// `None` for a public key, which verifies and cannot sign.
    pub(super) signing: Option<EncodingKey>,
    pub(super) validation: Validation,
}

/// A set as it is written in the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Set {
    pub(super) keys: Vec<Jwk>,
}

/// A key as it is written in the file. Unknown members are ignored, as the RFC demands.
#[derive(Serialize, Deserialize)]
#[serde(tag = "alg")]
pub(super) enum Jwk {
    #[serde(rename = "HS256")]
    Shared { kid: String, kty: Octets, k: String },
    #[serde(rename = "EdDSA")]
    Pair {
        kid: String,
        kty: KeyPair,
        crv: Curve,
        x: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        d: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) enum Octets {
    #[serde(rename = "oct")]
    Octets,
}

#[derive(Serialize, Deserialize)]
pub(super) enum KeyPair {
    #[serde(rename = "OKP")]
    Pair,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Curve {
    Ed25519,
}

impl Keys {
    pub(super) fn read(path: &Path, audience: &str) -> Result<Self, KeysError> {
        signing::install();
        let text = read_private(path)?;
        let set: Set = serde_json::from_str(&text).map_err(|err| KeysError::Form {
            path: path.to_owned(),
            line: err.line(),
        })?;
        let mut keys: Vec<Key> = Vec::new();
        for jwk in set.keys {
            let kid = jwk.kid().to_owned();
            let wrong = |reason| KeysError::Key {
                path: path.to_owned(),
                kid: kid.clone(),
                reason,
            };
            if keys.iter().any(|key| key.kid == kid) {
                return Err(wrong("there are two of this kid"));
            }
            keys.push(Key::new(&jwk, audience).map_err(wrong)?);
        }
        if keys.is_empty() {
            return Err(KeysError::Empty(path.to_owned()));
        }
        Ok(Self(keys))
    }

    /// The key with this name. Without a name, the only key.
    pub(super) fn named(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid == kid),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The key to sign with: the named one, or the first that can sign.
    pub(super) fn to_sign(&self, kid: Option<&str>) -> Option<&Key> {
        let mut able = self.0.iter().filter(|key| key.signing.is_some());
        able.find(|key| kid.is_none_or(|kid| key.kid == kid))
    }
}

impl Jwk {
    fn kid(&self) -> &str {
        match self {
            Self::Shared { kid, .. } | Self::Pair { kid, .. } => kid,
        }
    }
}

impl Key {
    fn new(jwk: &Jwk, audience: &str) -> Result<Self, &'static str> {
        let octets = |text: &str| {
            let text = text.trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "not base64url")
        };
        let (algorithm, verifying, signing) = match jwk {
            Jwk::Shared { k, .. } => {
                let secret = octets(k)?;
                if secret.len() < MIN_SECRET_BYTES {
                    return Err("shorter than 32 bytes");
                }
                let signing = EncodingKey::from_secret(&secret);
                let verifying = DecodingKey::from_secret(&secret);
                (Algorithm::HS256, verifying, Some(signing))
            }
            Jwk::Pair { x, d, .. } => {
                let public = octets(x)?;
                if public.len() != ED25519_BYTES {
                    return Err("x is not 32 bytes");
                }
                let seed = d.as_deref().map(octets).transpose()?;
                if let Some(seed) = &seed {
                    signing::check_pair(seed, &public)?;
                }
                let signing = seed.map(|seed| EncodingKey::from_ed_der(&seed));
                let verifying = DecodingKey::from_ed_der(&public);
                (Algorithm::EdDSA, verifying, signing)
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = SKEW_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        Ok(Self {
            kid: jwk.kid().to_owned(),
            algorithm,
            verifying,
            signing,
            validation,
        })
    }
}

/// Reads a file that other users must not read.
///
/// # Errors
/// [`KeysError::File`], or [`KeysError::Open`] if everybody may read it.
pub fn read_private(path: &Path) -> Result<String, KeysError> {
    let at = |source| KeysError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(at)?;
    let mode = file.metadata().map_err(at)?.permissions().mode();
    if mode & WORLD != 0 {
        return Err(KeysError::Open(path.to_owned()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(at)?;
    Ok(text)
}
