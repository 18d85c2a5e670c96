//! The settings of tokens and limits.

use std::path::PathBuf;

/// A forgotten key file must not open the node to everybody.
pub(super) const NO_KEYS: &str = "token_keys: without keys everybody could upload, download and delete; set it, \
    or insecure_no_auth (--insecure-no-auth) if something else checks every request";

/// The tokens that are accepted.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The file of keys.
    pub keys: PathBuf,
    /// The audience that a token must name.
    pub audience: String,
}

/// The rights of callers, and their limits.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// `None` if there are no keys.
    pub tokens: Option<TokenConfig>,
    /// Whether everybody may do everything.
    pub is_open: bool,
    /// Bytes of the largest upload.
    pub max_body_bytes: u64,
    /// Uploads of one subject in a minute; 0 for no limit.
    pub subject_uploads_per_minute: u32,
    /// Pending bytes of one subject; 0 for no limit.
    pub subject_pending_bytes: u64,
}
