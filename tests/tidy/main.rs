//! The house rules as a test: which module may name which, which words belong to one place, and how
//! long a file may be.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod circles;
mod documents;
mod edge;

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from left to right; a module names only modules in layers before its own.
const LAYERS: &[&[&str]] = &[
    &["file", "config", "blocking", "courier", "watchdog"],
    &["message"],
    &["spool", "form", "accel", "store", "token"],
    &["journal", "peers"],
    &["linking"],
    &["commit", "delivery", "intake", "rescue"],
    &["bucket", "http"],
    &["server", "upkeep"],
];

/// Words that only these places may use.
const RESERVED: &[(&[&str], &[&str])] = &[
    (
        &["actix_web", "actix_http::", "actix_service"],
        &["src/http/", "src/server.rs", "src/server/"],
    ),
    (&["mongodb::", "bson::"], &["src/bucket/", "src/server.rs"]),
    (
        &[
            "sync_all(",
            "sync_data(",
            "fs::rename(",
            "fs::remove_file(",
            "fs::hard_link(",
            "fs::linkat(",
            "fs::unlink",
            "fs::syncfs(",
        ],
        &["src/journal/volume/disk.rs"],
    ),
    (&["jsonwebtoken::"], &["src/token/"]),
    (&[" ring::"], &["src/token/", "src/peers/"]),
    (&["awc::"], &["src/peers/"]),
    (&["env::var", "env::args"], &["src/main.rs"]),
    (&["println!", "eprintln!"], &["src/main.rs"]),
];

/// Names that say nothing about the content of a file.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "base", "impls", "manager", "types", "prelude", "misc",
];

const LONGEST_SOURCE_LINES: usize = 400;
const LONGEST_SCRIPT_LINES: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files below a directory, each with its path from the root.
fn files(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                // Seeds of the fuzzer are no text.
                let content = fs::read(&path).unwrap();
                let content = String::from_utf8_lossy(&content).into_owned();
                found.push((name.to_owned(), content));
            }
        }
    }
    found.sort();
    found
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "rs")
}

/// Returns the part of a source file that is built into the product: without its unit tests.
fn product_of(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Returns the sources of the product, without files that hold only tests.
fn product() -> Vec<(String, String)> {
    files("src")
        .into_iter()
        .filter(|(name, _)| is_rust(name))
        .filter(|(name, _)| !name.contains("/tests/") && !name.ends_with("/testing.rs"))
        .map(|(name, source)| (name, product_of(&source).to_owned()))
        .collect()
}

/// Returns the top module that a source file belongs to.
fn module_of(name: &str) -> &str {
    let inner = name.strip_prefix("src/").unwrap();
    inner.split('/').next().unwrap().trim_end_matches(".rs")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the top modules that a line names by `crate::`.
fn named_in(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let is_end = |char: char| !char.is_alphanumeric() && char != '_';
        rest.split(is_end).next().unwrap()
    })
}

#[test]
fn a_module_names_only_what_stands_to_its_left() {
    for (name, source) in product() {
        let module = module_of(&name);
        let Some(layer) = layer_of(module) else {
            assert!(matches!(module, "lib" | "main"), "{name}: in no layer");
            continue;
        };
        for line in source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            assert!(
                !line.contains("use crate::{"),
                "{name}: one module a line: {line}"
            );
            for other in named_in(line).filter(|other| *other != module) {
                let other_layer = layer_of(other);
                assert!(
                    other_layer.is_some_and(|other_layer| other_layer < layer),
                    "{name} must not name {other}: {line}"
                );
            }
        }
    }
}

#[test]
fn every_module_of_the_library_has_a_layer() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<_> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(!modules.is_empty());
    assert_eq!(modules.len(), LAYERS.concat().len());
    for module in modules {
        assert!(layer_of(module).is_some(), "{module}");
    }
}

#[test]
fn what_belongs_to_one_room_stands_in_no_other() {
    for (name, source) in product() {
        for (words, places) in RESERVED {
            if places.iter().any(|place| name.starts_with(place)) {
                continue;
            }
            for word in *words {
                let found = source
                    .lines()
                    .find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert_eq!(found, None, "{name}: {word} belongs to {places:?}");
            }
        }
    }
}

#[test]
fn files_are_short_and_their_names_say_something() {
    for (name, source) in files("src").into_iter().chain(files("tests")) {
        if is_rust(&name) {
            let lines = source.lines().count();
            assert!(lines <= LONGEST_SOURCE_LINES, "{name}: {lines} lines");
            let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
            assert!(!EMPTY_NAMES.contains(&stem), "{name}");
        }
    }
    for (name, source) in files("scripts") {
        let is_free = name.starts_with("scripts/lib") || documents::is_one(&name);
        let lines = source.lines().count();
        assert!(
            is_free || lines <= LONGEST_SCRIPT_LINES,
            "{name}: {lines} lines"
        );
    }
}

#[test]
fn every_source_says_what_it_is_for() {
    let sources = files("src").into_iter().chain(files("tests/kit/src"));
    for (name, source) in sources.filter(|(name, _)| is_rust(name)) {
        assert!(source.starts_with("//!"), "{name}");
    }
}

/// Two programs that share a file by its path compile it twice, and neither uses all of it.
#[test]
fn programs_share_code_by_the_kit_and_not_by_a_path() {
    let words = ["path", "expect(dead_code", "allow(dead_code"].map(|word| format!("#[{word}"));
    for (name, source) in files("tests").into_iter().filter(|(name, _)| is_rust(name)) {
        let mut lines = source.lines().map(str::trim_start);
        let found = lines.find(|line| words.iter().any(|word| line.starts_with(word)));
        assert_eq!(found, None, "{name}");
    }
}
