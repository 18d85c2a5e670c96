//! A message as its receivers see it: the package and a descriptor of each part, without any part's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::request::is_json;
use super::{ChosenName, Kind, Message, Part, Party, Receivers, Stated};
use crate::file::{FileId, MediaType, UnixMillis};

/// A message as its receivers see it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its id.
    pub id: FileId,
    /// The moment of the promise.
    pub created: UnixMillis,
    /// The state of its package.
    pub state: &'static str,
    /// The sender, the receivers and the parts that were promised.
    pub message: &'a Message,
    /// The type of its package.
    pub content_type: &'a MediaType,
    /// The bytes of its package.
    pub package: &'a [u8],
    /// Whether the answer shows the receivers.
    pub has_receivers: bool,
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
struct Document<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ChosenName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a Receivers>,
    created: Option<String>,
    state: &'static str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
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
    /// Writes one line of JSON. A package in JSON stands in it as JSON, a text as a string, and any
    /// other package as base64.
    ///
    /// # Errors
    /// None in practice: each value has a form in JSON.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let millis = i64::try_from(self.created.0).ok();
        let created = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let package = package(self.content_type, self.package);
        let base64 = || STANDARD.encode(self.package);
        let parts = (1..).zip(&self.message.parts);
        serde_json::to_vec(&Document {
            id: self.id.to_string(),
            client_id: self.message.client_id.as_ref(),
            from: self.message.from.as_ref(),
            to: Some(&self.message.to).filter(|_| self.has_receivers),
            created: created.map(|created| created.to_string()),
            state: self.state,
            content_type: self.content_type.as_str(),
            message_base64: package.is_none().then(base64),
            message: package,
            parts: parts
                .map(|(number, part)| Descriptor::of(self.id, number, part))
                .collect(),
        })
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

/// Returns a package as a value of JSON, if it is JSON or text.
fn package(content_type: &MediaType, bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = str::from_utf8(bytes).ok()?;
    if is_json(content_type) {
        // Line breaks stand only between values, and would end the line of a list.
        return RawValue::from_string(text.replace(['\n', '\r'], " ")).ok();
    }
    if content_type.essence().starts_with("text/") {
        return serde_json::value::to_raw_value(text).ok();
    }
    None
}
