//! Limits the rate of reading.

use std::time::Duration;

use tokio::time::Instant;

/// The budget of bytes that may be read.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// The moment up to which the bytes that were read use up the rate.
    paid: Instant,
}

impl Pace {
    /// 0 for no limit.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            paid: Instant::now(),
        }
    }

    /// Waits as long as these bytes take at the rate. Unused time is not saved up.
    pub(super) async fn pay(&mut self, bytes: u64) {
        if self.bytes_per_second == 0 {
            return;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let price = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid = self.paid.max(Instant::now()) + price;
        tokio::time::sleep_until(self.paid).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_the_time_that_they_should_and_none_without_a_limit() {
        let begun = Instant::now();
        let mut pace = Pace::new(1000);
        pace.pay(500).await;
        assert_eq!(begun.elapsed().as_millis(), 500);
        tokio::time::sleep(Duration::from_secs(5)).await;
        pace.pay(1000).await;
        pace.pay(1).await;
        assert_eq!(begun.elapsed().as_millis(), 6501);
        Pace::new(0).pay(u64::MAX).await;
        assert_eq!(begun.elapsed().as_millis(), 6501);
    }
}
