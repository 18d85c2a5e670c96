//! The rights that a valid token grants.

use serde_json::{Value, json};

use super::{claims_with, keyring, signed};
use crate::file::{FileKey, MediaType};
use crate::token::Scope;

#[test]
fn scopes_are_words_or_a_list_and_a_token_for_a_file_is_for_that_file() {
    let grant = |claims: Value| keyring().check_now(&signed(&claims_with(&claims))).unwrap();
    let id = "0123456789abcdef01234567";
    let (own, other) = (FileKey::from_text(id), FileKey::from_text("other"));
    for scope in [json!("download  delete"), json!(["delete", "download"])] {
        let grant = grant(json!({"scope": scope, "file": id}));
        for scope in [Scope::Download, Scope::Delete] {
            assert!(grant.allows_on(scope, &own) && !grant.allows_on(scope, &other));
        }
        assert!(!grant.allows_new(Scope::Upload));
    }
    assert!(!grant(json!({"scope": "upload", "file": id})).allows_new(Scope::Upload));
    assert!(grant(json!({})).allows_new(Scope::Upload));
    for scope in [json!(""), json!("UPLOAD"), json!("uploads"), json!([])] {
        let grant = grant(json!({"scope": scope}));
        assert!(
            Scope::ALL.iter().all(|scope| !grant.allows(*scope)),
            "{scope}"
        );
    }
}

#[test]
fn types_are_matched_by_what_is_claimed_and_by_what_is_shown() {
    let media_type = |text: &str| MediaType::parse(text).unwrap();
    for (types, claimed, shown, is_good) in [
        (json!(["image/*"]), "Image/PNG; a=b", "image/png", true),
        (json!("image/png audio/*"), "image/png", "image/png", true),
        (json!(["image/png"]), "image/jpeg", "image/jpeg", false),
        (json!(["image/*"]), "imagex/png", "image/png", false),
        (json!(["*/*"]), "text/html", "text/html", true),
        (json!([]), "image/png", "image/png", false),
        (json!(["image/"]), "image/png", "image/png", false),
        (json!(["image*"]), "image/png", "image/png", false),
        (json!(["image/*"]), "image/png", "text/html", false),
        (
            json!(["image/*"]),
            "image/png",
            "application/x-executable",
            false,
        ),
        (
            json!(["image/*"]),
            "image/png",
            "application/octet-stream",
            false,
        ),
        (json!(["image/png"]), "image/png", "image/jpeg", false),
        (json!(["image/*"]), "image/svg+xml", "text/xml", true),
        (
            json!(["image/*"]),
            "image/heic",
            "application/octet-stream",
            true,
        ),
        (json!(["audio/webm"]), "audio/webm", "video/webm", true),
        (json!(["audio/*"]), "audio/mpeg", "text/html", false),
        (
            json!(["text/plain"]),
            "text/plain",
            "application/octet-stream",
            true,
        ),
        (json!(["text/plain"]), "text/plain", "text/html", false),
    ] {
        let claims = claims_with(&json!({"types": types}));
        let grant = keyring().check_now(&signed(&claims)).unwrap();
        let (claimed, shown) = (media_type(claimed), media_type(shown));
        let taken = grant.takes_type(&claimed) && grant.takes_content(&claimed, &shown);
        assert_eq!(taken, is_good, "{types} {claimed} {shown}");
    }
}
