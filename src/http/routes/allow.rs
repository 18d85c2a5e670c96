//! Which methods an address has.

use percent_encoding::percent_decode_str;

/// The methods of a file.
pub(super) const OF_FILE: &str = "GET, HEAD, PUT, DELETE, OPTIONS";

/// The methods of what is known of a file.
pub(super) const OF_META: &str = "GET, HEAD, PUT, OPTIONS";

/// The methods of the one of these that a target names.
pub(super) fn below_files(target: &str) -> &'static str {
    let path = target.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<_> = path.split('/').skip(3).collect();
    match segments.as_slice() {
        ["meta", ..] => OF_META,
        _ => OF_FILE,
    }
}
