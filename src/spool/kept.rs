//! Bodies that came in pieces: the journal has them already.

use std::fs::File;

use super::SpooledBody;

impl SpooledBody {
    /// The first bytes of a file of the journal, as the body of a request that came in pieces.
    ///
    /// # Errors
    /// When the system does not tell its time.
    pub fn kept(file: File, length: u64) -> std::io::Result<Self> {
        Ok(Self {
            modified: file.metadata()?.modified()?,
            file,
            length,
            content: None,
            is_kept: true,
        })
    }

    /// The bytes that wait for their commit only since it came: none, if the journal had it before.
    pub fn new_bytes(&self) -> u64 {
        if self.is_kept { 0 } else { self.length }
    }
}
