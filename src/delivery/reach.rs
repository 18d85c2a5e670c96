//! Whether the store answers, so that not every caller has to find it out.

use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::store::StoreError;

/// The answers of the store to the last checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It answered the last one.
    Up,
    /// It did not. Another primary may be elected right now.
    Silent,
    /// It has answered none for longer than an election takes.
    Away,
}

impl Reach {
    /// A store that has not answered for so long answers no caller who waits for it.
    pub const PATIENCE: Duration = Duration::from_secs(15);
}

/// Tells whether the store answers.
pub type StoreCheck = Box<dyn Fn() -> Reach + Send + Sync>;

/// The longest time that the store is waited for before the owner of a file is asked. A store that has just
/// frozen seems to be up.
const BEFORE_OWNER: Duration = Duration::from_secs(2);

impl Delivery {
    /// Whether the store answered at the last check.
    pub(super) fn is_store_up(&self) -> bool {
        (self.reach)() == Reach::Up
    }

    /// Refuses a question to a store that is away: its caller would wait in vain.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) fn check_store(&self) -> Result<(), StoreError> {
        if (self.reach)() != Reach::Away {
            return Ok(());
        }
        let said = "it has not answered for a while".to_owned();
        Err(StoreError::Unavailable(said))
    }

    /// Asks the store before the owner of an id is asked. `None`: only the owner can tell.
    ///
    /// Finding out that a store is down takes time, and the owner may have the file anyway.
    ///
    /// # Errors
    /// An error of the store that is no outage.
    pub(super) async fn before_owner<T>(
        &self,
        answer: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        if !self.is_store_up() {
            return Ok(None);
        }
        match timeout(BEFORE_OWNER, answer).await {
            Err(_)
            | Ok(Err(
                StoreError::Unavailable(_) | StoreError::TimedOut(_) | StoreError::Unfit(_),
            )) => Ok(None),
            Ok(answer) => answer,
        }
    }
}
