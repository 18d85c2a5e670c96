//! Valid tokens, and forged ones.

mod causes;
mod grants;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::get_current_timestamp;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::{KeyKind, KeyOrder, TokenConfig, TokenOrder};
use crate::file::MediaType;
use crate::message::Party;

const SECRET: [u8; 32] = [7; 32];
const SEED: [u8; 32] = [9; 32];

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes a set of a shared key, a pair, and the public half of another pair.
fn set() -> Value {
    let public = signing::public_of(&SEED).unwrap();
    let other = signing::public_of(&[8; 32]).unwrap();
    json!({"keys": [
        {"kid": "shared", "alg": "HS256", "kty": "oct", "k": base64url(SECRET), "use": "sig"},
        {"kid": "pair", "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519",
         "x": base64url(public), "d": base64url(SEED)},
        {"kid": "public", "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": base64url(other)},
    ]})
}

fn write(scratch: &TempDir, text: &str, mode: u32) -> TokenConfig {
    let keys = scratch.path().join("keys.json");
    std::fs::write(&keys, text).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).unwrap();
    TokenConfig {
        keys,
        audience: "gridspool".to_owned(),
    }
}

fn load(set: &Value) -> Result<Keyring, KeysError> {
    let scratch = tempfile::tempdir().unwrap();
    let config = write(&scratch, &set.to_string(), 0o600);
    Keyring::load(&config.keys, &config.audience)
}

impl Keyring {
    fn check_now(&self, token: &str) -> Result<Grant, TokenError> {
        self.check(token, Duration::ZERO)
    }
}

fn keyring() -> Keyring {
    load(&set()).unwrap()
}

fn in_seconds(seconds: i64) -> u64 {
    get_current_timestamp().saturating_add_signed(seconds)
}

fn claims() -> Value {
    json!({"exp": in_seconds(600), "aud": "gridspool", "scope": "upload"})
}

/// Returns the claims with some changes; null removes a claim.
fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    )
}

fn signed_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature))
}

fn signed(claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "shared"});
    signed_with(&SECRET, &header, claims)
}

fn order(scope: &str) -> TokenOrder {
    TokenOrder {
        kid: None,
        scope: scope.split(' ').map(str::to_owned).collect(),
        seconds: 600,
        subject: Some("alice".to_owned()),
        file: None,
        max_bytes: Some(10),
        types: vec!["image/*".to_owned()],
        metadata: [("room".to_owned(), "7".to_owned())].into(),
        from: Some("alice".to_owned()),
        to: vec!["bob".to_owned(), "eve".to_owned()],
        receiver: Some("zoe".to_owned()),
    }
}

#[test]
fn a_minted_token_grants_what_was_ordered_by_either_algorithm() {
    let scratch = tempfile::tempdir().unwrap();
    let config = write(&scratch, &set().to_string(), 0o640);
    for kid in [None, Some("shared"), Some("pair")] {
        let order = TokenOrder {
            kid: kid.map(str::to_owned),
            ..order("upload admin")
        };
        let grant = keyring()
            .check_now(&mint(&config, &order).unwrap())
            .unwrap();
        assert!(grant.allows(Scope::Upload) && grant.allows(Scope::Admin));
        assert!(!grant.allows(Scope::Download) && !grant.allows(Scope::Delete));
        assert_eq!(grant.subject(), Some("alice"));
        assert_eq!(grant.receiver(), None, "it has no scope for that");
        assert_eq!(grant.max_bytes(), Some(10));
        assert_eq!(grant.metadata()["room"], "7");
        assert_eq!(grant.from().map(Party::as_str), Some("alice"));
        let to = grant.to().unwrap().iter().map(Party::as_str);
        assert!(to.eq(["bob", "eve"]));
        assert!(grant.takes_type(&MediaType::parse("image/png").unwrap()));
    }
    let with_public = TokenOrder {
        kid: Some("public".to_owned()),
        ..order("upload")
    };
    assert!(matches!(
        mint(&config, &with_public),
        Err(MintError::NoKey(_))
    ));
}

#[test]
fn a_scope_that_opens_nothing_is_not_minted() {
    let scratch = tempfile::tempdir().unwrap();
    let config = write(&scratch, &set().to_string(), 0o640);
    for scope in ["lists", "upload lists", "Upload", "downloads upload"] {
        let refused = mint(&config, &order(scope)).unwrap_err();
        assert!(matches!(refused, MintError::Scope(_)), "{scope}: {refused}");
        assert!(
            refused.to_string().contains("delete, list, message"),
            "{refused}"
        );
    }
}

