//! The check of a package in JSON. A list has the packages of many senders in one document, so one
//! package that a receiver's parser cannot read would close the whole list.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most arrays and objects that stand in each other. Some parsers read no more than 128, and a
/// list adds its own.
pub(super) const DEEPEST: usize = 100;

/// Checks that any parser can read these bytes: they are one value of JSON (RFC 8259) in UTF-8,
/// nested no deeper than [`DEEPEST`], each number fits into a double (RFC 7493 §2.2), and no escape
/// is half of a surrogate pair (§2.1).
///
/// # Errors
/// The first fault, and its place.
pub(super) fn check(bytes: &[u8]) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Value { room: DEEPEST }.deserialize(&mut json)?;
    json.end()
}

/// Reads a value and keeps nothing of it. Serde's own `IgnoredAny` looks neither at depth nor into
/// strings and numbers.
#[derive(Clone, Copy)]
struct Value {
    /// The arrays and objects that may still stand in each other.
    room: usize,
}

impl Value {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let room = self.room.checked_sub(1);
        let room = room.ok_or_else(|| E::custom(format_args!("nested deeper than {DEEPEST}")))?;
        Ok(Self { room })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while array.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while object.next_key_seed(inner)?.is_some() {
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(open: &str, close: &str, depth: usize) -> String {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    }

    #[test]
    fn what_every_parser_reads_passes() {
        for text in [
            "1",
            " [] ",
            r#"{"a":{},"a":null}"#,
            r#""\ud83d\ude00 \u0000 grüße""#,
            "[1.7976931348623157e308,-1e-999,0e99999999999,18446744073709551616,-0]",
            &"9".repeat(308),
            &nested("[", "]", DEEPEST),
            &nested("{\"a\":", "}", DEEPEST),
        ] {
            check(text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn what_some_parsers_refuse_is_refused_with_its_fault() {
        let deep = [
            nested("[", "]", DEEPEST + 1),
            nested("{\"a\":", "}", DEEPEST + 1),
            nested("[{\"a\":", "}]", DEEPEST / 2) + "]",
            nested("[", "]", 1_000_000),
        ];
        let [array, object, both, stack] = deep.each_ref().map(String::as_bytes);
        let both = [b"[", both].concat();
        let long = "9".repeat(310);
        for (bytes, fault) in [
            (array, "nested deeper than 100"),
            (object, "nested deeper than 100"),
            (&both[..], "nested deeper than 100"),
            (stack, "nested deeper than 100"),
            (b"[1e309]", "number out of range"),
            (b"{\"a\":-1e309}", "number out of range"),
            (long.as_bytes(), "number out of range"),
            (br#"["\ud800"]"#, "hex escape"),
            (br#"["\udc00x"]"#, "hex escape"),
            (br#"{"\ud800\ud800":1}"#, "hex escape"),
            (b"[\"\xff\"]", "unicode"),
            (b"{\"\xc3\":1}", "unicode"),
            (b"\xef\xbb\xbf1", "expected value"),
            (b"\xff", "expected value"),
            (b"", "EOF"),
            (b"{} {}", "trailing"),
            (b"[NaN]", "expected value"),
            (b"[01]", "invalid number"),
            (b"\"\n\"", "control character"),
        ] {
            let err = check(bytes).unwrap_err().to_string();
            assert!(err.contains(fault), "{fault}: {err}");
        }
    }
}
