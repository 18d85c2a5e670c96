//! A file's name, safe for a receiver who saves the file.

use std::fmt;

use super::FileId;

/// A bare file name: no path, no control or direction-changing characters, 1 to 255 bytes of
/// UTF-8, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    const MAX_BYTES: usize = 255;

    /// A name that is too long keeps this many bytes of its end: its extension, and more.
    const END_BYTES: usize = 64;

    /// The harmless part of a name that a client states; `None` if nothing is left.
    ///
    /// It drops everything up to the last slash or backslash (RFC 6266 §4.3), control characters, and
    /// characters that reorder text on a screen. A backslash at the very end is no separator: it
    /// becomes an underscore. A name that is too long loses its middle.
    pub fn from_claim(claim: &str) -> Option<Self> {
        let whole = claim.trim_end_matches('\\');
        let base = whole.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut name: String = base
            .chars()
            .filter(|&char| !char.is_control() && !reorders_text(char))
            .collect();
        if !base.is_empty() && whole.len() < claim.len() {
            name.push('_');
        }
        let name = shortened(name.trim());
        let name = name.trim();
        (!matches!(name, "" | "." | "..")).then(|| Self(name.to_owned()))
    }

    /// The name of a file that was sent without one.
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

/// Cuts the middle out of a name that is too long.
fn shortened(name: &str) -> String {
    if name.len() <= FileName::MAX_BYTES {
        return name.to_owned();
    }
    let begin = name.floor_char_boundary(FileName::MAX_BYTES - FileName::END_BYTES);
    let end = name.ceil_char_boundary(name.len() - FileName::END_BYTES);
    let (begin, end) = (name.get(..begin), name.get(end..));
    [begin, end].map(Option::unwrap_or_default).concat()
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
        for (claim, name) in [
            ("/etc/passwd", "passwd"),
            ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
            ("größe 1.txt", "größe 1.txt"),
            ("a/b\\c.txt", "c.txt"),
            ("a\\b/c.txt", "c.txt"),
        ] {
            assert_eq!(kept(claim).as_deref(), Some(name), "{claim}");
        }
    }

    #[test]
    fn a_backslash_at_the_end_parts_nothing() {
        for (claim, name) in [("report\\", "report_"), ("a\\b\\\\", "b_"), ("..\\", ".._")] {
            assert_eq!(kept(claim).as_deref(), Some(name), "{claim}");
        }
    }

    #[test]
    fn nothing_usable_is_no_name() {
        for claim in [
            "",
            "/",
            "a/",
            "\\",
            "a/\\",
            ".",
            "..",
            "a/..",
            "\r\n",
            " \u{202e} ",
        ] {
            assert_eq!(kept(claim), None, "{claim:?}");
        }
    }

    #[test]
    fn controls_and_direction_marks_are_dropped() {
        assert_eq!(kept("a\r\nb\u{202e}c\0").as_deref(), Some("abc"));
    }

    #[test]
    fn a_name_that_is_too_long_loses_its_middle_and_never_its_extension() {
        for (claim, bytes) in [
            (format!("{}.tar.gz", "n".repeat(300)), 255),
            (format!("{}.tar.gz", "é".repeat(200)), 253),
            (format!("{}.tar.gz", "☃".repeat(200)), 253),
            (format!("x{}.tar.gz", "🎈".repeat(200)), 252),
            (format!("{}.tar.gz", "n".repeat(248)), 255),
        ] {
            let name = kept(&claim).unwrap();
            assert!(name.ends_with(".tar.gz"), "{name}");
            assert!(claim.as_bytes().starts_with(&name.as_bytes()[..180]));
            assert_eq!(name.len(), bytes, "{name}");
            assert_eq!(kept(&name), Some(name));
        }
    }
}
