//! The number of a start, which is part of each id.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::file::FileIds;

/// As many bits as an id has for it.
const BITS: u32 = FileIds::START_BITS;

/// The number after the last one. If none is known it is random: the node of a new log may have had
/// another log before, and a damaged log may have lost its last head.
pub(super) fn start_number(last: Option<u32>) -> io::Result<u32> {
    let number = if let Some(last) = last {
        last.wrapping_add(1)
    } else {
        let mut random = [0; 4];
        getrandom(&mut random, GetRandomFlags::empty())?;
        u32::from_le_bytes(random)
    };
    Ok((number % (1 << BITS)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_number_rises_by_one_stays_in_its_bits_and_is_never_zero() {
        for (last, next) in [(1, 2), (0x00ff_fffe, 0x00ff_ffff), (0x00ff_ffff, 1)] {
            assert_eq!(start_number(Some(last)).unwrap(), next);
        }
        let numbers: Vec<_> = (0..9).map(|_| start_number(None).unwrap()).collect();
        assert!(numbers.iter().all(|number| (1..1 << BITS).contains(number)));
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
