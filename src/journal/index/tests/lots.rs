//! Random numbers that are the same in every run.

/// xorshift64* (Vigna 2016): the same numbers for the same seed.
pub(in crate::journal) struct Lots(pub(in crate::journal) u64);

impl Lots {
    pub(in crate::journal) fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % below
    }

    pub(in crate::journal) fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.draw(all.len())].clone())
    }
}
