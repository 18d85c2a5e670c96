//! Each cause for which a token is refused, and unreadable restrictions.

use serde_json::{Value, json};

use super::{SECRET, claims, claims_with, in_seconds, keyring, signed, signed_with};
use crate::token::TokenError;

#[test]
fn every_cause_is_told_apart() {
    let with = |changes: Value| signed(&claims_with(&changes));
    let header = |kid: &str| json!({"alg": "HS256", "kid": kid});
    let other_algorithm = json!({"alg": "HS256", "kid": "pair"});
    for (token, expected) in [
        (with(json!({"exp": in_seconds(-70)})), TokenError::Expired),
        (
            with(json!({"nbf": in_seconds(70)})),
            TokenError::NotYetValid,
        ),
        (with(json!({"aud": "other"})), TokenError::WrongAudience),
        (with(json!({"aud": []})), TokenError::WrongAudience),
        (with(json!({"aud": null})), TokenError::BadClaim("aud")),
        (with(json!({"aud": 7})), TokenError::BadClaim("aud")),
        (with(json!({"exp": null})), TokenError::BadClaim("exp")),
        (with(json!({"exp": "soon"})), TokenError::BadClaim("exp")),
        (with(json!({"nbf": "soon"})), TokenError::BadClaim("nbf")),
        (
            signed_with(&SECRET, &header("none-of-ours"), &claims()),
            TokenError::UnknownKey,
        ),
        (
            signed_with(&SECRET, &json!({"alg": "HS256"}), &claims()),
            TokenError::UnknownKey,
        ),
        (
            signed_with(&[1; 32], &header("shared"), &claims()),
            TokenError::BadSignature,
        ),
        (
            signed_with(&SECRET, &other_algorithm, &claims()),
            TokenError::BadSignature,
        ),
        ("a.b.c".to_owned(), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        (
            signed_with(
                &SECRET,
                &json!({"alg": "HS256", "kid": "shared", "crit": ["exp"]}),
                &claims(),
            ),
            TokenError::Malformed,
        ),
    ] {
        assert_eq!(
            keyring().check_now(&token).unwrap_err(),
            expected,
            "{token}"
        );
    }
}

#[test]
fn a_restriction_that_cannot_be_read_is_not_none() {
    for (name, forms) in [
        ("file", vec![json!(null), json!(7), json!(["a"]), json!({})]),
        (
            "max_bytes",
            vec![
                json!(null),
                json!(-1),
                json!("10"),
                json!(1.5),
                json!([1]),
                json!(true),
            ],
        ),
        (
            "types",
            vec![
                json!(null),
                json!(7),
                json!([null]),
                json!(["a/b", 7]),
                json!({"a/b": true}),
            ],
        ),
        (
            "meta",
            vec![
                json!(null),
                json!("a"),
                json!(["a"]),
                json!({"a": null}),
                json!({"a": 7}),
            ],
        ),
        ("sub", vec![json!(null), json!(7)]),
        (
            "from",
            vec![json!(null), json!(7), json!("a/b"), json!(["a"])],
        ),
        (
            "to",
            vec![json!(null), json!(7), json!("a/b"), json!([]), json!([1])],
        ),
        (
            "scope",
            vec![json!(null), json!(7), json!({}), json!(["upload", null])],
        ),
    ] {
        for form in forms {
            let mut claims = claims();
            claims[name] = form.clone();
            let refused = keyring().check_now(&signed(&claims)).unwrap_err();
            assert_eq!(refused, TokenError::BadClaim(name), "{name}: {form}");
        }
    }
    // The library reads this claim too, and fails first.
    let list = signed(&claims_with(&json!({"sub": ["a"]})));
    assert_eq!(
        keyring().check_now(&list).unwrap_err(),
        TokenError::Malformed
    );
    for name in ["exp", "nbf", "aud"] {
        let mut claims = claims();
        claims[name] = Value::Null;
        let refused = keyring().check_now(&signed(&claims)).unwrap_err();
        assert_eq!(refused, TokenError::BadClaim(name));
    }
}

#[test]
fn a_claim_that_stands_there_twice_is_believed_in_neither_form() {
    let text = claims().to_string();
    for twice in [r#""file":"a","file":"b""#, r#""max_bytes":1,"max_bytes":2"#] {
        let claims = format!("{}{twice}}}", text.replace('}', ","));
        let header = super::base64url(json!({"alg": "HS256", "kid": "shared"}).to_string());
        let message = format!("{header}.{}", super::base64url(claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &SECRET);
        let signature = super::base64url(ring::hmac::sign(&key, message.as_bytes()));
        let refused = keyring().check_now(&format!("{message}.{signature}"));
        assert_eq!(refused.unwrap_err(), TokenError::Malformed, "{twice}");
    }
}
