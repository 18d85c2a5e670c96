//! A blurhash: a few colours of a picture as text. Clients show it until the picture is there.
//!
//! The first character gives the number of values. The second is the scale of all values except the
//! first. The first value has four characters, and each other value has two.

use serde::{Deserialize, Serialize};

/// A text with the form of a blurhash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BlurHash(Box<str>);

/// The text is no blurhash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not have the form of a blurhash")]
pub struct InvalidBlurHash;

/// The digits, the least first.
const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// The most values in a row or a column.
const MOST_IN_LINE: u32 = 9;

/// The first value is a colour of 24 bits.
const COLOURS: u32 = 1 << 24;

/// Each other value is three numbers below 19.
const DIFFERENCES: u32 = 19 * 19 * 19;

/// The number of characters before the second value.
const HEAD: usize = 6;

impl BlurHash {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BlurHash {
    type Error = InvalidBlurHash;

    fn try_from(text: String) -> Result<Self, InvalidBlurHash> {
        if is_one(text.as_bytes()) == Some(true) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidBlurHash)
        }
    }
}

/// Returns `None` for a character that is no digit, or for a missing digit.
fn is_one(text: &[u8]) -> Option<bool> {
    let (head, rest) = text.split_at_checked(HEAD)?;
    let (size, first) = (number(head.get(..1)?)?, number(head.get(2..)?)?);
    number(head.get(1..2)?)?;
    let values = (size / MOST_IN_LINE + 1) * (size % MOST_IN_LINE + 1);
    let pairs = rest.chunks(2).map(number).collect::<Option<Vec<_>>>()?;
    let is_complete = u32::try_from(rest.len()) == Ok(2 * (values - 1));
    let is_in_bounds = first < COLOURS && pairs.into_iter().all(|pair| pair < DIFFERENCES);
    Some(size < MOST_IN_LINE * MOST_IN_LINE && is_complete && is_in_bounds)
}

/// Reads a number of at most four digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        number
            .checked_mul(83)?
            .checked_add(u32::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        BlurHash::try_from(text.to_owned()).is_ok()
    }

    #[test]
    fn hashes_of_others_are_taken() {
        // These texts come from other programs that read and write blurhashes.
        for text in [
            "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
            "LGF5]+Yk^6#M@-5c,1J5@[or[Q6.",
            "L6PZfSi_.AyE_3t7t7R**0o#DgR4",
            "LKO2?U%2Tw=w]~RBVZRi};RPxuwH",
            "00OZZy",
        ] {
            assert!(is_taken(text), "{text}");
        }
        let most = format!("~{}", "0".repeat(165));
        assert!(!is_taken(&most), "there is no such size");
        let most = format!("|{}", "0".repeat(165));
        assert!(is_taken(&most), "nine by nine values");
    }

    #[test]
    fn what_is_too_short_too_long_or_no_number_is_refused() {
        for text in [
            "",
            "L",
            "LEHV6nWB2yk8pyo0adR*.7kCMdn",
            "LEHV6nWB2yk8pyo0adR*.7kCMdnj0",
            "LEHV6nWB2yk8pyo0adR*.7kCMdnj00",
            "LEHV6nWB2yk8pyo0adR*.7kCMdn\"",
            "LEHV6nWB2yk8pyo0adR*.7kCMd\u{e9}",
            // A colour of more than 24 bits, and a difference that is too large.
            "00~~~~",
            "100000~~",
            "00OZZ ",
        ] {
            assert!(!is_taken(text), "{text}");
        }
    }
}
