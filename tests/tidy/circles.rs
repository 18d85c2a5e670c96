//! Files of one room, and the rooms in it, must not import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

/// The longest file of the journal, its tests too.
const LONGEST_JOURNAL_LINES: usize = 300;

type Names = BTreeSet<String>;

/// The files and rooms of one room, each with those that it names.
type Imports = BTreeMap<String, Names>;

/// Returns the module of a file, as a path from the root of the crate.
fn module_path(name: &str) -> Vec<&str> {
    let inner = name.strip_prefix("src/").unwrap_or(name);
    let mut path: Vec<_> = inner.trim_end_matches(".rs").split('/').collect();
    if path.last() == Some(&"mod") {
        path.pop();
    }
    path
}

/// Returns the source without comments.
fn code_of(source: &str) -> String {
    let lines = source.lines();
    let code = lines.map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// Returns the items of a list in braces. `list` begins behind the first brace.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_u32, 0, Vec::new());
    for (at, char) in list.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Returns the words at the beginning of a path, and the place where the path ends.
fn words(path: &str) -> (Vec<&str>, &str) {
    let is_end = |char: char| !char.is_alphanumeric() && char != '_' && char != ':';
    let (words, rest) = path.split_at(path.find(is_end).unwrap_or(path.len()));
    (
        words.split("::").filter(|word| !word.is_empty()).collect(),
        rest,
    )
}

/// Returns the paths that a path with braces stands for.
fn spelled_out(path: &str) -> Vec<Vec<String>> {
    let (path, rest) = words(path);
    let path: Vec<_> = path.into_iter().map(str::to_owned).collect();
    let Some(list) = rest.strip_prefix('{') else {
        return vec![path];
    };
    let inner = items(list)
        .into_iter()
        .flat_map(|item| spelled_out(item.trim()));
    inner
        .map(|inner| path.iter().cloned().chain(inner).collect())
        .collect()
}

/// Returns each path that a module's source names by `crate` or `super`, from the root of the
/// crate.
fn named(module: &[&str], source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in source
        .match_indices("crate::")
        .chain(source.match_indices("super::"))
    {
        let is_inside = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        if source[..at].ends_with(is_inside) {
            continue;
        }
        for path in spelled_out(&source[at..]) {
            let up = path.iter().take_while(|word| *word == "super").count();
            let is_from_here = up > 0;
            let kept = if is_from_here {
                module.len().saturating_sub(up)
            } else {
                0
            };
            let base = module.iter().take(kept).map(|word| (*word).to_owned());
            found.push(base.chain(path.into_iter().skip(up.max(1))).collect());
        }
    }
    found
}

/// Returns, for each name that a room re-exports, the file or room in it that has the name.
fn given_on(source: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in source.split(';') {
        let Some((_, path)) = statement.rsplit_once("use ") else {
            continue;
        };
        if let Some((from, names)) = path.trim_start_matches("self::").split_once("::") {
            let is_end = |char: char| !char.is_alphanumeric() && char != '_';
            for name in names.split(is_end).filter(|name| !name.is_empty()) {
                found.insert(name.to_owned(), from.to_owned());
            }
        }
    }
    found
}

/// Returns the imports among the files of a room, without its root, which names all of them.
fn imports(room: &[&str], sources: &[(String, String)]) -> Imports {
    let inside: Vec<_> = sources
        .iter()
        .map(|(name, source)| (module_path(name), code_of(source)))
        .filter(|(path, _)| path.starts_with(room))
        .collect();
    let own = inside.iter().find(|(path, _)| path == room);
    let given_on = own.map(|(_, source)| given_on(source)).unwrap_or_default();
    let parts = inside.iter().filter_map(|(path, _)| path.get(room.len()));
    let mut found: Imports = parts
        .map(|part| ((*part).to_owned(), Names::new()))
        .collect();
    for (path, source) in &inside {
        let Some(part) = path.get(room.len()) else {
            continue;
        };
        for other in named(path, source) {
            let is_inside = other
                .iter()
                .map(String::as_str)
                .take(room.len())
                .eq(room.iter().copied());
            let Some(name) = other.get(room.len()).filter(|_| is_inside) else {
                continue;
            };
            let other = if found.contains_key(name) {
                name
            } else {
                given_on.get(name).unwrap_or(name)
            };
            if other != part && found.contains_key(other) {
                let other = other.clone();
                found.entry((*part).to_owned()).or_default().insert(other);
            }
        }
    }
    found
}

/// Returns everything that one of them names directly or indirectly.
fn reached(from: &str, imports: &Imports) -> Names {
    let mut found = Names::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for other in &imports[name] {
            if found.insert(other.clone()) {
                open.push(other);
            }
        }
    }
    found
}

/// Returns the sets of modules that reach each other.
fn circles(imports: &Imports) -> BTreeSet<Names> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|name| (name, reached(name, imports)))
        .collect();
    let in_circles = reached.iter().filter(|(name, all)| all.contains(**name));
    in_circles
        .map(|(name, all)| {
            let comes_back =
                |other: &&String| reached.get(*other).is_some_and(|all| all.contains(*name));
            all.iter().filter(comes_back).cloned().collect()
        })
        .collect()
}

#[test]
fn no_imports_go_in_a_circle_inside_a_room() {
    let sources = super::product();
    let mut rooms = BTreeSet::new();
    for (name, _) in &sources {
        let directories = name.matches('/').count();
        let path = name.trim_start_matches("src/").split('/');
        let path: Vec<_> = path.take(directories - 1).collect();
        rooms.extend((1..=path.len()).map(|depth| path[..depth].to_vec()));
    }
    assert!(rooms.contains(["journal", "wal"].as_slice()));
    let mut found = BTreeSet::new();
    for room in &rooms {
        for circle in circles(&imports(room, &sources)) {
            let names: Vec<_> = circle.into_iter().collect();
            found.insert(format!("{}: {}", room.join("/"), names.join(" ")));
        }
    }
    assert_eq!(found, BTreeSet::<String>::new());
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let sources = |first: &str, second: &str| {
        let source = |name: &str, text: &str| (format!("src/{name}.rs"), text.to_owned());
        [
            source("room/mod", "pub use one::First;\nmod one;\nmod two;"),
            source("room/one", first),
            source("room/two/mod", "mod deep;"),
            source("room/two/deep", second),
        ]
    };
    let circle = |first: &str, second: &str| {
        let imports = imports(&["room"], &sources(first, second));
        !circles(&imports).is_empty()
    };
    for first in [
        "use super::two::Second;",
        "use crate::room::two;",
        "use super::{\n    other, two::{Second, Third},\n};",
        "fn first() { super::two::second() }",
    ] {
        for second in [
            "use super::super::one;",
            "use crate::room::First;",
            "use crate::{file::Id, room::{First}};",
        ] {
            assert!(circle(first, second), "{first} {second}");
        }
        assert!(!circle(
            first,
            "// crate::room::one\nuse crate::room::three;"
        ));
    }
}

#[test]
fn no_file_of_the_journal_is_long() {
    for (name, source) in super::files("src/journal") {
        let lines = source.lines().count();
        assert!(lines <= LONGEST_JOURNAL_LINES, "{name}: {lines} lines");
    }
}
