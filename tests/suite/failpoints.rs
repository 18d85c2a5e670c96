//! The points at which the proof kills the sidecar exist only in its own builds.

use kit::points;

#[test]
fn no_point_of_the_proof_is_in_a_build_without_its_feature() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_gridspool")).unwrap();
    let is_in = |text: &str| {
        let first = memchr::memmem::find(&program, text.as_bytes());
        first.is_some()
    };
    // The same search finds other texts of the journal.
    assert!(is_in("no more uploads are accepted until a restart"));
    for name in points() {
        assert!(!is_in(&name), "{name}");
    }
    assert!(!is_in("GRIDSPOOL_FAILPOINT"));
}
