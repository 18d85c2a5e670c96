//! The request of a sender: the grammar of a message in JSON, and of the files' descriptions in a
//! form.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json;
use super::only_object::OnlyObject;
use super::{
    BlurHash, ChosenName, MOST_PACKAGE_BYTES, MOST_PARTS, MessageError, Party, Receivers, Stated,
    ThumbHash, Waveform,
};
use crate::file::{FileId, MediaType};

/// A message that a client wants to send, without the bytes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its package.
    pub package: PackageRequest,
    /// Its sender, as the client states it.
    pub from: Option<Party>,
    /// Its receivers, as the client states them.
    pub to: Option<Receivers>,
    /// The id that its sender gave it.
    pub client_id: Option<ChosenName>,
    /// Its parts.
    pub parts: Vec<PartRequest>,
}

/// The package of a message that a client wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    content_type: MediaType,
    bytes: Vec<u8>,
}

/// A part of a message that a client wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRequest {
    /// Its source.
    pub source: Source,
    /// The name that its sender gives it.
    pub name: Option<ChosenName>,
    /// The sender's statements about it.
    pub stated: Stated,
}

/// The source of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The file with this number in the form, counted from 0.
    Form(usize),
    /// A file that was uploaded before.
    File(FileId),
    /// A part of another message.
    Part {
        /// The id of that message.
        message: FileId,
        /// The number of the part, counted from 1.
        number: u32,
    },
}

impl PackageRequest {
    /// Makes a package of this type.
    ///
    /// # Errors
    /// An error, if it is too long, or if its type is JSON and some parsers could not read it.
    pub fn new(content_type: MediaType, bytes: Vec<u8>) -> Result<Self, MessageError> {
        if bytes.len() > MOST_PACKAGE_BYTES {
            return Err(MessageError::PackageTooLong);
        }
        if is_json(&content_type) {
            json::check(&bytes).map_err(MessageError::not_json)?;
        }
        Ok(Self {
            content_type,
            bytes,
        })
    }

    /// Returns the empty text that stands for a missing package.
    fn absent() -> Self {
        Self {
            content_type: text_type(),
            bytes: Vec::new(),
        }
    }

    /// Returns its type.
    pub fn content_type(&self) -> &MediaType {
        &self.content_type
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Request {
    /// Reads a message in JSON. Its parts are files that exist already. Its package keeps the bytes
    /// of the JSON value; a package that is a string becomes its text.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, MessageError> {
        let unreadable = |err| MessageError::unreadable("body", err);
        let text = str::from_utf8(bytes).map_err(|err| MessageError::unreadable("body", err))?;
        let OnlyObject(body): OnlyObject<Body<'_>> =
            serde_json::from_str(text).map_err(unreadable)?;
        let package = match body.message.map(RawValue::get) {
            None => None,
            Some(text) if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(unreadable)?;
                Some(PackageRequest::new(text_type(), text.into_bytes())?)
            }
            Some(json) => Some(PackageRequest::new(json_type(), json.into())?),
        };
        let to = body.to.map(|to| match to.get() {
            list if list.starts_with('[') => Receivers::read([list]),
            one => {
                let one: Party =
                    serde_json::from_str(one).map_err(|err| MessageError::unreadable("to", err))?;
                Receivers::try_from(vec![one])
            }
        });
        let parts = numbered(body.parts)?;
        if parts
            .iter()
            .any(|part| matches!(part.source, Source::Form(_)))
        {
            return Err(MessageError::NoSuchFile);
        }
        Self::new(package, body.from, to.transpose()?, body.id, parts)
    }

    /// Makes a message of these values.
    ///
    /// # Errors
    /// An error, if there is neither a package nor a part.
    pub fn new(
        package: Option<PackageRequest>,
        from: Option<Party>,
        to: Option<Receivers>,
        client_id: Option<ChosenName>,
        parts: Vec<PartRequest>,
    ) -> Result<Self, MessageError> {
        if package.is_none() && parts.is_empty() {
            return Err(MessageError::Empty);
        }
        Ok(Self {
            package: package.unwrap_or_else(PackageRequest::absent),
            from,
            to,
            client_id,
            parts,
        })
    }
}

