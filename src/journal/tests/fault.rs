//! The errors of a disk, and their moments.

use std::io;

/// The error of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Full,
    OverQuota,
    /// A write takes fewer bytes than it was given.
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

    /// Returns whether the fault can happen to a half-written file.
    pub(super) fn tears(self) -> bool {
        matches!(
            self,
            Self::Full | Self::OverQuota | Self::Short | Self::Broken
        )
    }

    /// Returns whether the fault means that there is no room.
    pub(in crate::journal) fn is_no_space(self) -> bool {
        matches!(self, Self::Full | Self::OverQuota)
    }
}

/// The calls that fail, counted from the last plan.
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
