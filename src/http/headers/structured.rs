//! Fields that hold one item (RFC 9651 §3.3): a boolean, or an integer that is not negative.

use actix_web::http::header::HeaderMap;
use sfv::{BareItem, Item, Parser};

/// The value of a field that holds a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Said {
    /// The field is absent.
    Nothing,
    Yes,
    No,
    /// It cannot be read.
    Unclear,
}

/// Reads a boolean (RFC 9651 §3.3.6).
pub(in crate::http) fn boolean(headers: &HeaderMap, name: &str) -> Said {
    let item = item(headers, name);
    if !headers.contains_key(name) {
        Said::Nothing
    } else if item == Some(BareItem::Boolean(true)) {
        Said::Yes
    } else if item == Some(BareItem::Boolean(false)) {
        Said::No
    } else {
        Said::Unclear
    }
}

/// Reads an integer (RFC 9651 §3.3.1); `None` if the field is absent, or holds anything else: such
/// a field is to be ignored.
pub(in crate::http) fn integer(headers: &HeaderMap, name: &str) -> Option<u64> {
    let BareItem::Integer(number) = item(headers, name)? else {
        return None;
    };
    i64::from(number).try_into().ok()
}

/// Two fields of one name make a list, which is no item.
fn item(headers: &HeaderMap, name: &str) -> Option<BareItem> {
    let mut values = headers.get_all(name);
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let item: Item = Parser::new(value.as_bytes()).parse().ok()?;
    Some(item.bare_item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;

    #[test]
    fn one_item_is_read_and_anything_else_is_none() {
        for (value, number, said) in [
            ("0", Some(0), Said::Unclear),
            ("42;a=b", Some(42), Said::Unclear),
            ("999999999999999", Some(999_999_999_999_999), Said::Unclear),
            ("-1", None, Said::Unclear),
            ("1000000000000000", None, Said::Unclear),
            ("1.0", None, Said::Unclear),
            ("1, 2", None, Said::Unclear),
            ("\"1\"", None, Said::Unclear),
            ("", None, Said::Unclear),
            ("?1", None, Said::Yes),
            ("?0;a", None, Said::No),
            ("?2", None, Said::Unclear),
            ("true", None, Said::Unclear),
        ] {
            let headers = head(&[("upload-x", value)]);
            assert_eq!(integer(&headers, "upload-x"), number, "{value}");
            assert_eq!(boolean(&headers, "upload-x"), said, "{value}");
        }
        let twice = head(&[("upload-x", "?1"), ("upload-x", "?1")]);
        assert_eq!(boolean(&twice, "upload-x"), Said::Unclear);
        assert_eq!(integer(&head(&[]), "upload-x"), None);
        assert_eq!(boolean(&head(&[]), "upload-x"), Said::Nothing);
    }
}
