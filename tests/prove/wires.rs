//! The wires between nodes. Each node reaches each other one by a relay of its own, which can be cut; clients
//! and MongoDB reach all nodes without one.

use kit::{Link, Relay};

use crate::faults::pause;
use crate::random::Random;

/// All relays of a cluster, by the places of both nodes.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    relays: Vec<((usize, usize), Relay)>,
}

impl Wires {
    /// Lays a wire from the node at one place to that at another, which listens at this port. Returns the
    /// address by which the first one reaches it.
    pub(crate) fn lay(&mut self, from: usize, to: usize, port: u16) -> String {
        let relay = Relay::before(format!("127.0.0.1:{port}"));
        let address = format!("http://{}", relay.address);
        self.relays.push(((from, to), relay));
        address
    }

    /// Cuts the node at this place off from some of the others for a while, in one direction or in both.
    pub(crate) fn part(&self, place: usize, nodes: usize, random: &mut Random) {
        let mut others: Vec<_> = (0..nodes).collect();
        others.swap_remove(place);
        if random.below(2) == 0 {
            others = vec![random.pick(&others)];
        }
        let wire = random.pick(&[Link::Silent, Link::Cut]);
        let ways = random.pick(&[[true, true], [true, false], [false, true]]);
        eprintln!("prove: {wire:?} between {place} and {others:?}, {ways:?}");
        for wire in [wire, Link::Whole] {
            if ways[0] {
                self.set(place, &others, wire);
            }
            for other in others.iter().filter(|_| ways[1]) {
                self.set(*other, &[place], wire);
            }
            if wire != Link::Whole {
                pause(random, 8_000);
            }
        }
    }

    /// Changes the wires from the node at this place that lead to one of these.
    fn set(&self, from: usize, to: &[usize], wire: Link) {
        for (_, relay) in self
            .relays
            .iter()
            .filter(|((one, other), _)| *one == from && to.contains(other))
        {
            relay.set(wire);
        }
    }
}
