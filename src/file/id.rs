//! The 12 bytes that are the public id, the name in the journal and the GridFS `_id` at the same time.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::hex;

/// A file id: a MongoDB `ObjectId` with five "random" bytes that are not random.
///
/// Layout, big endian: 4 bytes seconds since 1970, 2 bytes node number, 3 bytes number of
/// the node's start, 3 bytes counter, which begins anywhere. Text form: 24 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId([u8; FileId::BYTES]);

impl FileId {
    /// The number of bytes in an id.
    pub const BYTES: usize = 12;

    /// The number of digits in its text.
    pub const DIGITS: usize = 2 * Self::BYTES;

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, as an `ObjectId` has them.
    pub const fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The number of the node that made this id, if it is one of ours.
    pub fn node(self) -> u16 {
        let [_, _, _, _, high, low, ..] = self.0;
        u16::from_be_bytes([high, low])
    }

    /// When this id was made, to the second.
    pub fn made_at(self) -> SystemTime {
        let [a, b, c, d, ..] = self.0;
        UNIX_EPOCH + Duration::from_secs(u64::from(u32::from_be_bytes([a, b, c, d])))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is not 24 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFileId;

impl fmt::Display for InvalidFileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a file id has {} hexadecimal digits",
            FileId::DIGITS
        )
    }
}

impl std::error::Error for InvalidFileId {}

impl FromStr for FileId {
    type Err = InvalidFileId;

    fn from_str(text: &str) -> Result<Self, InvalidFileId> {
        hex::read_array(text).map(Self).ok_or(InvalidFileId)
    }
}

/// Makes the ids of one node. The counter makes them unique within a process, the number of the start
/// among the processes of a node, and the node number among nodes. The counter begins anywhere, so that two
/// processes with the same numbers, as by a copied journal, hardly ever make one id.
#[derive(Debug)]
pub struct FileIds {
    node: u16,
    start: u32,
    first: u32,
    made: Mutex<Made>,
}

/// The state of the maker.
#[derive(Debug, Default)]
struct Made {
    count: u32,
    /// The latest second in any id so far.
    latest: u32,
    /// Since the counter last began at zero, no id has had an earlier second.
    floor: u32,
}

impl FileIds {
    /// Bits of the number of a start that stand in an id.
    pub const START_BITS: u32 = 24;

    /// Bits of the counter.
    const COUNTER_BITS: u32 = 24;

    /// The maker of a node. Each start of a node has another start number; its lowest
    /// [`FileIds::START_BITS`] are used. The counter begins at the lowest bits of `first`, a random number.
    pub fn new(node: u16, start: u32, first: u32) -> Self {
        Self {
            node,
            start,
            first,
            made: Mutex::default(),
        }
    }

    /// The next id, for a file that is accepted `now`. The id tells that second, unless the counter has
    /// wrapped around while the clock stood still or went back.
    pub fn next(&self, now: SystemTime) -> FileId {
        let since = now.duration_since(UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = seconds.max(made.floor);
        made.latest = made.latest.max(seconds);
        let [_, c0, c1, c2] = self.first.wrapping_add(made.count).to_be_bytes();
        made.count += 1;
        if made.count == 1 << Self::COUNTER_BITS {
            made.count = 0;
            made.floor = made.latest.saturating_add(1);
        }
        drop(made);
        let [a, b, c, d] = seconds.to_be_bytes();
        let [high, low] = self.node.to_be_bytes();
        let [_, s0, s1, s2] = self.start.to_be_bytes();
        FileId([a, b, c, d, high, low, s0, s1, s2, c0, c1, c2])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_and_carries_its_node_and_time() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let id = FileIds::new(513, 1, 7).next(now);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!(id.node(), 513);
        assert_eq!(id.made_at(), now);
    }

    #[test]
    fn no_id_is_made_twice_though_the_clock_is_set_back_and_the_node_starts_again() {
        let noon = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut ids = Vec::with_capacity(1_000_000);
        for start in 7..11 {
            // Each start uses the same three hours, and then begins them again.
            let maker = FileIds::new(1, start, start * 0x00ab_cdef);
            for made in 0..250_000 {
                let second = made * 11 % 10_800;
                ids.push(maker.next(noon + Duration::from_secs(second)));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_000_000);
    }

    #[test]
    fn a_counter_that_has_been_through_repeats_no_id_whatever_the_clock_says() {
        let ids = FileIds::new(1, 0x0102_0304, 0xffff_fffe);
        let second = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let first = ids.next(second(9_000));
        assert_eq!(first.bytes()[6..], [2, 3, 4, 255, 255, 254]);
        ids.made.lock().unwrap().count = 0x00ff_ffff;
        assert_eq!(ids.next(second(5)).bytes()[6..], [2, 3, 4, 255, 255, 253]);
        let again = ids.next(second(9_000));
        assert_eq!(
            (again.made_at(), again.bytes()[9..].to_vec()),
            (second(9_001), vec![255, 255, 254])
        );
        assert_eq!(ids.next(second(9_002)).made_at(), second(9_002));
    }

    #[test]
    fn what_is_not_24_hexadecimal_digits_is_no_id() {
        for text in [
            "",
            "0123456789abcdef0123456",
            "0123456789abcdef012345678",
            "0123456789abcdef0123456g",
            "+123456789abcdef01234567",
            "0123456789abcdef012345é",
        ] {
            assert_eq!(text.parse::<FileId>(), Err(InvalidFileId), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_id_comes_back_from_its_text(bytes: [u8; FileId::BYTES]) {
            let id = FileId::from_bytes(bytes);
            let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
            let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
            prop_assert_eq!(id.to_string(), &*text);
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
            prop_assert_eq!(id.node(), u16::from(bytes[4]) * 256 + u16::from(bytes[5]));
        }

        #[test]
        fn any_text_is_an_id_or_not_by_its_digits_alone(bytes in proptest::collection::vec(any::<u8>(), 22..27)) {
            // Digits in both cases, and sometimes another character.
            let char = |byte: &u8| b"0123456789abcdefABCDEF"[usize::from(byte % 22)];
            let other = |byte: &u8| if *byte < 4 { "+g é".chars().nth(usize::from(*byte)) } else { None };
            let text: String = bytes.iter().map(|byte| other(byte).unwrap_or(char(byte).into())).collect();
            let is_id = text.len() == 24 && text.chars().all(|char| "0123456789abcdefABCDEF".contains(char));
            let read: Result<FileId, _> = text.parse();
            prop_assert_eq!(read.map(|id| id.to_string()).ok(), is_id.then(|| text.to_lowercase()));
        }
    }
}
