//! The place up to which a receiver has read its list.

use std::fmt;
use std::str::FromStr;

/// A place in the list of a receiver: behind an entry, or at the beginning. It is the time at which
/// an entry came into the list. It is not the message's id, because ids of several nodes do not
/// come in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor has 16 hexadecimal digits")]
pub struct InvalidCursor;

impl Cursor {
    /// The place before all entries.
    pub const BEGIN: Self = Self(0);

    const DIGITS: usize = 16;
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let are_digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != Self::DIGITS || !are_digits {
            return Err(InvalidCursor);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_is_ordered_as_the_text_is() {
        let cursors = [0, 1, 0x0123_4567_89ab_cdef, u64::MAX].map(Cursor);
        let texts = cursors.map(|cursor| cursor.to_string());
        assert!(texts.is_sorted());
        assert!(
            texts
                .iter()
                .zip(cursors)
                .all(|(text, cursor)| text.parse() == Ok(cursor))
        );
        for text in [
            "",
            "0",
            "+123456789abcdef",
            "0123456789abcdeg",
            "0123456789abcdef0",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
