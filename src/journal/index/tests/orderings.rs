//! The model of orderings: adopt, change, delete, copy, trim, fail, kill and cut in random order.
//! Nothing is undone that a caller was told, and a caller is told nothing before it is synced.
//! Entries that have left never come back, and each deliberate bug is found.

use super::bug::Bug;
use super::world::World;

const STEPS: usize = 120;

/// This many sequences show each bug at least once.
const MOST_SEEDS: u64 = 2_000;

/// Returns the number of sequences. `GRIDSPOOL_ORDERINGS=40000 cargo test --lib orderings` takes
/// long.
fn sequences() -> u64 {
    let told = std::env::var("GRIDSPOOL_ORDERINGS").ok();
    told.and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// Plays one life of a journal. Returns how many frames became free, or how the journal broke a
/// promise.
fn live(seed: u64, bug: Bug) -> Result<usize, String> {
    let mut world = World::new(seed, bug);
    for step in 0..STEPS {
        let done = world.step().and_then(|()| world.check());
        done.map_err(|err| format!("seed {seed}, step {step}: {err}"))?;
    }
    // At the end everything must hold after one more cut, too.
    world.restart(true).and_then(|()| world.check())?;
    Ok(world.log.frames_freed)
}

#[test]
fn no_order_of_steps_and_cuts_undoes_what_was_told() {
    let mut freed = 0;
    for seed in 1..=sequences() {
        match live(seed, Bug::None) {
            Ok(frames) => freed += frames,
            Err(err) => panic!("{err}"),
        }
    }
    // A log that is never trimmed would prove little.
    let most = usize::try_from(sequences()).unwrap();
    assert!(freed > most, "{freed} frames became free");
}

#[test]
fn each_deliberate_bug_is_found() {
    for bug in [
        Bug::WordBeforeSync,
        Bug::StartSpeaksBeforeSync,
        Bug::CopyOutsideTheLock,
        Bug::CopyWithoutChanges,
        Bug::OldestWithItsCopies,
        Bug::FailureTaken,
        Bug::UnlinkBeforeSync,
    ] {
        let found = (1..=MOST_SEEDS).find(|&seed| live(seed, bug).is_err());
        assert!(found.is_some(), "{bug:?}: found in no sequence");
    }
}
