//! The program under test, and the checkout that it comes from.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the checkout.
pub const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let own = std::env::current_exe().expect("the path of this program");
    let places = own.ancestors().skip(1).take(2);
    let mut programs = places.map(|place| place.join("gridspool"));
    let found = programs.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("there is no gridspool beside {}", own.display()))
});

/// Returns the build of the sidecar that has the points of the journal; scripts/test makes it.
/// Without such a build it returns `None`, and the test of this name is skipped.
pub fn program_with_points(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("GRIDSPOOL_WITH_POINTS");
    if path.is_none() {
        crate::skip(test, "GRIDSPOOL_WITH_POINTS names no build with failpoints");
    }
    path.map(PathBuf::from)
}

/// Returns the sidecar that cargo has built beside the running program, with the same profile and
/// in the same target directory.
pub fn program() -> &'static Path {
    &PROGRAM
}
