//! Texts in URLs and the `_id` values that they mean: MongoDB's Extended JSON in any spelling.
//!
//! A text that reads as a value of some type means that value; if no file has it, the text means the
//! string of its own letters. All spellings of one value are one key, as MongoDB compares values: the
//! number 5 of any numeric type names the same file. So a file has one key, one place in each cache, and
//! one claim in tokens.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most types of BSON stand for themselves"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Decimal128, Document, RawDocument, Uuid, doc};

use super::document;
use crate::file::{FileId, FileKey};

/// The key that a text means.
pub(super) fn read(given: &str) -> FileKey {
    let key = FileKey::from_text(given);
    if matches!(key, FileKey::Id(_)) {
        return key;
    }
    match value(given) {
        Some(Bson::ObjectId(id)) => FileKey::Id(FileId::from_bytes(id.bytes())),
        // A bare text may also be the string of its own letters.
        Some(value) if is_explicit(given) => {
            let canonical = text(&value);
            // The canonical spelling is used only if it reads as the same value.
            let read = candidates(&FileKey::from_text(&canonical));
            let is_same = read.first().is_some_and(|read| is_same(read, &value));
            FileKey::Foreign(if is_same { canonical } else { given.to_owned() })
        }
        Some(_) | None => key,
    }
}

/// The key of the file in this document.
pub(super) fn of_document(file: &RawDocument) -> Option<FileKey> {
    let id = file.get("_id").ok().flatten()?;
    Some(read(&text(&Bson::try_from(id).ok()?)))
}

/// The `_id` values that a key can mean, the most likely first.
pub(super) fn candidates(key: &FileKey) -> Vec<Bson> {
    match key {
        FileKey::Id(id) => vec![
            Bson::ObjectId(document::object_id(*id)),
            Bson::String(id.to_string()),
        ],
        FileKey::Foreign(given) => match value(given) {
            Some(Bson::String(text)) => vec![Bson::String(text)],
            value => value
                .into_iter()
                .chain([Bson::String(given.clone())])
                .collect(),
        },
    }
}

/// An `_id` as it stands in a URL: [`read`] reads it.
pub(super) fn text(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::String(text) => {
            let is_ambiguous = text.parse::<FileId>().is_ok() || value(text).is_some();
            if is_ambiguous { json(id) } else { text.clone() }
        }
        Bson::Binary(binary) => match binary.to_uuid() {
            Ok(uuid) => uuid.to_string(),
            Err(_) => json(id),
        },
        other => json(other),
    }
}

fn is_same(one: &Bson, other: &Bson) -> bool {
    let is_nan = |value: &Bson| value.as_f64().is_some_and(f64::is_nan);
    one == other || is_nan(one) && is_nan(other)
}

/// A spelling of a value in JSON.
fn json(value: &Bson) -> String {
    serde_json::to_string(&spelt_out(value)).unwrap_or_else(|_| value.to_string())
}

/// Returns a value for JSON, with an object for values that JSON lacks and serde would change: a
/// NaN would become `null`, and bytes a list of numbers.
fn spelt_out(value: &Bson) -> Bson {
    let fields = |fields: &Document| -> Document {
        let field = |(name, value): (&String, &Bson)| (name.clone(), spelt_out(value));
        fields.iter().map(field).collect()
    };
    match value {
        Bson::Double(number) if !number.is_finite() => {
            let name = if number.is_nan() {
                "NaN"
            } else if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            doc! { "$numberDouble": name }.into()
        }
        Bson::Binary(binary) if binary.subtype == BinarySubtype::Generic => {
            let base64 = STANDARD.encode(&binary.bytes);
            doc! { "$binary": { "base64": base64, "subType": "00" } }.into()
        }
        Bson::Document(document) => Bson::Document(fields(document)),
        Bson::Array(values) => Bson::Array(values.iter().map(spelt_out).collect()),
        Bson::JavaScriptCodeWithScope(code) => {
            let mut code = code.clone();
            code.scope = fields(&code.scope);
            Bson::JavaScriptCodeWithScope(code)
        }
        other => other.clone(),
    }
}

/// Whether a text names its type.
fn is_explicit(text: &str) -> bool {
    text.trim_start().starts_with(['{', '"'])
}

