//! Documents of other writers, which have fields of their own beside those of the specification.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most types of BSON are told alike"
)]

use mongodb::bson::raw::RawBsonRef;
use mongodb::bson::{Bson, RawDocument, RawDocumentBuf};
use serde_json::{Map, Value, json};
use sha2::Digest as _;

use crate::file::{MediaType, Metadata, Revision};

/// Names of fields that hold a media type, the most reliable first: `contentType` of most drivers,
/// `_contentType` of Spring, `mimetype` of many programs. Case and signs between words do not matter.
const TYPE_NAMES: [&str; 4] = ["contenttype", "mimetype", "mime", "type"];

/// Words in names of fields in which programs count or note readers of a file: such fields change with
/// every download, and say nothing of the content.
const READING: [&str; 5] = ["access", "count", "download", "hits", "view"];

/// The last moment that relaxed Extended JSON writes as a date, in milliseconds: the end of year 9999.
const LAST_OF_RFC_3339: i64 = 253_402_300_799_999;

/// The first valid media type in a file's document.
pub(super) fn content_type(document: &RawDocument) -> Option<MediaType> {
    let metadata = document.get_document("metadata").ok();
    let places: Vec<_> = metadata.into_iter().chain([document]).collect();
    // The name of the specification comes before other spellings.
    let exact = places.iter().map(|place| place.get_str("contentType").ok());
    let others = TYPE_NAMES.iter().flat_map(|word| {
        let places = places.iter();
        places.flat_map(|place| {
            place.iter().flatten().filter_map(|(name, value)| {
                (plain(name.as_str()) == *word)
                    .then(|| value.as_str())
                    .flatten()
            })
        })
    });
    let in_metadata = exact.clone().next().flatten();
    let mut texts = in_metadata.into_iter().chain(others).chain(exact.flatten());
    texts.find_map(|text| MediaType::parse(text).ok())
}

/// A name's letters and digits, in lower case.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|char| char.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Tells apart the contents that stand under one id, by all fields of the document except those about
/// readers: the date to the millisecond, the length, the chunk size, digests, and the writer's own
/// fields.
pub(super) fn revision(document: &RawDocument) -> Revision {
    let digest: [u8; 32] = sha2::Sha256::digest(lasting(document).as_bytes()).into();
    Revision(digest.first_chunk().copied().unwrap_or_default())
}

fn lasting(document: &RawDocument) -> RawDocumentBuf {
    let mut lasting = RawDocumentBuf::new();
    for (name, value) in document.iter().flatten() {
        let plain = plain(name.as_str());
        if READING.iter().any(|part| plain.contains(part)) {
            continue;
        }
        match value {
            RawBsonRef::Document(inner) if plain == "metadata" => {
                lasting.append(name, self::lasting(inner));
            }
            _ => lasting.append(name, value),
        }
    }
    lasting
}

/// A file's metadata as the text of relaxed Extended JSON. If it is too long, whole fields are left
/// out; it is empty if there is none.
pub(super) fn metadata(document: &RawDocument) -> String {
    let mut told = Map::new();
    let mut room = Metadata::MOST_BYTES;
    let metadata = document.get_document("metadata").ok();
    for (name, value) in metadata.into_iter().flatten().flatten() {
        let Some(value) = (size(value) <= room)
            .then(|| Bson::try_from(value).ok())
            .flatten()
        else {
            continue;
        };
        let value = relaxed(value);
        let bytes = name.as_str().len() + value.to_string().len();
        if bytes <= room {
            room -= bytes;
            told.insert(name.as_str().to_owned(), value);
        }
    }
    if told.is_empty() {
        String::new()
    } else {
        Value::Object(told).to_string()
    }
}

/// The bytes of a value of a type that may be long.
fn size(value: RawBsonRef<'_>) -> usize {
    match value {
        RawBsonRef::Document(inner) => inner.as_bytes().len(),
        RawBsonRef::Array(inner) => inner.as_bytes().len(),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => text.len(),
        RawBsonRef::Binary(binary) => binary.bytes.len(),
        _ => 0,
    }
}

