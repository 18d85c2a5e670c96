//! The directory where nginx spools request bodies, and the proof that a header names a file in it.
//!
//! The path in a header is a capability: a client that could forge one could have any file of this user
//! adopted. So only its last component is believed, and that must have the form of nginx's names.

mod kept;
mod received;

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

pub use received::Received;

/// nginx's spool directory, kept open.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    directory: OwnedFd,
    owner: u32,
}

/// A file that is proven to be a spool file: regular, owned by this user, in the spool directory, and
/// as long as nginx counted. No other request can claim the file while this lives (flock(2)). Dropping
/// it leaves the file to nginx, which unlinks it.
#[derive(Debug)]
pub struct SpooledBody {
    file: File,
    length: u64,
    modified: SystemTime,
    /// Its bytes, if they were read into memory.
    content: Option<Vec<u8>>,
    /// Whether it is no spool file, but the body of an upload in the journal.
    is_kept: bool,
}

/// The reason why the path in a header names no spool file. It is for the log; a client learns only
/// that it failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The name is not one that nginx gives: its configuration does not fit, or it was forged.
    #[error("{0:?} does not name a spool file")]
    Name(String),
    /// The file is gone, or cannot be opened.
    #[error("the spool file {name} cannot be opened: {source}")]
    Open {
        /// Its name.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Another request is taking it over at this moment.
    #[error("the spool file {name} is claimed by another request")]
    Taken {
        /// Its name.
        name: String,
    },
    /// It is no regular file of this user, or was already taken over.
    #[error(
        "the spool file {name} is not a fresh body: mode {mode:o}, owner {owner}, links {links}"
    )]
    Kind {
        /// Its name.
        name: String,
        /// Its mode, type included.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
        /// Its count of hard links.
        links: u64,
    },
    /// Its length is not the one that nginx counted.
    #[error("the spool file {name} has {found} bytes, nginx counted {counted}")]
    Length {
        /// Its name.
        name: String,
        /// Its length in bytes.
        found: u64,
        /// The bytes that nginx counted.
        counted: u64,
    },
}

/// nginx names temp files by a counter of this many digits.
const NAME_DIGITS: usize = 10;

/// The longest that the counter can get: the digits of the largest number of 64 bits.
const MOST_NAME_DIGITS: usize = 20;

/// nginx's own files have this permission, and files that were taken over do not.
const WRITABLE: u32 = 0o200;

impl Spool {
    /// Opens the directory. Bodies are expected to belong to this process's user.
    ///
    /// # Errors
    /// When it is not a directory that this process may open.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            directory: rustix::fs::open(path, flags, Mode::empty())?,
            owner: rustix::process::geteuid().as_raw(),
        })
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the spool file that nginx named in a header.
    ///
    /// # Errors
    /// Any [`ClaimError`]; the file is left as it is.
    pub fn claim(&self, header: &[u8], counted: Option<u64>) -> Result<SpooledBody, ClaimError> {
        let name = header
            .rsplit(|&byte| byte == b'/')
            .next()
            .unwrap_or_default();
        let is_nginx_name = name.len() >= NAME_DIGITS
            && name.len() <= MOST_NAME_DIGITS
            && name.iter().all(u8::is_ascii_digit);
        let name = String::from_utf8_lossy(name).into_owned();
        if !is_nginx_name {
            return Err(ClaimError::Name(
                String::from_utf8_lossy(header).into_owned(),
            ));
        }
        // NOFOLLOW: a link planted in the spool opens nothing. NONBLOCK: opening a FIFO does not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.directory, name.as_str(), flags, Mode::empty())
            .map_err(std::io::Error::from)
            .map(File::from);
        let file = match opened {
            Ok(file) => file,
            Err(source) => return Err(ClaimError::Open { name, source }),
        };
        // The lock comes before the count of links: otherwise, of two requests that name one file, one
        // could count after the other has linked it.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ClaimError::Taken { name }),
            Err(TryLockError::Error(source)) => return Err(ClaimError::Open { name, source }),
        }
        let found = match file.metadata() {
            Ok(found) => found,
            Err(source) => return Err(ClaimError::Open { name, source }),
        };
        let is_taken = found.nlink() != 1 || found.mode() & WRITABLE == 0;
        if !found.is_file() || found.uid() != self.owner || is_taken {
            return Err(ClaimError::Kind {
                name,
                mode: found.mode(),
                owner: found.uid(),
                links: found.nlink(),
            });
        }
        let modified = match found.modified() {
            Ok(modified) => modified,
            Err(source) => return Err(ClaimError::Open { name, source }),
        };
        match counted {
            Some(counted) if counted != found.len() => Err(ClaimError::Length {
                name,
                found: found.len(),
                counted,
            }),
            _ => Ok(SpooledBody {
                file,
                length: found.len(),
                modified,
                content: None,
                is_kept: false,
            }),
        }
    }
}

