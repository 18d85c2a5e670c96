//! A file's name: what a receiver may save it as.

use std::fmt;

use super::FileId;

/// A bare file name: no path, no control or direction-changing characters, 1 to 255 bytes of
/// UTF-8, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    const MAX_BYTES: usize = 255;

    /// The harmless rest of what a client claims as a name; `None` if nothing is left.
    ///
    /// Drops everything up to the last slash or backslash (RFC 6266 §4.3), control characters and
    /// characters that reorder text on a screen, and cuts at 255 bytes.
    pub fn from_claim(claim: &str) -> Option<Self> {
        let base = claim.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut name = String::new();
        for char in base
            .chars()
            .filter(|&char| !char.is_control() && !reorders_text(char))
        {
            if name.len() + char.len_utf8() > Self::MAX_BYTES {
                break;
            }
            name.push(char);
        }
        let name = name.trim();
        (!matches!(name, "" | "." | "..")).then(|| Self(name.to_owned()))
    }

    /// The name of a file that came without one.
    pub fn of_id(id: FileId) -> Self {
        Self(id.to_string())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Unicode's bidirectional controls and line separators: with them `gpj.exe` can show as
/// `exe.jpg`.
fn reorders_text(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(claim: &str) -> Option<String> {
        FileName::from_claim(claim).map(|name| name.to_string())
    }

    #[test]
    fn a_path_shrinks_to_its_last_part() {
        assert_eq!(kept("/etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(
            kept("C:\\Users\\me\\photo.jpg").as_deref(),
            Some("photo.jpg")
        );
        assert_eq!(kept("größe 1.txt").as_deref(), Some("größe 1.txt"));
    }

    #[test]
    fn nothing_usable_is_no_name() {
        for claim in ["", "/", "a/", ".", "..", "a/..", "\r\n", " \u{202e} "] {
            assert_eq!(kept(claim), None, "{claim:?}");
        }
    }

    #[test]
    fn controls_and_direction_marks_are_dropped_and_the_length_is_bounded() {
        assert_eq!(kept("a\r\nb\u{202e}c\0").as_deref(), Some("abc"));
        let long = kept(&"é".repeat(200)).unwrap();
        assert_eq!(long.len(), 254);
    }
}
