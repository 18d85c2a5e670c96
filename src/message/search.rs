//! The search of the models: it tries all orders of the steps of a small world.

use std::collections::HashSet;
use std::hash::Hash;

/// A rule that a world breaks, and that world.
pub(super) type Fault<W> = (&'static str, W);

/// Visits each world that can come of this one, once. `fault` returns the rule that a world breaks, if
/// there is one; it also has the worlds that come next. Returns the first broken rule, and the number
/// of worlds that were seen.
pub(super) fn search<W: Copy + Eq + Hash>(
    begin: W,
    steps: impl Fn(&W) -> Vec<W>,
    mut fault: impl FnMut(&W, &[W]) -> Option<&'static str>,
) -> (Option<Fault<W>>, usize) {
    let mut seen = HashSet::from([begin]);
    let mut open = vec![begin];
    while let Some(world) = open.pop() {
        let next = steps(&world);
        if let Some(fault) = fault(&world, &next) {
            return (Some((fault, world)), seen.len());
        }
        open.extend(next.into_iter().filter(|world| seen.insert(*world)));
    }
    (None, seen.len())
}
