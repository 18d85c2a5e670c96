//! No promise after an fsync has failed.

use std::io;
use std::sync::OnceLock;

use rustix::io::Errno;

/// The first failed fsync, if any. It stays until the process ends.
#[derive(Debug, Default)]
pub struct Poison(OnceLock<String>);

/// An fsync failed earlier; the text says which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no promises are made: {0}")]
pub struct Poisoned(pub String);

impl From<Poisoned> for io::Error {
    fn from(poisoned: Poisoned) -> Self {
        Self::other(poisoned)
    }
}

impl Poison {
    /// The reason why no promises are made; `None` while all is well.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Checks that promises can be made.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(&self) -> Result<(), Poisoned> {
        self.reason()
            .map_or(Ok(()), |reason| Err(Poisoned(reason.to_owned())))
    }

    /// Notes that an fsync of `what` failed.
    pub fn set(&self, what: &str, err: &io::Error) {
        let out_of_handles = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
        if out_of_handles.contains(&err.raw_os_error()) {
            // The directory was not even opened: no page was lost, and nothing was promised.
            return;
        }
        let reason = format!("fsync of {what} failed: {err}");
        if self.0.set(reason.clone()).is_ok() {
            log::error!("{reason}; no more uploads are accepted until a restart");
        }
    }
}