impl PartRequest {
    /// Returns the parts of a form. The form has files with these names, in their order. `said` is
    /// its text `parts`, if it has one: a JSON array.
    ///
    /// An element that names a file, or a part of another message, stands for that. Each other
    /// element stands for a file of the form, in the order of both. Files without an element come
    /// after all elements.
    ///
    /// # Errors
    /// An error, if `said` cannot be read or names more files than there are, or if there are too
    /// many parts.
    pub fn of_form(
        said: Option<&str>,
        files: Vec<Option<ChosenName>>,
    ) -> Result<Vec<Self>, MessageError> {
        let said: Vec<OnlyObject<Said>> = said
            .map_or(Ok(Vec::new()), serde_json::from_str)
            .map_err(|err| MessageError::unreadable("parts", err))?;
        let mut parts = numbered(said)?;
        let mut spoken_of = 0;
        for part in &mut parts {
            if let Source::Form(number) = part.source {
                let name = files.get(number).ok_or(MessageError::NoSuchFile)?;
                part.name = part.name.take().or_else(|| name.clone());
                spoken_of = number + 1;
            }
        }
        let others = files.into_iter().enumerate().skip(spoken_of);
        parts.extend(others.map(|(number, name)| Self {
            source: Source::Form(number),
            name,
            stated: Stated::default(),
        }));
        if parts.len() > MOST_PARTS {
            return Err(MessageError::TooManyParts);
        }
        Ok(parts)
    }
}

/// The body of a request in JSON. Unknown names are refused, so that a sender learns of everything
/// that is not done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    from: Option<Party>,
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    id: Option<ChosenName>,
    #[serde(default)]
    parts: Vec<OnlyObject<Said>>,
}

/// The sender's description of one part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default, deserialize_with = "file_id")]
    file: Option<FileId>,
    #[serde(default, deserialize_with = "file_id")]
    message: Option<FileId>,
    part: Option<u32>,
    name: Option<ChosenName>,
    width: Option<std::num::NonZeroU16>,
    height: Option<std::num::NonZeroU16>,
    duration_ms: Option<u32>,
    waveform: Option<Waveform>,
    blurhash: Option<BlurHash>,
    thumbhash: Option<ThumbHash>,
}

fn file_id<'de, D: Deserializer<'de>>(source: D) -> Result<Option<FileId>, D::Error> {
    let text: Option<String> = Deserialize::deserialize(source)?;
    let id = text.map(|text| text.parse());
    id.transpose().map_err(D::Error::custom)
}

/// Gives each element that stands for a file of the form the number of that file.
fn numbered(said: Vec<OnlyObject<Said>>) -> Result<Vec<PartRequest>, MessageError> {
    if said.len() > MOST_PARTS {
        return Err(MessageError::TooManyParts);
    }
    let mut files = 0..;
    let parts = said.into_iter().map(|OnlyObject(said)| {
        let source = match (said.file, said.message, said.part) {
            (None, None, None) => Source::Form(files.next().unwrap_or_default()),
            (Some(file), None, None) => Source::File(file),
            (None, Some(message), Some(number)) if number > 0 => Source::Part { message, number },
            _ => {
                let reason = "a part is a `file`, or a `part` from 1 on of a `message`";
                return Err(MessageError::unreadable("parts", reason));
            }
        };
        Ok(PartRequest {
            source,
            name: said.name,
            stated: Stated {
                width: said.width,
                height: said.height,
                duration_ms: said.duration_ms,
                waveform: said.waveform,
                blurhash: said.blurhash,
                thumbhash: said.thumbhash,
            },
        })
    });
    parts.collect()
}

/// Returns whether a type is JSON (RFC 8259), or based on it (RFC 6839).
pub(super) fn is_json(content_type: &MediaType) -> bool {
    let essence = content_type.essence();
    essence == "application/json" || essence.ends_with("+json")
}

fn json_type() -> MediaType {
    MediaType::parse("application/json").unwrap_or_else(|_| MediaType::octet_stream())
}

fn text_type() -> MediaType {
    MediaType::parse("text/plain; charset=utf-8").unwrap_or_else(|_| MediaType::octet_stream())
}
