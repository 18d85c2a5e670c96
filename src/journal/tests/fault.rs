//! What a disk can fail with, and when.

use std::io;

/// What a call fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Fault {
    Full,
    OverQuota,
    /// A write that takes less than it was given, and no more.
    Short,
    Broken,
    Interrupted,
    TooManyFiles,
}

impl Fault {
    pub(in crate::journal) const ALL: [Self; 6] = [
        Self::Full,
        Self::OverQuota,
        Self::Short,
        Self::Broken,
        Self::Interrupted,
        Self::TooManyFiles,
    ];

    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::OverQuota => io::ErrorKind::QuotaExceeded.into(),
            Self::Short => io::ErrorKind::WriteZero.into(),
            Self::Broken => io::Error::from_raw_os_error(5),
            Self::Interrupted => io::ErrorKind::Interrupted.into(),
            Self::TooManyFiles => io::Error::from_raw_os_error(24),
        }
    }

    /// Whether it can strike a file that is half written.
    pub(super) fn tears(self) -> bool {
        matches!(
            self,
            Self::Full | Self::OverQuota | Self::Short | Self::Broken
        )
    }

    /// Whether it says that there is no room.
    pub(in crate::journal) fn is_no_space(self) -> bool {
        matches!(self, Self::Full | Self::OverQuota)
    }
}

/// Which calls fail, counted from the last one that was told.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Plan {
    #[default]
    Sound,
    Once(usize, Fault),
    From(usize),
    Panic(usize),
}

/// A call that is not carried out.
pub(super) struct Refusal {
    pub(super) error: io::Error,
    pub(super) is_torn: bool,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}
