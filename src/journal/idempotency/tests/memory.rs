//! The memory of keys, while keys come and while they are forgotten.

use std::time::Duration;

use super::{Keys, answer, answered, id, request};
use crate::journal::idempotency::slot::Slot;
use crate::journal::idempotency::{Limits, Retained};
use crate::journal::index::Place;
use crate::journal::record::LogTime;

const ANSWERS: u32 = 100_000;

/// The most bytes of a key at any moment, with growing tables.
const MOST_BYTES: usize = 96;

/// With fewer keys, the last page of each table counts: 98 bytes at 50,000.
const MANY: u32 = 90_000;

#[test]
fn a_slot_has_72_bytes() {
    assert_eq!(size_of::<Slot>(), 72);
}

/// Two answers for each sender take more memory than any other distribution of answers: 94 bytes at
/// 100,000. One answer for each sender takes 78, all answers of one sender 79, forms of two files
/// 87. The answers come in random order.
#[test]
fn a_hundred_thousand_keys_take_less_than_96_bytes_each_while_they_come_and_none_when_they_have_left()
 {
    for (each, files) in [(1, 1), (2, 1), (1, 2), (ANSWERS, 1)] {
        let mut keys = Keys::new(Limits {
            lifetime: Duration::from_millis(u64::from(ANSWERS)),
            files: usize::try_from(ANSWERS).unwrap(),
        });
        let mut most = 0;
        for number in 0..ANSWERS / files {
            let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let request = request(number, 1 + u64::from(number / each));
            let first = id(number * files);
            for position in 0..files {
                let id = id(number * files + position);
                let answer = answer(request, mixed % u64::from(ANSWERS), first, position, files);
                keys.learn(id, &answer, LogTime(0));
                let group = u64::from(number);
                let place = Place::new(group, 64).unwrap();
                let segment = group / 10_000;
                let answered = answered(id, answer, false);
                keys.retain(&answered, Retained { segment, place }, 300);
            }
            let count = usize::try_from((number + 1) * files).unwrap();
            assert_eq!(keys.files(), count);
            if number * files >= MANY {
                most = most.max(keys.memory_bytes().div_ceil(count));
            }
        }
        assert!(
            most <= MOST_BYTES,
            "{most} bytes for each of {each} answers with {files} files"
        );
        keys.forget_old(LogTime(2 * u64::from(ANSWERS)));
        assert_eq!((keys.files(), keys.oldest()), (0, None));
        assert!(keys.memory_bytes() < 20_000, "{}", keys.memory_bytes());
    }
}