impl SpooledBody {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// When nginx wrote its last byte.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// Reads all of it into memory, so that all who read it by [`Received`] have the same bytes.
    ///
    /// # Errors
    /// When it cannot be read; it is as it was then.
    pub fn load(&mut self) -> std::io::Result<()> {
        let length = usize::try_from(self.length).map_err(std::io::Error::other)?;
        let mut content = vec![0; length];
        self.file.read_exact_at(&mut content, 0)?;
        self.content = Some(content);
        Ok(())
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Marks a spool file as taken over, as long as it exists: for a caller that gives it no name of its
    /// own.
    ///
    /// # Errors
    /// The system's error.
    pub fn mark_taken(&self) -> std::io::Result<()> {
        if self.is_kept {
            return Ok(());
        }
        Ok(rustix::fs::fchmod(&self.file, Mode::RUSR)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Window;
    use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn spool() -> (tempfile::TempDir, Spool) {
        let scratch = tempfile::tempdir().unwrap();
        let spool = Spool::open(scratch.path()).unwrap();
        (scratch, spool)
    }

    #[test]
    fn a_spool_file_is_claimed_by_its_last_component_alone() {
        let (scratch, spool) = spool();
        std::fs::write(scratch.path().join("0000000001"), b"body").unwrap();
        let body = spool.claim(b"/somewhere/else/0000000001", Some(4)).unwrap();
        assert_eq!(body.length(), 4);
    }

    #[test]
    fn names_that_nginx_does_not_give_are_refused() {
        let (scratch, spool) = spool();
        std::fs::write(scratch.path().join("secret"), b"s").unwrap();
        for header in [
            "",
            "/",
            "secret",
            "../secret",
            "..",
            "123",
            "000000000x",
            "/proc/self/fd/3",
            "0000000001/",
            "0000000001\0",
            "000000000000000000000000000001",
        ] {
            let refusal = spool.claim(header.as_bytes(), None).unwrap_err();
            assert!(
                matches!(refusal, ClaimError::Name(_)),
                "{header}: {refusal}"
            );
        }
    }

    #[test]
    fn links_directories_and_fifos_are_refused() {
        let (scratch, spool) = spool();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("secret"), b"s").unwrap();
        std::os::unix::fs::symlink(at("secret"), at("0000000001")).unwrap();
        std::fs::hard_link(at("secret"), at("0000000002")).unwrap();
        std::fs::create_dir(at("0000000003")).unwrap();
        // A child process would inherit the locks of journals that other tests have open.
        let (kind, mode) = (FileType::Fifo, Mode::RUSR);
        rustix::fs::mknodat(CWD, at("0000000004"), kind, mode, 0).unwrap();
        for name in ["0000000001", "0000000002", "0000000003", "0000000004"] {
            let refusal = spool.claim(name.as_bytes(), None).unwrap_err();
            assert!(
                matches!(refusal, ClaimError::Open { .. } | ClaimError::Kind { .. }),
                "{name}: {refusal}"
            );
        }
    }

    #[test]
    fn a_body_of_another_length_than_nginx_counted_is_refused() {
        let (scratch, spool) = spool();
        std::fs::write(scratch.path().join("0000000001"), b"body").unwrap();
        let refusal = spool.claim(b"0000000001", Some(5)).unwrap_err();
        assert!(matches!(
            refusal,
            ClaimError::Length {
                found: 4,
                counted: 5,
                ..
            }
        ));
    }

    #[test]
    fn a_body_of_another_user_is_refused() {
        let (scratch, mut spool) = spool();
        std::fs::write(scratch.path().join("0000000001"), b"body").unwrap();
        spool.owner += 1;
        let refusal = spool.claim(b"0000000001", None).unwrap_err();
        assert!(matches!(refusal, ClaimError::Kind { .. }));
    }

    #[test]
    fn a_body_that_is_being_taken_over_cannot_be_claimed_again() {
        let (scratch, spool) = spool();
        std::fs::write(scratch.path().join("0000000001"), b"body").unwrap();
        let first = spool.claim(b"0000000001", None).unwrap();
        let refusal = spool.claim(b"0000000001", None).unwrap_err();
        assert!(matches!(refusal, ClaimError::Taken { .. }), "{refusal}");
        drop(first);
        assert!(spool.claim(b"0000000001", None).is_ok());
    }

    #[test]
    fn a_body_that_was_taken_over_cannot_be_claimed_again() {
        let (scratch, spool) = spool();
        std::fs::write(scratch.path().join("0000000001"), b"body").unwrap();
        spool
            .claim(b"0000000001", None)
            .unwrap()
            .mark_taken()
            .unwrap();
        let refusal = spool.claim(b"0000000001", None).unwrap_err();
        assert!(matches!(refusal, ClaimError::Kind { .. }), "{refusal}");
    }

    /// Stops another thread's loop when it is dropped, also when a test fails.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_name_that_is_swapped_meanwhile_gives_the_one_body_or_a_refusal() {
        let (scratch, spool) = spool();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("secret"), b"secret").unwrap();
        std::fs::hard_link(at("secret"), at("hard")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        let (kind, mode) = (FileType::Fifo, Mode::RUSR);
        rustix::fs::mknodat(CWD, at("fifo"), kind, mode, 0).unwrap();
        std::fs::write(at("0000000001"), b"body").unwrap();
        let is_over = AtomicBool::new(false);
        let (mut claimed, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let others = ["hard", "link", "directory", "fifo"].map(at);
                let mut pairs = others.iter().flat_map(|other| [other, other]).cycle();
                while !is_over.load(Ordering::Relaxed) {
                    let (name, other) = (at("0000000001"), pairs.next().unwrap());
                    renameat_with(CWD, name, CWD, other, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let _over = Over(&is_over);
            while claimed < 5000 || refused < 5000 {
                let Ok(body) = spool.claim(b"0000000001", None) else {
                    refused += 1;
                    continue;
                };
                let mut bytes = [0; 4];
                body.file().read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!((&bytes, body.length()), (b"body", 4));
                claimed += 1;
            }
        });
    }

    #[test]
    fn the_type_is_read_from_the_bytes() {
        let (scratch, spool) = spool();
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        std::fs::write(scratch.path().join("0000000001"), png).unwrap();
        std::fs::write(scratch.path().join("0000000002"), b"no magic").unwrap();
        let sniffed = |name: &str| {
            let body = spool.claim(name.as_bytes(), None).unwrap();
            let whole = Window::whole(body.length());
            Received::from(&body).sniff(whole).unwrap()
        };
        assert_eq!(sniffed("0000000001").as_str(), "image/png");
        assert_eq!(sniffed("0000000002").as_str(), "application/octet-stream");
    }
}
