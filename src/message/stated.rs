//! The sender's statements about a part. The sidecar checks their form and size, and never computes
//! them: a receiver that trusts them trusts the sender.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::{BlurHash, ThumbHash};

/// The sender's statements about a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// The width of a picture or a film, in its own pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<NonZeroU16>,
    /// The height of a picture or a film, in its own pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<NonZeroU16>,
    /// The length of a sound or a film, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// The loudness of a sound, from its beginning to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Waveform>,
    /// A small picture, which clients show until the real one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blurhash: Option<BlurHash>,
    /// A small picture in another form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<ThumbHash>,
}

impl Stated {
    /// Returns these statements, and those of an earlier sender where these say nothing.
    #[must_use]
    pub fn over(self, earlier: Self) -> Self {
        Self {
            width: self.width.or(earlier.width),
            height: self.height.or(earlier.height),
            duration_ms: self.duration_ms.or(earlier.duration_ms),
            waveform: self.waveform.or(earlier.waveform),
            blurhash: self.blurhash.or(earlier.blurhash),
            thumbhash: self.thumbhash.or(earlier.thumbhash),
        }
    }
}

/// Samples of loudness, on a scale that the sender chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u16>")]
pub struct Waveform(Box<[u16]>);

/// There is no sample, or there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a waveform has 1 to {} samples", Waveform::MOST)]
pub struct InvalidWaveform;

impl Waveform {
    /// The most samples.
    pub const MOST: usize = 256;

    /// Returns all samples.
    pub fn samples(&self) -> &[u16] {
        &self.0
    }
}

impl TryFrom<Vec<u16>> for Waveform {
    type Error = InvalidWaveform;

    fn try_from(samples: Vec<u16>) -> Result<Self, InvalidWaveform> {
        if (1..=Self::MOST).contains(&samples.len()) {
            Ok(Self(samples.into()))
        } else {
            Err(InvalidWaveform)
        }
    }
}
