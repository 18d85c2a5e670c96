//! The edge towards nginx: its grammars know no handler and are fuzzed, and the errors of all layers become
//! answers in one file.

use super::{files, is_rust, product};

/// The names in its room: routes, grammars, and little else.
const PLACES: [&str; 8] = [
    "README.md",
    "form",
    "fuzz.rs",
    "gate",
    "headers",
    "mod.rs",
    "problem",
    "routes",
];

/// The rooms in it from the lowest one up; a room names only rooms below its own.
const ROOMS: [&str; 5] = ["headers", "problem", "form", "gate", "routes"];

/// The file in which errors become answers.
const FROM: &str = "src/http/problem/from.rs";

/// The names that a grammar must not know: those of handlers, of answers, and of a node.
const OF_HANDLERS: [&str; 10] = [
    "HttpRequest",
    "HttpResponse",
    "HttpResponseBuilder",
    "Node",
    "Payload",
    "Problem",
    "Responder",
    "ResponseError",
    "TestRequest",
    "web",
];

/// Returns the source without comments, in one line.
fn code_of(source: &str) -> String {
    let lines = source.lines();
    let code = lines.map(|line| line.split("//").next().unwrap_or_default());
    let code: Vec<_> = code.flat_map(str::split_whitespace).collect();
    code.join(" ")
}

/// Returns each head of an implementation.
fn implementations(code: &str) -> impl Iterator<Item = &str> {
    let heads = code.split("impl").skip(1);
    heads.map(|rest| rest.split('{').next().unwrap_or_default().trim())
}

fn makes_an_answer_of_an_error(head: &str) -> bool {
    let (what, whose) = head.split_once(" for ").unwrap_or_default();
    let is_problem = |path: &str| path.rsplit("::").next() == Some("Problem");
    let makes = what.contains("From<") && is_problem(whose);
    let becomes = what
        .split_once("Into<")
        .map(|(_, made)| made.trim_end_matches('>'));
    makes || becomes.is_some_and(is_problem)
}

#[test]
fn the_edge_has_routes_and_grammars_and_little_else() {
    let mut places: Vec<_> = files("src/http")
        .into_iter()
        .filter_map(|(name, _)| {
            let inner = name.strip_prefix("src/http/")?;
            Some(inner.split('/').next()?.to_owned())
        })
        .collect();
    places.dedup();
    assert_eq!(places, PLACES);
}

#[test]
fn a_room_of_the_edge_names_only_those_below_it() {
    let mut count = 0;
    for (name, source) in product() {
        let inner = name.strip_prefix("src/http/");
        let room = inner.and_then(|inner| inner.split_once('/'));
        let Some(own) = ROOMS
            .iter()
            .position(|known| room.is_some_and(|(room, _)| room == *known))
        else {
            continue;
        };
        let code = code_of(&source);
        for path in code.split("crate::http::").skip(1) {
            // This is one path, or a list of paths.
            let end = path.find(if path.starts_with('{') { '}' } else { ' ' });
            let path = &path[..end.unwrap_or(path.len())];
            let is_end = |char: char| !char.is_alphanumeric() && char != '_';
            let mut words = path.split(is_end);
            let named = words.find_map(|word| ROOMS.iter().position(|room| *room == word));
            assert!(named.is_none_or(|named| named <= own), "{name}: {path}");
            count += usize::from(named.is_some());
        }
    }
    assert!(count > 20);
}

#[test]
fn errors_become_answers_in_one_file_and_none_by_a_wildcard() {
    let mut count = 0;
    for (name, source) in product() {
        let code = code_of(&source);
        let made = implementations(&code).filter(|head| makes_an_answer_of_an_error(head));
        if name == FROM {
            count += made.count();
            assert!(
                !code.contains(" _ =>") && !code.contains(" _ if "),
                "{name}"
            );
        } else {
            assert_eq!(made.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
        }
    }
    assert!(count > 10);
    for (head, is_one) in [
        ("From<StoreError> for Problem", true),
        (
            "<E: Into<StoreError>> From<E> for crate::http::Problem",
            true,
        ),
        ("Into<super::Problem> for StoreError", true),
        ("From<InvalidMetadata> for HeadError", false),
        ("fmt::Display for Problem", false),
        ("Problem", false),
    ] {
        assert_eq!(makes_an_answer_of_an_error(head), is_one, "{head}");
    }
}

#[test]
fn a_grammar_of_a_head_knows_no_handler() {
    let mut count = 0;
    for (name, source) in files("src/http/headers")
        .into_iter()
        .filter(|(name, _)| is_rust(name))
    {
        let code = code_of(&source);
        let mut words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
        assert_eq!(
            words.find(|word| OF_HANDLERS.contains(word)),
            None,
            "{name}"
        );
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn each_grammar_of_a_head_is_fuzzed() {
    let fuzzed = files("src/http")
        .into_iter()
        .find(|(name, _)| name == "src/http/fuzz.rs");
    let (_, fuzzed) = fuzzed.unwrap();
    let stem = |name: &str| {
        let name = name
            .strip_prefix("src/http/headers/")?
            .strip_suffix(".rs")?;
        Some(name.to_owned()).filter(|name| !name.contains('/'))
    };
    let grammars = files("src/http/headers")
        .into_iter()
        .filter_map(|(name, _)| stem(&name));
    for name in grammars.filter(|name| !matches!(name.as_str(), "mod" | "error" | "testing")) {
        assert!(fuzzed.contains(&format!("{name}::")), "{name}");
    }
}
