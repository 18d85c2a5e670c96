//! The kind of a part. Clients choose by it which parts they fetch.

use serde::{Serialize, Serializer};

use crate::file::MediaType;

/// The kind of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sound.
    Audio,
    /// A picture.
    Image,
    /// Film.
    Video,
    /// Anything else.
    File,
}

impl Kind {
    /// Returns the kind of a media type.
    pub fn of(content_type: &MediaType) -> Self {
        let essence = content_type.essence();
        match essence.split('/').next() {
            Some("audio") => Self::Audio,
            Some("image") => Self::Image,
            Some("video") => Self::Video,
            // audio/ogg once had this type, and voice recorders still send it.
            _ if essence == "application/ogg" => Self::Audio,
            _ => Self::File,
        }
    }

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_tells_the_kind() {
        for (text, kind) in [
            ("audio/ogg; codecs=opus", "audio"),
            ("Application/Ogg", "audio"),
            ("image/svg+xml", "image"),
            ("video/mp4", "video"),
            ("text/plain", "file"),
            ("application/pdf", "file"),
            ("imagery/x", "file"),
        ] {
            assert_eq!(
                Kind::of(&MediaType::parse(text).unwrap()).name(),
                kind,
                "{text}"
            );
        }
    }
}