/// The value that a text reads as, if it can be an `_id`: lists and patterns cannot. MongoDB itself
/// tells which other values it does not search for.
fn value(text: &str) -> Option<Bson> {
    if let Ok(uuid) = Uuid::parse_str(text) {
        return Some(Bson::Binary(Binary::from(uuid)));
    }
    // Read directly, as the order of a document's keys is part of its value.
    match serde_json::from_str(text).ok()? {
        Bson::Array(_) | Bson::RegularExpression(_) => None,
        // serde_json would lose the last bit, for speed.
        Bson::Double(number) if !is_explicit(text) => {
            Some(of_double(text.trim().parse().unwrap_or(number)))
        }
        value => canonical(value),
    }
}

/// The value in the one type and form that stands for all values which MongoDB finds equal; `None` if
/// BSON cannot hold it.
fn canonical(value: Bson) -> Option<Bson> {
    Some(match value {
        Bson::Int32(number) => Bson::Int64(number.into()),
        Bson::Double(number) => of_double(number),
        Bson::Decimal128(number) => of_decimal(number),
        Bson::Symbol(text) => Bson::String(text),
        Bson::Array(values) => {
            let values: Option<Vec<_>> = values.into_iter().map(canonical).collect();
            Bson::Array(values?)
        }
        Bson::Document(fields) => {
            let field = |(name, value): (String, Bson)| {
                let is_name = !name.contains('\0');
                is_name.then(|| Some((name, canonical(value)?)))?
            };
            let fields: Option<Document> = fields.into_iter().map(field).collect();
            Bson::Document(fields?)
        }
        other => other,
    })
}

fn of_double(number: f64) -> Bson {
    document::exact(number).map_or(Bson::Double(number), Bson::Int64)
}

fn of_decimal(number: Decimal128) -> Bson {
    let text = number.to_string();
    let double: f64 = text.parse().unwrap_or(f64::NAN);
    let Some(decimal) = Decimal::read(&text) else {
        return Bson::Double(double);
    };
    if let Some(whole) = decimal.whole() {
        return Bson::Int64(whole);
    }
    // The comparison is exact: no double has more digits after its point.
    if double.is_finite() && Decimal::read(&format!("{double:.1074}")) == Some(decimal.clone()) {
        return Bson::Double(double);
    }
    let shortest = format!("{}E{}", decimal.digits, decimal.exponent);
    Bson::Decimal128(shortest.parse().unwrap_or(number))
}

