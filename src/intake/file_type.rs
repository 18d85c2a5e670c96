//! The type of a file: the type that its sender claims, the type that its bytes show, and the types
//! that its sender may send.

use super::{IntakeError, Sender};
use crate::file::{MediaType, Metadata, Window};
use crate::spool::Received;

/// The name in metadata for the claimed type, if the file has got another.
const CLAIMED: &str = "claimed_content_type";

/// The type that a sender claims for some bytes.
#[derive(Debug, Clone, Default)]
pub struct ClaimedType {
    /// The sender's text, if there is one.
    text: Option<String>,
    media_type: Option<MediaType>,
}

impl ClaimedType {
    const LONGEST_TEXT: usize = 255;

    /// Reads the value of a Content-Type. Any value is accepted: many clients send invalid ones.
    pub fn read(value: Option<&[u8]>) -> Self {
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        let media_type = MediaType::parse(&text).ok();
        let text = text.trim();
        let text = text.get(..text.floor_char_boundary(Self::LONGEST_TEXT));
        let text = text.unwrap_or_default().replace(char::is_control, "");
        Self {
            text: (!text.is_empty()).then_some(text),
            media_type,
        }
    }

    /// The claimed type, if the text is a media type.
    pub fn media_type(&self) -> Option<&MediaType> {
        self.media_type.as_ref()
    }

    /// The claimed type, if it says something.
    pub fn meant(&self) -> Option<&MediaType> {
        self.media_type().filter(|claimed| !claimed.says_nothing())
    }

    /// The type of the bytes: the claimed type if it says something, or else the type that they show.
    /// Also returns the claimed text, if it is another.
    pub fn or_shown(self, shown: impl FnOnce() -> MediaType) -> (MediaType, Option<String>) {
        let meant = self.meant().cloned();
        if let Some(meant) = meant {
            return (meant, None);
        }
        let shown = shown();
        match self.media_type {
            Some(said) if said.essence() == shown.essence() => (said, None),
            _ => (shown, self.text),
        }
    }
}

/// The type of a new file: the type that the sender means, or else the type that its first bytes show.
/// Fails if the sender may not send it. If the file gets another type than claimed, the metadata keeps
/// the claimed one.
pub(super) fn decide(
    sender: &Sender,
    claimed: ClaimedType,
    body: Received<'_>,
    window: Window,
    metadata: &mut Metadata,
) -> Result<MediaType, IntakeError> {
    let sniffed = || body.sniff(window);
    let is_meant = claimed.meant().is_some();
    let (content_type, said) = claimed.or_shown(|| {
        sniffed().unwrap_or_else(|err: std::io::Error| {
            log::warn!("a body's type cannot be sniffed: {err}");
            MediaType::octet_stream()
        })
    });
    if window.length > 0 {
        sender.check_type(&content_type, sniffed)?;
    } else if is_meant {
        // The bytes do not contradict the claim.
        sender.check_type(&content_type, || Ok(content_type.clone()))?;
    }
    if let Some(said) = said
        && !sender.grant.metadata().contains_key(CLAIMED)
        && let Err(err) = metadata.set(CLAIMED.to_owned(), said)
    {
        log::debug!("what was said of a type is not kept: {err}");
    }
    Ok(content_type)
}

/// The type of a file that begins with these bytes, if its sender has claimed none: `claimed` says
/// nothing then. Fails if the sender may not send it.
pub(super) fn shown_by(
    sender: &Sender,
    claimed: &MediaType,
    head: &[u8],
) -> Result<Option<MediaType>, IntakeError> {
    if head.is_empty() {
        // The bytes do not contradict the claim.
        return Ok(None);
    }
    let head = Received::Inline(head);
    let shown = || head.sniff(Window::whole(head.length()));
    if !claimed.says_nothing() {
        sender.check_type(claimed, shown)?;
        return Ok(None);
    }
    let shown = shown().map_err(IntakeError::UnreadableBody)?;
    sender.check_type(&shown, || Ok(shown.clone()))?;
    Ok(Some(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_none_or_says_nothing_gives_way_to_the_bytes() {
        let shown = || MediaType::parse("image/png").unwrap();
        for (said, kept, beside) in [
            (&b"video/mp4"[..], "video/mp4", None),
            (b"image/png", "image/png", None),
            (b"", "image/png", None),
            (b" ", "image/png", None),
            (b"image", "image/png", Some("image")),
            (b"undefined", "image/png", Some("undefined")),
            (
                b"image/png;,text/html",
                "image/png",
                Some("image/png;,text/html"),
            ),
            (b"image/*", "image/png", Some("image/*")),
            (
                b"application/octet-stream",
                "image/png",
                Some("application/octet-stream"),
            ),
            (b"a\tb\xff", "image/png", Some("ab\u{fffd}")),
        ] {
            let claimed = ClaimedType::read(Some(said));
            let (kept_as, said_beside) = claimed.or_shown(shown);
            assert_eq!(kept_as.as_str(), kept, "{}", said.escape_ascii());
            assert_eq!(said_beside.as_deref(), beside, "{}", said.escape_ascii());
        }
        let named = ClaimedType::read(Some(b"application/octet-stream; name=a"));
        let (kept_as, beside) = named.or_shown(MediaType::octet_stream);
        assert_eq!(kept_as.as_str(), "application/octet-stream; name=a");
        assert_eq!(beside, None);
        let long = ClaimedType::read(Some("ü".repeat(300).as_bytes()));
        assert_eq!(long.or_shown(shown).1.unwrap().len(), 254);
    }
}
