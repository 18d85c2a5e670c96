//! Documents: the length of the first one, the targets of links, and the completeness of tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{files, product, root};

const FIRST: &str = "README.md";
const LONGEST_FIRST_LINES: usize = 130;
const LONGEST_FIRST_LINE: usize = 110;

/// The directories of documents, except for those at the top.
const PLACES: [&str; 4] = ["nginx.conf.d", "scripts", "src", "tests"];

/// The beginning of a problem's address.
const PROBLEM: &str = "urn:gridspool:problem:";

pub(super) fn is_one(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "md")
}

/// Returns all documents, by their paths from the root.
fn documents() -> BTreeMap<String, String> {
    let tops = [FIRST, "CHANGELOG.md"];
    let tops = tops.map(|name| {
        let text = fs::read_to_string(root().join(name)).unwrap();
        (name.to_owned(), text)
    });
    let others = PLACES.into_iter().flat_map(files);
    tops.into_iter()
        .chain(others.filter(|(name, _)| is_one(name)))
        .collect()
}

/// Returns the path from the root, without `..`, that a document in `directory` means by `path`.
fn resolved(directory: &str, path: &str) -> String {
    let mut found: Vec<_> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        if part == ".." {
            found.pop();
        } else {
            found.push(part);
        }
    }
    found.join("/")
}

fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Returns the anchors that GitHub gives the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
        kept.map(|char| if char == ' ' { '-' } else { char })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_first_document_is_short() {
    let documents = documents();
    let first = &documents[FIRST];
    assert!(first.lines().count() < LONGEST_FIRST_LINES);
    let long = first
        .lines()
        .find(|line| line.chars().count() > LONGEST_FIRST_LINE);
    assert_eq!(long, None);
}

#[test]
fn each_link_leads_to_a_file_and_to_a_heading_in_it() {
    let documents = documents();
    let mut count = 0;
    for (name, text) in &documents {
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| Some(rest.split_once(')')?.0));
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() {
                name.clone()
            } else {
                resolved(directory_of(name), path)
            };
            assert!(root().join(&path).exists(), "{name}: {link}");
            if !anchor.is_empty() {
                assert!(
                    anchors(&documents[&path]).contains(anchor),
                    "{name}: {link}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 20);
}

/// Paths are in sources, scripts and nginx files, from the root or from the file's own directory.
#[test]
fn each_document_that_a_file_names_is_there() {
    let documents = documents();
    let is_path = |char: char| char.is_alphanumeric() || "._/-".contains(char);
    let mut count = 0;
    for (name, text) in PLACES.into_iter().flat_map(files) {
        let words = text.split(|char| !is_path(char));
        for word in words.filter(|word| word.ends_with("/README.md")) {
            let places = ["", directory_of(&name)];
            let mut found = places.map(|place| resolved(place, word)).into_iter();
            assert!(
                word.starts_with('/') || found.any(|path| documents.contains_key(&path)),
                "{name}: {word}"
            );
            count += 1;
        }
    }
    assert!(count > 5);
}

/// Returns the words between `before` and the next character that belongs to no word.
fn words<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let is_end = |char: char| !char.is_ascii_lowercase() && char != '-';
    text.split(before)
        .skip(1)
        .map(move |rest| rest.split(is_end).next().unwrap())
        .filter(|word| !word.is_empty())
}

/// Returns the words of all problems; each stands behind its status.
fn problems_of(source: &str) -> impl Iterator<Item = &str> {
    source.split("StatusCode::").skip(1).filter_map(|rest| {
        let is_end = |char: char| !char.is_ascii_uppercase() && char != '_';
        let rest = rest.trim_start_matches(|char| !is_end(char));
        let word = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?;
        Some(word.split_once('"')?.0)
    })
}

#[test]
fn the_document_of_http_names_each_problem() {
    let documents = documents();
    let text = &documents["src/http/README.md"];
    let (_, section) = text.split_once("## Problems\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named: BTreeSet<_> = words(section, "`").collect();
    let sources = product();
    let nginx = files("nginx.conf.d");
    let made = sources.iter().flat_map(|(_, source)| problems_of(source));
    let made = made.chain(nginx.iter().flat_map(|(_, text)| words(text, PROBLEM)));
    let made: BTreeSet<_> = made.collect();
    assert!(made.len() > 40);
    let missing: Vec<_> = made.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let rows = words(section, "\n| `");
    let unknown: Vec<_> = rows.filter(|word| !made.contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
