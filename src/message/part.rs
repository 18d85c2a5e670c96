//! A message as it was promised. It never changes.

use std::fmt::Display;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ChosenName, Kind, Party, Receivers, Stated};
use crate::file::{FileId, FileName, MediaType, Sha256};

/// A message as it was promised, without its package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its sender, if the name is known.
    pub from: Option<Party>,
    /// Its receivers.
    pub to: Receivers,
    /// The id that its sender gave it, so that the sender can repeat it.
    pub client_id: Option<ChosenName>,
    /// The files that go with it.
    pub parts: Vec<Part>,
}

/// The descriptor of a file that goes with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The file.
    #[serde(serialize_with = "as_text", deserialize_with = "file_id")]
    pub file: FileId,
    /// The sender's name for the part.
    pub name: Option<ChosenName>,
    /// The name of the file.
    #[serde(serialize_with = "as_text", deserialize_with = "file_name")]
    pub filename: FileName,
    /// Its type, as the client claimed it or as the bytes show it.
    #[serde(serialize_with = "as_text", deserialize_with = "media_type")]
    pub content_type: MediaType,
    /// Its size in bytes.
    pub length: u64,
    /// The digest of its bytes.
    #[serde(serialize_with = "as_text", deserialize_with = "digest")]
    pub sha256: Sha256,
    /// The sender's statements about it.
    pub stated: Stated,
}

impl Message {
    /// Returns a part by its number. The first part has the number 1.
    pub fn part(&self, number: usize) -> Option<&Part> {
        self.parts.get(number.checked_sub(1)?)
    }
}

impl Part {
    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.content_type)
    }
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn file_id<'de, D: Deserializer<'de>>(source: D) -> Result<FileId, D::Error> {
    String::deserialize(source)?
        .parse()
        .map_err(D::Error::custom)
}

fn digest<'de, D: Deserializer<'de>>(source: D) -> Result<Sha256, D::Error> {
    let digest = Sha256::from_hex(&String::deserialize(source)?);
    digest.ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
}

fn file_name<'de, D: Deserializer<'de>>(source: D) -> Result<FileName, D::Error> {
    let name = FileName::from_claim(&String::deserialize(source)?);
    name.ok_or_else(|| D::Error::custom("nothing is left of the name"))
}

/// Reads a type. Another version may accept more types than this one, and no promise may be lost
/// for that.
fn media_type<'de, D: Deserializer<'de>>(source: D) -> Result<MediaType, D::Error> {
    let content_type = MediaType::parse(&String::deserialize(source)?);
    Ok(content_type.unwrap_or_else(|_| MediaType::octet_stream()))
}