/// A finite number: its signed digits without zeros at the end, and the power of ten by which they are
/// multiplied.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let (number, power) = text.split_once(['E', 'e']).unwrap_or((text, "0"));
        let (sign, number) = match number.strip_prefix('-') {
            Some(number) => ("-", number),
            None => ("", number),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let all = format!("{whole}{part}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_end_matches('0');
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let places = i64::try_from(part.len()).ok()?;
        let power: i64 = power.parse().ok()?;
        let digits = digits.trim_start_matches('0');
        Some(if digits.is_empty() {
            Self {
                digits: "0".to_owned(),
                exponent: 0,
            }
        } else {
            Self {
                digits: format!("{sign}{digits}"),
                exponent: power - places + zeros,
            }
        })
    }

    fn whole(&self) -> Option<i64> {
        let zeros = usize::try_from(self.exponent)
            .ok()
            .filter(|&zeros| zeros < 20)?;
        format!("{}{}", self.digits, "0".repeat(zeros)).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;
    use mongodb::bson::oid::ObjectId;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_spellings_of_a_value_are_one_key() {
        for spellings in [
            &["5", r#"{"$numberInt":"5"}"#, r#"{ "$numberLong" : "5" }"#][..],
            &[
                "5",
                r#"{"$numberDouble":"5.0"}"#,
                r#"{"$numberDecimal":"5.00"}"#,
            ],
            &[
                "0",
                r#"{"$numberDouble":"-0.0"}"#,
                r#"{"$numberDecimal":"-0"}"#,
            ],
            &[
                "5000",
                r#"{"$numberDecimal":"5E+3"}"#,
                r#"{"$numberInt":"5000"}"#,
            ],
            &[
                "0.5",
                r#"{"$numberDouble":"0.5"}"#,
                r#"{"$numberDecimal":"0.50"}"#,
            ],
            &[
                r#"{"$numberDecimal":"1E-1"}"#,
                r#"{"$numberDecimal":"0.10"}"#,
            ],
            &[r#"{"$numberDouble":"NaN"}"#, r#"{"$numberDecimal":"NaN"}"#],
            &[
                "plain",
                r#""plain""#,
                r#"{"$symbol":"plain"}"#,
                r#""\u0070lain""#,
            ],
            &[
                "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
                r#"{"$uuid":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}"#,
                r#"{"$binary":{"base64":"+B1Prn3sEdCnZQCgyR5r9g==","subType":"04"}}"#,
            ],
            &[
                r#"{"a":1,"b":{"c":[2]}}"#,
                r#"{ "a":{"$numberLong":"1"}, "b":{"c":[2.0]} }"#,
            ],
            &[
                r#"{"$date":"2024-05-17T01:02:03.004Z"}"#,
                r#"{"$date":{"$numberLong":"1715907723004"}}"#,
            ],
        ] {
            let keys: Vec<_> = spellings.iter().map(|spelling| read(spelling)).collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        }
    }

    #[test]
    fn an_object_id_is_the_same_key_however_it_is_spelt() {
        let id = ObjectId::from_bytes(*b"twelve bytes");
        let upper = id.to_hex().to_uppercase();
        for spelling in [
            id.to_hex(),
            upper.clone(),
            format!("{{\"$oid\":\"{id}\"}}"),
            format!(" {{ \"$oid\" :\n\"{upper}\" }} "),
            format!("{{\"\\u0024oid\":\"{id}\"}}"),
        ] {
            assert_eq!(
                read(&spelling),
                FileKey::from_text(&id.to_hex()),
                "{spelling}"
            );
        }
    }

    #[test]
    fn texts_that_may_be_strings_mean_both() {
        for (given, candidates_of_it) in [
            ("5", vec![Bson::Int64(5), Bson::from("5")]),
            ("5.0", vec![Bson::Int64(5), Bson::from("5.0")]),
            ("007", vec![Bson::from("007")]),
            ("true", vec![Bson::Boolean(true), Bson::from("true")]),
            ("\"5\"", vec![Bson::from("5")]),
            ("a b", vec![Bson::from("a b")]),
            (
                "{\"a\":1}",
                vec![doc! { "a": 1_i64 }.into(), Bson::from("{\"a\":1}")],
            ),
        ] {
            assert_eq!(candidates(&read(given)), candidates_of_it, "{given}");
        }
    }

    #[test]
    fn what_no_id_can_be_is_a_string_or_nothing() {
        for given in [
            "[1]",
            "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}",
            "{\"a\\u0000b\":1}",
            "{\"$oid\":\"x\"}",
            &"[".repeat(100_000),
            &format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000)),
        ] {
            assert_eq!(candidates(&read(given)), [Bson::from(given)], "{given:.40}");
        }
    }

    /// Bytes of the generic subtype, and of another.
    fn bytes() -> impl Strategy<Value = Bson> {
        any::<(bool, Vec<u8>)>().prop_map(|(is_plain, bytes)| {
            let subtype = if is_plain {
                BinarySubtype::Generic
            } else {
                BinarySubtype::UserDefined(128)
            };
            Bson::Binary(Binary { subtype, bytes })
        })
    }

    fn id() -> impl Strategy<Value = Bson> {
        prop_oneof![
            any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
            any::<i64>().prop_map(Bson::Int64),
            any::<f64>().prop_map(of_double),
            any::<String>().prop_map(Bson::String),
            any::<i64>().prop_map(|number| Bson::String(number.to_string())),
            any::<[u8; 12]>().prop_map(|bytes| Bson::String(ObjectId::from_bytes(bytes).to_hex())),
            any::<[u8; 16]>().prop_map(|bytes| Bson::Binary(Uuid::from_bytes(bytes).into())),
            any::<i32>().prop_map(|time| Bson::DateTime(DateTime::from_millis(time.into()))),
            any::<(bool, String)>().prop_map(|(is, text)| doc! { "a": is, "b": text }.into()),
            bytes(),
            bytes().prop_map(|bytes| doc! { "a": [f64::INFINITY, bytes] }.into()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_id_is_what_its_own_text_means_first(id in id()) {
            let key = read(&text(&id));
            let first = candidates(&key).into_iter().next().unwrap();
            prop_assert!(is_same(&first, &id), "{:?} {:?}", id, key);
            // A key is its own spelling.
            if let FileKey::Foreign(text) = &key {
                prop_assert_eq!(&read(text), &key);
            }
        }
    }
}
