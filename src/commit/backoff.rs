//! The pause after a failure.

use std::hash::BuildHasher as _;
use std::time::Duration;

/// The pause after this many failures in a row. It doubles with each failure up to `longest`; a random
/// part between half and all of it is waited, so that many clients do not come back at the same moment.
pub(crate) fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let ceiling = first.saturating_mul(1 << doublings).min(longest);
    let random = std::hash::RandomState::new().hash_one(failures);
    let half = ceiling / 2;
    let range = u64::try_from(half.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    half + Duration::from_millis(random % range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_within_their_upper_half() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(10));
        for (failures, ceiling) in [
            (1, 100),
            (2, 200),
            (5, 1600),
            (8, 10_000),
            (u32::MAX, 10_000),
        ] {
            let pauses: Vec<_> = (0..200).map(|_| pause(failures, first, longest)).collect();
            let bounds = Duration::from_millis(ceiling / 2)..=Duration::from_millis(ceiling);
            assert!(
                pauses.iter().all(|pause| bounds.contains(pause)),
                "{failures}"
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{failures}");
        }
    }
}
