//! The memory of entries, while they come and after they have left.

use crate::file::FileId;
use crate::journal::index::slot::{Slot, hash};
use crate::journal::index::{Index, Phase};
use crate::journal::record::{LogTime, Subject};

const ENTRIES: u32 = 1_000_000;

/// The most bytes of an entry at any moment, with growing tables.
const MOST_BYTES: usize = 96;

/// With fewer entries, the last page of each table counts.
const MANY: u32 = 50_000;

fn id(number: u32) -> FileId {
    let [a, b, c, d] = number.to_be_bytes();
    FileId::from_bytes([0x69, 0, b / 64, c, 0, 1, 7, 7, a, b, c, d])
}

/// Returns ids in a random order.
fn mixed(number: u32) -> u64 {
    u64::from(number)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(17)
}

#[test]
fn a_slot_has_64_bytes() {
    assert_eq!(size_of::<Slot>(), 64);
}

/// Each pending entry has another subject; each settled one is in the order.
#[test]
fn a_million_entries_take_less_than_96_bytes_each_while_they_come_and_none_when_they_have_left() {
    for phase in [Phase::Deferred, Phase::Settled] {
        let mut index = Index::default();
        for number in 0..ENTRIES {
            let mut slot = Slot::new(id(number), phase, 1, Subject(mixed(number)));
            slot.due = LogTime(mixed(number) % 1000);
            index.insert(slot);
            if number >= MANY && number % 64 == 0 {
                let bytes = index.memory_bytes();
                let most = usize::try_from(number + 1).unwrap() * MOST_BYTES;
                assert!(bytes <= most, "{bytes} bytes for {} entries", number + 1);
            }
        }
        let longest = longest_chains(&index);
        assert!(longest < 16, "{longest} ids have one hash");
        let mut last = LogTime(0);
        for left in (0..ENTRIES).rev() {
            let number = index.settled.first().unwrap_or(left);
            let due = index.slots.get(number).unwrap().due;
            assert!(due >= last || phase != Phase::Settled);
            last = due;
            index.remove(number);
            assert_eq!(index.totals(phase).bytes, u64::from(left));
        }
        let bytes = index.memory_bytes();
        assert!(bytes < 100_000, "{bytes} bytes for nothing");
    }
}

/// Returns the most ids that share the low bits of their hash.
fn longest_chains(index: &Index) -> u8 {
    let mut counts = vec![0_u8; 1 << 19];
    for slot in index.slots.iter() {
        let bits = hash(slot.id) & ((1 << 19) - 1);
        counts[usize::try_from(bits).unwrap()] += 1;
    }
    counts.into_iter().max().unwrap_or(0)
}
