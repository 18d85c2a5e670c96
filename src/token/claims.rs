//! The claims in a token.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Grant, Scope, TokenError};
use crate::file::FileKey;
use crate::message::{MessageError, Party, Receivers};

/// The claims that grant something; the library checks `exp`, `nbf` and `aud`. Other claims are ignored
/// (RFC 7519 §4). It is an error if one of these occurs twice or has an unknown form, `null` included:
/// an unreadable restriction must not count as no restriction.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "given")]
    scope: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    file: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    max_bytes: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    types: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    meta: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    from: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    to: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    receiver: Option<Value>,
}

/// Reads a claim that is present, with any value: without this, `null` would count as absent.
fn given<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(source).map(Some)
}

/// Words that are separated by spaces (RFC 8693 §4.2), or a list of words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Self {
        match words {
            Words::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Words::List(list) => list,
        }
    }
}

/// One name, or a list of names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Parties {
    One(Party),
    Many(Receivers),
}

impl TryFrom<Parties> for Receivers {
    type Error = MessageError;

    fn try_from(parties: Parties) -> Result<Self, MessageError> {
        match parties {
            Parties::One(party) => Self::try_from(vec![party]),
            Parties::Many(receivers) => Ok(receivers),
        }
    }
}

impl TryFrom<Claims> for Grant {
    type Error = TokenError;

    fn try_from(claims: Claims) -> Result<Self, TokenError> {
        let scope: Option<Words> = read("scope", claims.scope)?;
        let scope: Vec<String> = scope.map(Vec::from).unwrap_or_default();
        let file: Option<String> = read("file", claims.file)?;
        let types: Option<Words> = read("types", claims.types)?;
        let metadata: Option<BTreeMap<String, String>> = read("meta", claims.meta)?;
        let to: Option<Parties> = read("to", claims.to)?;
        let to = to.map(Receivers::try_from).transpose();
        let receiver: Option<Party> = read("receiver", claims.receiver)?;
        let scopes = scope.iter().filter_map(|word| Scope::named(word));
        // A token without a receiver must not open the messages of all receivers.
        let scopes = scopes.filter(|scope| *scope != Scope::Receive || receiver.is_some());
        Ok(Self {
            scopes: scopes.collect(),
            subject: read("sub", claims.sub)?,
            file: file.as_deref().map(FileKey::from_text),
            max_bytes: read("max_bytes", claims.max_bytes)?,
            types: types.map(Vec::from),
            metadata: metadata.unwrap_or_default(),
            from: read("from", claims.from)?,
            to: to.map_err(|_| TokenError::BadClaim("to"))?,
            receiver,
        })
    }
}

fn read<T: DeserializeOwned>(
    name: &'static str,
    claim: Option<Value>,
) -> Result<Option<T>, TokenError> {
    let read = claim.map(serde_json::from_value).transpose();
    read.map_err(|_| TokenError::BadClaim(name))
}
