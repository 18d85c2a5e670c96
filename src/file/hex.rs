//! Bytes as hexadecimal digits: ids, keys and digests are all written so.

use std::fmt;

/// Writes two lowercase digits for each byte.
pub(crate) fn write(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// Reads digits of either case; `None` for anything else, or half a byte.
pub(crate) fn read(digits: &str) -> Option<Vec<u8>> {
    // A sign would be taken for a digit below.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || digits.len() % 2 == 1 {
        return None;
    }
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
