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

/// The sidecar that cargo has built beside the running program: of the same profile, in the same target
/// directory.
pub fn program() -> &'static Path {
    &PROGRAM
}
