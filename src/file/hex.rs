//! Bytes as hexadecimal digits, the spelling of ids, keys and digests.

use std::fmt;

/// Bytes that are written at once: enough for a digest.
const PIECE_BYTES: usize = 32;

/// Writes two lowercase digits for each byte.
pub(crate) fn write(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digit = |value: u8| match value {
        0..10 => b'0' + value,
        _ => b'a' - 10 + value,
    };
    bytes.chunks(PIECE_BYTES).try_for_each(|piece| {
        let mut digits = [0; 2 * PIECE_BYTES];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        let written = digits.get(..2 * piece.len()).unwrap_or_default();
        formatter.write_str(str::from_utf8(written).map_err(|_| fmt::Error)?)
    })
}

/// Reads digits of either case; `None` for anything else, or half a byte.
pub(crate) fn read(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for byte in each_byte(digits) {
        bytes.push(byte?);
    }
    Some(bytes)
}

/// Like [`read`], for exactly this many bytes.
pub(crate) fn read_array<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().zip(each_byte(digits)) {
        *place = byte?;
    }
    (digits.len() == 2 * N).then_some(bytes)
}

fn each_byte(digits: &str) -> impl Iterator<Item = Option<u8>> {
    let value = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    digits.as_bytes().chunks(2).map(move |pair| match *pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    })
}
