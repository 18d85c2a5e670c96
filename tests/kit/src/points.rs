//! The points of the journal at which the proof kills the sidecar.

use std::path::Path;

use crate::CHECKOUT;

/// The names of all of them, as the sources have them.
pub fn points() -> Vec<String> {
    let mut names = Vec::new();
    let sources = Path::new(CHECKOUT).join("src/journal");
    collect(&sources, &mut names);
    assert!(names.len() > 20, "the sources have changed: {names:?}");
    names.sort();
    names
}

fn collect(directory: &Path, names: &mut Vec<String>) {
    for found in std::fs::read_dir(directory).expect("the sources") {
        let path = found.expect("a source").path();
        if path.is_dir() {
            collect(&path, names);
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source");
        let after = source.split("point!(\"").skip(1);
        names.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
}
