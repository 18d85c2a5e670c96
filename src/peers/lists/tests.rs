//! All orders in which two nodes see a change of the list, ask and carry: no two nodes answer a key.

use std::collections::HashSet;

use super::{Carrying as Carried, Lists};

/// The lists of the moment, one after the other. (`[0, 1, 0]` and `[0, 1, 2]` hold, too, and take some minutes.)
const ORDER: &[usize] = &[0, 1];

/// Lists share no node, so each has one witness here, which stands for its majority.
const LISTS: usize = 3;

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    /// The place of the list of the moment in their order.
    place: usize,
    /// The lists in the documents of both nodes.
    told: [Vec<u16>; 2],
    /// The node with the vote of each list's witness.
    votes: [Option<usize>; LISTS],
    nodes: [Node; 2],
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Node {
    lists: Lists,
    /// The lists that the attempt under way has still to ask by.
    attempt: Option<Vec<Vec<u16>>>,
    has_answered: bool,
    carrying: Option<Carrying>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Carrying {
    list: Vec<u16>,
    /// An attempt that began before is under way.
    waits: bool,
    is_done: bool,
}

fn list(number: usize) -> Vec<u16> {
    vec![u16::try_from(number).unwrap() + 1]
}

fn number(list: &[u16]) -> usize {
    usize::from(list[0]) - 1
}

impl World {
    /// Both nodes go by the first list, or the second one has just come.
    fn begin(has_joined: bool) -> Self {
        let told = [list(0), if has_joined { list(0) } else { Vec::new() }];
        let nodes = [0, 1].map(|_| Node {
            lists: Lists::new(list(0)),
            attempt: None,
            has_answered: false,
            carrying: None,
        });
        let mut world = Self {
            place: 0,
            told,
            votes: [None; LISTS],
            nodes,
        };
        world.read(0);
        world.read(1);
        world
    }

    fn read(&mut self, node: usize) {
        let (own, other) = (&self.told[node], self.told[1 - node].clone());
        let lists = &mut self.nodes[node].lists;
        lists.read(list(ORDER[self.place]), own, vec![other]);
    }

    /// Every world that is one step away.
    fn next(&self) -> Vec<Self> {
        let mut next = Vec::new();
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        if self.place + 1 < ORDER.len() {
            step(&|world| world.place += 1);
        }
        for (this, node) in self.nodes.iter().enumerate() {
            step(&|world| world.read(this));
            if !node.lists.own.is_empty() {
                step(&|world| world.told[this].clone_from(&world.nodes[this].lists.own));
            }
            match &node.attempt {
                // A node that has just come takes no uploads before it has told a list.
                None if !node.has_answered && node.lists.has_told => {
                    let all = node.lists.all.to_vec();
                    step(&|world| world.nodes[this].attempt = Some(all.clone()));
                }
                None => {}
                Some(left) => {
                    (0..left.len()).for_each(|place| step(&|world| world.ask(this, place)));
                }
            }
            match &node.carrying {
                None if node.lists.is_behind() => step(&|world| {
                    let node = &mut world.nodes[this];
                    node.carrying = Some(Carrying {
                        list: node.lists.present.clone(),
                        waits: node.attempt.is_some(),
                        is_done: false,
                    });
                }),
                Some(carrying) if carrying.is_done => step(&|world| {
                    let node = &mut world.nodes[this];
                    let carrying = node.carrying.take().unwrap();
                    node.lists.tell(&Carried {
                        list: carrying.list,
                        rescued: Vec::new(),
                    });
                }),
                Some(carrying) if !carrying.waits => step(&|world| {
                    let node = &mut world.nodes[this];
                    let carrying = node.carrying.as_mut().unwrap();
                    carrying.is_done = true;
                    if node.has_answered {
                        world.votes[number(&carrying.list)] = Some(this);
                    }
                }),
                None | Some(_) => {}
            }
        }
        next
    }

    /// The attempt asks by one of its lists. If the other node has the vote and has nothing, it is taken over.
    fn ask(&mut self, this: usize, place: usize) {
        let other = &self.nodes[1 - this];
        let other_has = other.has_answered || other.attempt.is_some();
        let node = &mut self.nodes[this];
        let left = node.attempt.as_mut().unwrap();
        let vote = &mut self.votes[number(&left.swap_remove(place))];
        let is_taken = *vote == Some(1 - this) && other_has;
        if !is_taken {
            *vote = Some(this);
            node.has_answered = left.is_empty();
        }
        if is_taken || left.is_empty() {
            node.attempt = None;
            if let Some(carrying) = &mut node.carrying {
                carrying.waits = false;
            }
        }
    }
}

#[test]
fn no_two_nodes_answer_a_key_in_whatever_order_they_see_lists_change_ask_and_carry() {
    let begun = [true, false].map(World::begin);
    let mut seen = HashSet::from(begun.clone());
    let mut left = Vec::from(begun);
    let mut answered_late = 0;
    while let Some(world) = left.pop() {
        let answered = world.nodes.iter().filter(|node| node.has_answered).count();
        assert!(answered < 2, "two files under a key");
        answered_late += usize::from(answered == 1 && world.place + 1 == ORDER.len());
        let new = world.next().into_iter();
        left.extend(new.filter(|next| seen.insert(next.clone())));
    }
    assert!(answered_late > 0);
}
