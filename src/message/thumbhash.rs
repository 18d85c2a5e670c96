//! A thumbhash: a picture in some twenty-five bytes, as base64. Clients show it until the picture
//! is there.
//!
//! Its first five bytes give the number of values that follow. The number for brightness depends on
//! the shape of the picture; the number for each of two colours is fixed, and so is that for
//! transparency, if there is any. Each value takes half a byte.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

/// A text with the form of a thumbhash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ThumbHash(Box<str>);

/// The text is no thumbhash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not have the form of a thumbhash in base64")]
pub struct InvalidThumbHash;

/// Many senders omit the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The most characters of a thumbhash. A longer text is not decoded.
const MOST_CHARACTERS: usize = 64;

/// The number of values of each colour, and of transparency.
const OF_A_COLOUR: usize = 5;
const OF_TRANSPARENCY: usize = 14;

impl ThumbHash {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ThumbHash {
    type Error = InvalidThumbHash;

    fn try_from(text: String) -> Result<Self, InvalidThumbHash> {
        let bytes = (text.len() <= MOST_CHARACTERS).then(|| BASE64.decode(&text).ok());
        if bytes.flatten().is_some_and(|bytes| is_one(&bytes)) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidThumbHash)
        }
    }
}

fn is_one(bytes: &[u8]) -> bool {
    let &[_, _, transparency, shape, landscape, ..] = bytes else {
        return false;
    };
    let is_transparent = transparency & 0x80 != 0;
    let is_landscape = landscape & 0x80 != 0;
    let longer = if is_transparent { 5 } else { 7 };
    let shorter = usize::from(shape & 7).max(3);
    let (columns, rows) = if is_landscape {
        (longer, shorter)
    } else {
        (shorter, longer)
    };
    let transparent = if is_transparent { OF_TRANSPARENCY } else { 0 };
    let values = in_triangle(columns, rows) + 2 * OF_A_COLOUR + transparent;
    bytes.len() == 5 + usize::from(is_transparent) + values.div_ceil(2)
}

/// Returns how many values of a table are kept: those of its upper left half, without the first.
fn in_triangle(columns: usize, rows: usize) -> usize {
    let in_row = |row: usize| {
        let kept = (0..columns).filter(|column| column * rows < columns * (rows - row));
        kept.count() - usize::from(row == 0)
    };
    (0..rows).map(in_row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        ThumbHash::try_from(text.to_owned()).is_ok()
    }

    #[test]
    fn the_fixed_numbers_of_values_are_those_of_their_tables() {
        assert_eq!(in_triangle(3, 3), OF_A_COLOUR);
        assert_eq!(in_triangle(5, 5), OF_TRANSPARENCY);
    }

    #[test]
    fn hashes_of_others_are_taken() {
        // These texts come from other programs that read and write thumbhashes.
        for text in [
            "1QcSHQRnh493V4dIh4eXh1h4kJUI",
            "3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
            "2fcZFIB3iId/h3iJh4aIYJ2V8g==",
            "2fcZFIB3iId/h3iJh4aIYJ2V8g",
            "YJqGPQw7sFlslqhFafSE+Q6oJ1h2iHB2Rw==",
        ] {
            assert!(is_taken(text), "{text}");
        }
    }

    #[test]
    fn what_has_another_length_than_its_head_tells_is_refused() {
        for text in [
            "",
            "1Qc=",
            "1QcSHQRnh493V4dIh4eXh1h4kJ",
            "1QcSHQRnh493V4dIh4eXh1h4kJUIAA",
            "1QcSHQRnh493V4dIh4eXh1h4kJU!",
            "3OcRJYB4d3h_iIeHeEh3eIhw-j2w",
            &"A".repeat(100_000),
        ] {
            assert!(!is_taken(text), "{text:.40}");
        }
    }
}
