//! The faults that last until further notice.

use std::fs::File;
use std::io;

use super::FaultyDisk;
use crate::journal::tests::fault::Fault;
use crate::journal::{Disk as _, LocalDisk};

impl FaultyDisk {
    pub(in crate::journal) fn set_free_bytes(&self, free: u64) {
        self.state().free_bytes = Some(free);
    }

    /// Lets no file grow until further notice.
    pub(in crate::journal) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Lets no block of the log be read that has these bytes, until further notice.
    pub(in crate::journal) fn set_bad(&self, bytes: Option<&[u8]>) {
        self.state().bad = bytes.map(<[u8]>::to_vec);
    }

    pub(in crate::journal) fn fail_inodes(&self, fault: Option<Fault>) {
        self.state().inodes = fault;
    }

    pub(super) fn read_unless_bad(
        &self,
        file: &File,
        into: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let read = LocalDisk.read_at(file, into, offset)?;
        let state = self.state();
        let mut bad = state.bad.iter();
        if bad.any(|bad| into[..read].windows(bad.len()).any(|window| window == bad)) {
            return Err(Fault::Broken.error());
        }
        Ok(read)
    }
}
