//! MongoDB behind TLS and a password, by the connection string.

use kit::{Builder, Ledger, PASSWORD, Secured, Site, finish, wait_until};

const WRONG_PASSWORD: &str = "shut-sesame-1937";

fn site(uri: &str) -> Site {
    Builder::default()
        .set("settled_grace_seconds", 0)
        .set("mongodb_timeout_ms", 4000)
        .start_with_uri(uri)
}

/// Asserts that no log, status or check shows any part of the connection string.
fn assert_keeps_secrets(site: &Site) {
    let checked = finish(site.command().arg("check"));
    let told = [checked.stdout, checked.stderr].concat();
    let told = String::from_utf8(told).unwrap() + &site.log() + &site.status().to_string();
    for secret in [PASSWORD, WRONG_PASSWORD] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn files_are_committed_and_read_over_tls_with_a_password() {
    let secured = Secured::start();
    let site = site(&secured.uri(PASSWORD, &secured.authority(true)));
    let ledger = Ledger::default();
    for length in [1000, 700_000] {
        ledger.upload(&site.client(), 1, length);
    }
    site.wait_until_empty();
    secured.mongo.assert_holds_just(&ledger);
    ledger.assert_readable(&site.client());
    assert_keeps_secrets(&site);
}

/// Asserts that neither log nor status contains the driver's own texts, which are for programmers.
pub(crate) fn assert_no_dump(site: &Site) {
    let told = site.log() + &site.status()["mongodb"].to_string();
    for dump in [
        "Kind: ",
        "labels: {",
        "RawDocumentBuf",
        "Error { kind",
        "Topology: {",
    ] {
        assert!(!told.contains(dump), "{dump}: {told}");
    }
}

/// Asserts that uploads are promised and nothing is committed, and that the reason is reported in these
/// words.
fn assert_waits(secured: &Secured, uri: &str, words: &str) {
    let mut site = site(uri);
    let ledger = Ledger::default();
    for length in [1000, 700_000] {
        ledger.upload(&site.client(), 1, length);
    }
    wait_until("the reason is told", || {
        let error = site.status()["mongodb"]["error"].to_string();
        error.contains(words)
    });
    assert!(site.log().contains(words), "{}", site.log());
    assert_no_dump(&site);
    assert_eq!(site.entries("incoming"), 2);
    ledger.assert_readable(&site.client());
    assert_keeps_secrets(&site);
    // With the right credentials the commits go on.
    site.stop_sidecar();
    let right = secured.uri(PASSWORD, &secured.authority(true));
    site.reconfigure(|builder| builder.set("mongodb_uri", right));
    site.start_sidecar();
    site.wait_until_empty();
    secured.mongo.assert_holds_just(&ledger);
}

#[test]
fn a_wrong_password_costs_no_upload_and_is_told() {
    let secured = Secured::start();
    let uri = secured.uri(WRONG_PASSWORD, &secured.authority(true));
    assert_waits(&secured, &uri, "uthentication failed");
}

#[test]
fn a_certificate_of_an_unknown_authority_costs_no_upload_and_is_told() {
    let secured = Secured::start();
    let uri = secured.uri(PASSWORD, &secured.authority(false));
    assert_waits(&secured, &uri, "certificate");
}
