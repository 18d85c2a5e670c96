//! Inputs that are almost right, for readers of foreign data.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

/// The cases are the same in every run; `scripts/fuzz` searches for others.
pub(crate) fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// One of a target's seeds (`tests/fuzz/seeds`), with some bytes changed, added, taken out or
/// doubled.
pub(crate) fn mutant(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let mut seeds: Vec<_> = std::fs::read_dir(seeds.join(target))
        .unwrap()
        .map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    let changes = prop::collection::vec((any::<Index>(), any::<u8>(), 0..5_u8), 0..8);
    (prop::sample::select(seeds), changes).prop_map(|(mut bytes, changes)| {
        for (place, byte, kind) in changes {
            let at = place.index(bytes.len() + 1);
            let end = bytes.len().min(at + usize::from(byte));
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(bytes.len().min(at + 1)),
                2 => drop(bytes.drain(at..end.min(at + 4))),
                3 => bytes.extend_from_within(at..end),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    })
}