/// A value as relaxed Extended JSON.
fn relaxed(value: Bson) -> Value {
    match value {
        Bson::Document(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, relaxed(value)));
            Value::Object(fields.collect())
        }
        Bson::Array(values) => values.into_iter().map(relaxed).collect(),
        Bson::DateTime(date) if (0..=LAST_OF_RFC_3339).contains(&date.timestamp_millis()) => {
            match date.try_to_rfc3339_string() {
                Ok(text) => json!({ "$date": text }),
                Err(_) => Value::Null,
            }
        }
        Bson::Double(number) if number.is_nan() => json!({ "$numberDouble": "NaN" }),
        Bson::Double(number) if number.is_infinite() => {
            let sign = if number > 0.0 { "" } else { "-" };
            json!({ "$numberDouble": format!("{sign}Infinity") })
        }
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, rawdoc};

    use super::*;

    #[test]
    fn the_first_type_that_can_be_read_counts_wherever_it_stands() {
        for (document, expected) in [
            (
                rawdoc! { "metadata": { "contentType": "a/b" }, "contentType": "c/d" },
                Some("a/b"),
            ),
            (
                rawdoc! { "metadata": { "contentType": "none" }, "contentType": "c/d" },
                Some("c/d"),
            ),
            (
                rawdoc! { "metadata": { "contentType": 7 }, "contentType": "c/d" },
                Some("c/d"),
            ),
            (
                rawdoc! { "metadata": { "_contentType": "a/b", "_class": "x" } },
                Some("a/b"),
            ),
            (
                rawdoc! { "metadata": { "mimeType": "", "type": "a/b" } },
                Some("a/b"),
            ),
            (
                rawdoc! { "metadata": { "type": "avatar" }, "contentType": "" },
                None,
            ),
            (
                rawdoc! { "metadata": { "mimetype": "a/b" }, "contentType": "no" },
                Some("a/b"),
            ),
            (
                rawdoc! { "metadata": "a/b", "content-type": "c/d" },
                Some("c/d"),
            ),
            (rawdoc! {}, None),
        ] {
            let read = content_type(&document);
            assert_eq!(
                read.as_ref().map(MediaType::as_str),
                expected,
                "{document:?}"
            );
        }
    }

    #[test]
    fn a_revision_changes_with_all_but_the_readers() {
        let date = DateTime::from_millis;
        let document = rawdoc! {
            "_id": 1, "length": 5, "uploadDate": date(1), "metadata": { "a": 1, "downloads": 1 },
        };
        let same = rawdoc! {
            "_id": 1, "length": 5, "uploadDate": date(1), "viewCount": 7,
            "metadata": { "a": 1, "downloads": 2 },
        };
        assert_eq!(revision(&document), revision(&same));
        for other in [
            rawdoc! { "_id": 1, "length": 5, "uploadDate": date(2), "metadata": { "a": 1 } },
            rawdoc! { "_id": 1, "length": 6, "uploadDate": date(1), "metadata": { "a": 1 } },
            rawdoc! { "_id": 1, "length": 5, "uploadDate": date(1), "metadata": { "a": 2 } },
            rawdoc! { "_id": 1, "length": 5, "uploadDate": date(1), "md5": "0", "metadata": { "a": 1 } },
        ] {
            assert_ne!(revision(&document), revision(&other), "{other:?}");
        }
    }

    #[test]
    fn metadata_is_told_as_far_as_it_is_short() {
        let long = "x".repeat(Metadata::MOST_BYTES);
        let document = rawdoc! { "metadata": {
            "long": long.as_str(),
            "many": { "long": long.as_str() },
            "date": DateTime::from_millis(0),
            "number": f64::NAN,
            "a": [1, { "b": 2_i64 }],
        } };
        let told: Value = serde_json::from_str(&metadata(&document)).unwrap();
        let expected = json!({
            "date": { "$date": "1970-01-01T00:00:00Z" },
            "number": { "$numberDouble": "NaN" },
            "a": [1, { "b": 2 }],
        });
        assert_eq!(told, expected);
        assert_eq!(metadata(&rawdoc! { "metadata": {} }), "");
        assert_eq!(metadata(&rawdoc! {}), "");
    }
}
