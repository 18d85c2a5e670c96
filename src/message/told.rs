//! A message as its receivers see it: the package and a descriptor of each part, without any part's bytes.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json;
use super::request::is_json;
use super::{ChosenName, Kind, Message, Part, Party, Stated};
use crate::file::{FileId, MediaType, UnixMillis};

/// A message as its receivers see it, apart from what depends on the moment and on who asks.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its id.
    pub id: FileId,
    /// The moment of the promise.
    pub created: UnixMillis,
    /// The sender, the receivers and the parts that were promised.
    pub message: &'a Message,
    /// The type of its package.
    pub content_type: &'a MediaType,
    /// The bytes of its package; `None` if they are lost or damaged.
    pub package: Option<&'a [u8]>,
}

/// The words of a message: one line of JSON, made once. The state is put in at each answer, and the receivers
/// can be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    text: Box<str>,
    /// The member `to`, with the comma before it.
    to: Range<usize>,
    /// The place of the state.
    state: usize,
}

/// The answer to the sender of a message.
#[derive(Debug, Clone, Copy)]
pub struct Receipt<'a> {
    /// Its id.
    pub id: FileId,
    /// The state of its files.
    pub state: &'static str,
    /// The promise; `None` if the message was deleted since.
    pub message: Option<&'a Message>,
}

#[derive(Serialize)]
struct ReceiptDocument<'a> {
    id: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ChosenName>,
    state: &'static str,
    parts: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
struct Head<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ChosenName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Party>,
}

#[derive(Serialize)]
struct Tail<'a> {
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    /// Whether the package is lost or damaged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    damaged: bool,
    parts: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
struct Descriptor<'a> {
    part: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a ChosenName>,
    id: String,
    url: String,
    filename: &'a str,
    content_type: &'a str,
    length: u64,
    sha256: String,
    kind: Kind,
    #[serde(flatten)]
    stated: &'a Stated,
}

impl Told<'_> {
    /// Writes the words. A package in JSON stands in them as JSON, a text as a string, and any other
    /// package as base64. A damaged package is missing, and the words say so.
    ///
    /// # Errors
    /// None in practice: each value has a form in JSON.
    pub fn wording(&self) -> serde_json::Result<Wording> {
        let millis = i64::try_from(self.created.0).ok();
        let created = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let created = serde_json::to_string(&created.map(|created| created.to_string()))?;
        let package = self.package.map(|bytes| {
            let json = package(self.content_type, bytes);
            json.ok_or_else(|| STANDARD.encode(bytes))
        });
        let damaged = package.is_none();
        let (message, message_base64) = match package {
            None => (None, None),
            Some(Ok(json)) => (Some(json), None),
            Some(Err(base64)) => (None, Some(base64)),
        };
        let parts = (1..).zip(&self.message.parts);
        let head = serde_json::to_string(&Head {
            id: self.id.to_string(),
            client_id: self.message.client_id.as_ref(),
            from: self.message.from.as_ref(),
        })?;
        let to = serde_json::to_string(&self.message.to)?;
        let tail = serde_json::to_string(&Tail {
            content_type: self.content_type.as_str(),
            message,
            message_base64,
            damaged,
            parts: parts
                .map(|(number, part)| Descriptor::of(self.id, number, part))
                .collect(),
        })?;
        // Both are objects, and neither is an empty one.
        let head = head.strip_suffix('}').unwrap_or_default();
        let tail = tail.strip_prefix('{').unwrap_or_default();
        let begin = format!("{head},\"to\":{to}");
        let middle = format!("{begin},\"created\":{created},\"state\":\"");
        Ok(Wording {
            to: head.len()..begin.len(),
            state: middle.len(),
            text: format!("{middle}\",{tail}").into(),
        })
    }
}

impl Wording {
    /// Returns the whole line, in this state, with or without the receivers.
    pub fn line(&self, state: &str, has_receivers: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.bytes() + state.len());
        self.push_line(&mut line, state, has_receivers);
        line
    }

    /// Appends the same line.
    pub fn push_line(&self, line: &mut Vec<u8>, state: &str, has_receivers: bool) {
        let to = if has_receivers { self.to.clone() } else { 0..0 };
        for part in [0..self.to.start, to, self.to.end..self.state] {
            line.extend_from_slice(self.part(part));
        }
        line.extend_from_slice(state.as_bytes());
        line.extend_from_slice(self.part(self.state..self.bytes()));
    }

    /// Returns the arguments of [`Wording::kept`]: the text, and three places in it.
    pub fn to_keep(&self) -> (&str, [usize; 3]) {
        (&self.text, [self.to.start, self.to.end, self.state])
    }

    /// Returns words that were kept; `None` if the places do not fit the text.
    pub fn kept(text: &str, places: [usize; 3]) -> Option<Self> {
        let [begin, end, state] = places;
        let is_one = begin <= end && end <= state && state < text.len();
        is_one.then(|| Self {
            text: text.into(),
            to: begin..end,
            state,
        })
    }

    /// Returns the length without the state.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    fn part(&self, part: Range<usize>) -> &[u8] {
        self.text.as_bytes().get(part).unwrap_or_default()
    }
}

impl Receipt<'_> {
    /// Returns the address of the message.
    pub fn url(&self) -> String {
        format!("/messages/{}", self.id)
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    /// None in practice: each value has a form in JSON.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let parts = self.message.map(|message| message.parts.as_slice());
        let parts = (1..).zip(parts.unwrap_or_default());
        serde_json::to_vec(&ReceiptDocument {
            id: self.id.to_string(),
            url: self.url(),
            client_id: self.message.and_then(|message| message.client_id.as_ref()),
            state: self.state,
            parts: parts
                .map(|(number, part)| Descriptor::of(self.id, number, part))
                .collect(),
        })
    }
}

impl<'a> Descriptor<'a> {
    fn of(message: FileId, number: usize, part: &'a Part) -> Self {
        Self {
            part: number,
            name: part.name.as_ref(),
            id: part.file.to_string(),
            url: format!("/messages/{message}/{number}"),
            filename: part.filename.as_str(),
            content_type: part.content_type.as_str(),
            length: part.length,
            sha256: part.sha256.to_string(),
            kind: part.kind(),
            stated: &part.stated,
        }
    }
}

/// Returns a package as a value of JSON, if it is text, or JSON that every parser reads: earlier
/// versions took other JSON, too.
fn package(content_type: &MediaType, bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = str::from_utf8(bytes).ok()?;
    if is_json(content_type) {
        json::check(bytes).ok()?;
        // Line breaks stand only between values, and would end the line of a list.
        return RawValue::from_string(text.replace(['\n', '\r'], " ")).ok();
    }
    if content_type.essence().starts_with("text/") {
        return serde_json::value::to_raw_value(text).ok();
    }
    None
}
