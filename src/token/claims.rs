//! The claims of a token, as they stand in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Grant, Scope};
use crate::file::FileKey;

/// Claims that say what a token grants; `exp`, `nbf` and `aud` have been judged before. Others are
/// passed over; one of these with another type makes the token invalid.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "words")]
    scope: Vec<String>,
    sub: Option<String>,
    file: Option<String>,
    max_bytes: Option<u64>,
    #[serde(default, deserialize_with = "some_words")]
    types: Option<Vec<String>>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

/// Words with spaces between them (RFC 8693 §4.2), or a list of words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

fn words<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    Ok(match Words::deserialize(source)? {
        Words::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        Words::List(list) => list,
    })
}

fn some_words<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Vec<String>>, D::Error> {
    words(source).map(Some)
}

impl From<Claims> for Grant {
    fn from(claims: Claims) -> Self {
        let scopes = claims.scope.iter().filter_map(|word| Scope::named(word));
        Self {
            scopes: scopes.collect(),
            subject: claims.sub,
            file: claims.file.as_deref().map(FileKey::from_text),
            max_bytes: claims.max_bytes,
            types: claims.types,
            metadata: claims.meta,
        }
    }
}
