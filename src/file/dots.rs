//! Path segments that some server could take for a dot segment.

/// Whether some server could read this segment as a dot segment: a server that drops invisible or
/// unreadable characters, or replaces characters by similar ones (Unicode's NFKC, the best fit of
/// Windows).
pub fn has_dots_alone(name: &str) -> bool {
    name.split(is_like_a_slash).any(|piece| {
        let mut seen = piece.chars().filter(|&char| !is_unseen(char));
        match [seen.next(), seen.next(), seen.next()] {
            [Some(dot), None, None] => is_like_a_dot(dot),
            [Some(dot), Some(other), None] => is_like_a_dot(dot) && is_like_a_dot(other),
            _ => false,
        }
    })
}

fn is_like_a_dot(char: char) -> bool {
    matches!(char, '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}')
}

fn is_like_a_slash(char: char) -> bool {
    matches!(
        char,
        '\u{2044}' | '\u{2215}' | '\u{29f5}' | '\u{29f8}' | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}'
    )
}

/// Blanks, controls, marks without a width, and invalid text.
fn is_unseen(char: char) -> bool {
    char.is_whitespace()
        || char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fffd}'
        )
}