#[test]
fn a_new_key_is_one_that_signs_and_checks() {
    for kind in [KeyKind::Hs256, KeyKind::EdDsa] {
        let key = |kid: &str| {
            let kid = kid.to_owned();
            new_key(&KeyOrder {
                kind,
                kid,
                out: None,
            })
            .unwrap()
        };
        assert_ne!(key("a"), key("a"));
        let scratch = tempfile::tempdir().unwrap();
        let config = write(&scratch, &key("a"), 0o600);
        let token = mint(&config, &order("delete")).unwrap();
        let keyring = Keyring::load(&config.keys, &config.audience).unwrap();
        assert!(keyring.check_now(&token).unwrap().allows(Scope::Delete));
    }
}

#[test]
fn times_may_be_a_minute_off_and_no_more() {
    let check = |claims: Value| keyring().check_now(&signed(&claims_with(&claims)));
    for good in [
        json!({"exp": in_seconds(-50)}),
        json!({"nbf": in_seconds(50)}),
        json!({"nbf": in_seconds(-9000)}),
        json!({"exp": 1e10 + 0.5}),
        json!({"aud": ["other", "gridspool"]}),
    ] {
        assert!(check(good.clone()).is_ok(), "{good}");
    }
    for bad in [
        json!({"exp": in_seconds(-70)}),
        json!({"exp": 0}),
        json!({"exp": null}),
        json!({"exp": "9999999999"}),
        json!({"exp": -1}),
        json!({"exp": true}),
        json!({"nbf": in_seconds(70)}),
        json!({"nbf": "soon"}),
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": 7}),
        json!({"scope": 7}),
        json!({"max_bytes": -1}),
        json!({"max_bytes": "10"}),
        json!({"types": {"image/png": true}}),
        json!({"meta": {"room": 7}}),
        json!({"file": 7}),
        json!({"sub": ["a"]}),
    ] {
        assert!(check(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_token_counts_for_the_time_at_which_the_request_began() {
    let check = |claims: Value, seconds| {
        let token = signed(&claims_with(&claims));
        keyring().check(&token, Duration::from_secs(seconds))
    };
    let an_hour_ago = json!({"exp": in_seconds(-3600)});
    for (seconds, is_good) in [(0, false), (3500, false), (3600, true), (u64::MAX, true)] {
        let checked = check(an_hour_ago.clone(), seconds);
        assert_eq!(checked.is_ok(), is_good, "{seconds}");
    }
    let other_key = signed_with(&[1; 32], &json!({"alg": "HS256"}), &claims());
    let refused = keyring().check(&other_key, Duration::from_mins(150));
    assert!(refused.is_err());
    assert!(check(json!({"nbf": in_seconds(70)}), 9000).is_err());
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let keyring = keyring();
    let public = signing::public_of(&SEED).unwrap();
    for alg in [
        "none", "None", "NONE", "", "hs256", "HS384", "HS512", "EdDSA", "RS256",
    ] {
        let header = json!({"alg": alg, "kid": "shared"});
        assert!(
            keyring
                .check_now(&signed_with(&SECRET, &header, &claims()))
                .is_err(),
            "{alg}"
        );
        let bare = unsigned(&header, &claims());
        assert!(keyring.check_now(&format!("{bare}.")).is_err(), "{alg}");
        assert!(keyring.check_now(&bare).is_err(), "{alg}");
    }
    // These are signed by HMAC with the public key, which everybody knows.
    for kid in ["pair", "public"] {
        let header = json!({"alg": "HS256", "kid": kid});
        for secret in [public.clone(), base64url(&public).into_bytes()] {
            assert!(
                keyring
                    .check_now(&signed_with(&secret, &header, &claims()))
                    .is_err()
            );
        }
    }
}

#[test]
fn a_key_that_the_token_brings_or_does_not_name_is_not_believed() {
    let keyring = keyring();
    let own = json!({"kty": "oct", "k": base64url([1; 32]), "alg": "HS256", "kid": "shared"});
    for header in [
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": "other"}),
        json!({"alg": "HS256", "kid": ""}),
        json!({"alg": "HS256", "kid": "../../etc/passwd"}),
        json!({"alg": "HS256", "kid": 7}),
        json!({"alg": "HS256", "kid": ["shared"]}),
        json!({"alg": "HS256", "kid": "shared", "crit": ["exp"]}),
        json!({"alg": "HS256", "kid": "shared", "crit": []}),
    ] {
        let token = signed_with(&SECRET, &header, &claims());
        assert!(keyring.check_now(&token).is_err(), "{header}");
    }
    let header = json!({"alg": "HS256", "kid": "shared", "jwk": own});
    assert!(
        keyring
            .check_now(&signed_with(&[1; 32], &header, &claims()))
            .is_err()
    );
    assert!(
        keyring
            .check_now(&signed_with(&[], &header, &claims()))
            .is_err()
    );
    // The name of a single key may be missing.
    let only = json!({"keys": [set()["keys"][0]]});
    let token = signed_with(&SECRET, &json!({"alg": "HS256"}), &claims());
    assert!(load(&only).unwrap().check_now(&token).is_ok());
}

#[test]
fn what_is_no_token_is_refused_whatever_its_size() {
    let keyring = keyring();
    let good = signed(&claims());
    assert!(keyring.check_now(&good).is_ok());
    let twice = format!("{good}.{good}");
    let padded = format!("{good}=");
    let long = signed(&claims_with(&json!({"sub": "s".repeat(MAX_BYTES)})));
    assert_eq!(keyring.check_now(&long).unwrap_err(), TokenError::Malformed);
    let nested = format!("{}.{}.", base64url("[".repeat(4000)), base64url("{}"));
    for token in [
        "", ".", "..", "...", "a.b.c", "{}", "\0", "é.é.é", &twice, &padded, &nested,
    ] {
        assert!(keyring.check_now(token).is_err(), "{token}");
    }
}

#[test]
fn no_error_repeats_the_token() {
    let keyring = keyring();
    let header = json!({"alg": "HS256", "kid": "shared"});
    let mean = signed_with(
        &SECRET,
        &header,
        &claims_with(&json!({"scope": {"needle": "needle"}})),
    );
    for token in [mean.as_str(), "needle.needle.needle", &base64url("needle")] {
        let err = keyring.check_now(token).unwrap_err();
        assert!(!format!("{err}").contains("needle"), "{err}");
    }
}

#[test]
fn keys_that_are_weak_open_or_wrong_are_not_taken() {
    let with = |index: usize, name: &str, value: Value| {
        let mut set = set();
        set["keys"][index][name] = value;
        set
    };
    for bad in [
        json!({}),
        json!([]),
        json!({"keys": []}),
        with(0, "k", json!(base64url([7; 31]))),
        with(0, "k", json!("not base64!")),
        with(0, "kid", json!("pair")),
        with(0, "kty", json!("OKP")),
        with(0, "alg", json!("none")),
        with(0, "alg", json!("EdDSA")),
        with(1, "x", json!(base64url([0; 31]))),
        with(1, "d", json!(base64url([1; 32]))),
        with(1, "crv", json!("X25519")),
        with(1, "alg", json!("HS256")),
        with(2, "kid", json!(null)),
    ] {
        let err = load(&bad).unwrap_err().to_string();
        assert!(!err.contains(&base64url(SECRET)), "{err}");
    }
    let scratch = tempfile::tempdir().unwrap();
    for (mode, is_good) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
        let config = write(&scratch, &set().to_string(), mode);
        let loaded = Keyring::load(&config.keys, &config.audience);
        assert_eq!(loaded.is_ok(), is_good, "{mode:o}");
    }
    assert!(Keyring::load(Path::new("/nowhere/keys.json"), "a").is_err());
}

proptest! {
    #[test]
    fn one_changed_byte_makes_a_token_worthless(at in any::<prop::sample::Index>(), byte: u8) {
        let good = signed(&claims());
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        // The last digit holds bits that a lax decoder would ignore.
        bytes[at] = byte;
        prop_assume!(bytes != good.as_bytes());
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(keyring().check_now(&token).is_err(), "{}", token);
        }
    }

    #[test]
    fn no_text_is_a_token_and_none_makes_a_panic(text in ".{0,200}", dots in "[a-zA-Z0-9_.-]{0,300}") {
        let keyring = keyring();
        prop_assert!(keyring.check_now(&text).is_err());
        prop_assert!(keyring.check_now(&dots).is_err());
    }
}
