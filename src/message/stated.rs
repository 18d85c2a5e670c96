//! What a sender states of a part. It is checked for form and size, and never computed: a receiver that
//! trusts it trusts the sender.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::{BlurHash, ThumbHash};

/// What a sender states of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Of a picture or a film, in its own pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<NonZeroU16>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<NonZeroU16>,
    /// Of sound or a film, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// How loud a sound is, from its beginning to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Waveform>,
    /// A picture for the moment before the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blurhash: Option<BlurHash>,
    /// The same in another form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<ThumbHash>,
}

/// Samples of loudness, on a scale of the sender's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u16>")]
pub struct Waveform(Box<[u16]>);

/// There are no samples, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a waveform has 1 to {} samples", Waveform::MOST)]
pub struct InvalidWaveform;

impl Waveform {
    /// Samples, at most.
    pub const MOST: usize = 256;

    /// All of them.
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
