//! The bytes of an entry: the length of its file, and the size of its record in the log.

/// Both in 64 bits: 48 bits for the length, up to 256 TiB, and 16 bits for the record in steps of 64
/// bytes, up to 4 MiB. Larger values count as the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes(u64);

const RECORD_BITS: u32 = 16;
const RECORD_STEP: u64 = 64;

impl Sizes {
    pub(super) fn new(length: u64, record_bytes: u64) -> Self {
        let length = length.min(u64::MAX >> RECORD_BITS);
        let steps = record_bytes.div_ceil(RECORD_STEP);
        Self(length << RECORD_BITS | steps.min(u16::MAX.into()))
    }

    /// The bytes of the file.
    pub(super) fn length(self) -> u64 {
        self.0 >> RECORD_BITS
    }

    /// The bytes of the frame of its base, without inline bodies, rounded up. If several entries share
    /// the frame, each has its part.
    pub(super) fn record_bytes(self) -> u64 {
        (self.0 & u64::from(u16::MAX)) * RECORD_STEP
    }

    pub(super) fn with_length(self, length: u64) -> Self {
        Self::new(length, self.record_bytes())
    }

    pub(super) fn with_record_bytes(self, record_bytes: u64) -> Self {
        Self::new(self.length(), record_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_as_they_were_given_up_to_their_ends() {
        let (longest, largest) = ((1 << 48) - 1, 64 * 65_535);
        for length in [0, 1, 63, 1 << 40, longest] {
            for record in [0, 64, 8192, largest] {
                let sizes = Sizes::new(length, record);
                assert_eq!((sizes.length(), sizes.record_bytes()), (length, record));
                let other = Sizes::new(7, 640);
                assert_eq!(other.with_length(length).with_record_bytes(record), sizes);
            }
        }
        let most = Sizes::new(u64::MAX, u64::MAX);
        assert_eq!((most.length(), most.record_bytes()), (longest, largest));
        assert_eq!(Sizes::new(0, 65).record_bytes(), 128);
    }
}
