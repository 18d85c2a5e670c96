//! Bytes as hexadecimal digits: ids, keys and digests are all written so.

use std::fmt::{self, Write as _};

/// Writes two lowercase digits for each byte.
pub(crate) fn write(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().try_for_each(|byte| {
        formatter.write_char(digit(byte >> 4))?;
        formatter.write_char(digit(byte & 0xf))
    })
}

/// Reads digits of either case; `None` for anything else, or half a byte.
pub(crate) fn read(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        })
        .collect()
}
