//! The entry of libFuzzer into the readers of foreign bytes. scripts/fuzz builds and runs it.
#![no_main]

use std::sync::LazyLock;

use gridspool::{http, journal, message};
use libfuzzer_sys::fuzz_target;

/// The reader that the environment names.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("GRIDSPOOL_FUZZ_TARGET").unwrap_or_default();
    match &*name {
        "form" => http::fuzz::form,
        "range" => http::fuzz::range,
        "headers" => http::fuzz::headers,
        "target" => http::fuzz::target,
        "message" => message::fuzz::message,
        "kinds" => journal::record::fuzz::record,
        "wal" => journal::wal::fuzz::wal,
        _ => panic!("no such target: {name:?}"),
    }
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
