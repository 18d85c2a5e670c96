//! The directory of salvaged bodies. No file in it is ever overwritten. A file gets the name of its
//! body after it is synced; until then the name ends with `.part`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::journal::OpenError;
use crate::journal::volume::{Disk as _, LocalDisk, if_there};

/// The file with a line of the journal's knowledge about each file.
const DESCRIPTIONS: &str = "files.jsonl";

/// The directory for bodies without an entry.
const LONE: &str = "lone";

/// The reason why the salvage stopped.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The journal cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory is in the journal itself, where nothing may be written.
    #[error("{0} is in the journal itself")]
    Inside(PathBuf),
    /// The disk returned an error.
    #[error("{path}: {source}")]
    Disk {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl SalvageError {
    /// Adds the path to an I/O error.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { path, source }
    }
}

/// The directory, and the lines in it.
pub(super) struct Output {
    directory: PathBuf,
    parent: PathBuf,
    descriptions: File,
    has_lone: bool,
}

/// A file that is not complete yet.
pub(super) struct Part {
    path: PathBuf,
    whole: PathBuf,
    file: File,
    /// Hashes all bytes that were written.
    hasher: Sha256,
}

impl Output {
    /// Makes the directory.
    pub(super) fn begin(directory: &Path, journal: &Path) -> Result<Self, SalvageError> {
        let parent = match directory.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let real = |path: &Path| fs::canonicalize(path).map_err(SalvageError::at(path));
        if real(&parent)?.starts_with(real(journal)?) {
            return Err(SalvageError::Inside(directory.to_owned()));
        }
        make(directory)?;
        let descriptions = directory.join(DESCRIPTIONS);
        let file = LocalDisk.create(&descriptions, &[]);
        Ok(Self {
            descriptions: file.map_err(SalvageError::at(&descriptions))?,
            directory: directory.to_owned(),
            parent,
            has_lone: false,
        })
    }

    /// Adds a line.
    pub(super) fn describe(&mut self, words: &Value) -> Result<(), SalvageError> {
        let line = format!("{words}\n");
        let written = self.descriptions.write_all(line.as_bytes());
        written.map_err(SalvageError::at(&self.directory.join(DESCRIPTIONS)))
    }

    pub(super) fn begin_file(&self, name: &str) -> Result<Part, SalvageError> {
        Part::begin(self.directory.join(name))
    }

    pub(super) fn begin_lone(&mut self, name: &str) -> Result<Part, SalvageError> {
        let directory = self.directory.join(LONE);
        if !self.has_lone {
            make(&directory)?;
            self.has_lone = true;
        }
        Part::begin(directory.join(name))
    }

    /// Makes everything durable.
    pub(super) fn finish(self) -> Result<(), SalvageError> {
        let descriptions = self.directory.join(DESCRIPTIONS);
        let synced = LocalDisk.sync_file(&self.descriptions);
        synced.map_err(SalvageError::at(&descriptions))?;
        let lone = self.has_lone.then(|| self.directory.join(LONE));
        for directory in lone.iter().chain([&self.directory, &self.parent]) {
            let synced = LocalDisk.sync_directory(directory);
            synced.map_err(SalvageError::at(directory))?;
        }
        Ok(())
    }
}

impl Part {
    fn begin(whole: PathBuf) -> Result<Self, SalvageError> {
        let mut name = whole.clone().into_os_string();
        name.push(".part");
        let path = PathBuf::from(name);
        // An earlier pass may have left it.
        if_there(LocalDisk.unlink(&path)).map_err(SalvageError::at(&path))?;
        let file = LocalDisk.create(&path, &[]);
        let file = file.map_err(SalvageError::at(&path))?;
        Ok(Self {
            path,
            whole,
            file,
            hasher: Sha256::new(),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SalvageError> {
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(SalvageError::at(&self.path))
    }

    /// Writes bytes over others, or behind them. The hasher does not see them.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), SalvageError> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(SalvageError::at(&self.path))
    }

    /// Adds a part of a file. Returns its length, or why it cannot be read to its end.
    pub(super) fn copy(
        &mut self,
        from: &Path,
        offset: u64,
        length: u64,
    ) -> Result<io::Result<u64>, SalvageError> {
        let open = || -> io::Result<io::Take<File>> {
            let mut file = File::open(from)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file.take(length))
        };
        let mut part = match open() {
            Ok(part) => part,
            Err(err) => return Ok(Err(err)),
        };
        let mut buffer = vec![0; 64 * 1024];
        let mut copied = 0;
        loop {
            match part.read(&mut buffer) {
                Ok(0) => return Ok(Ok(copied)),
                Ok(read) => {
                    self.write(buffer.get(..read).unwrap_or_default())?;
                    copied = length - part.limit();
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Ok(Err(err)),
            }
        }
    }

    /// The hasher of all bytes so far.
    pub(super) fn hasher(&self) -> Sha256 {
        self.hasher.clone()
    }

    /// Makes it durable, and gives it its name.
    pub(super) fn finish(self) -> Result<(), SalvageError> {
        let Self {
            path, whole, file, ..
        } = self;
        let kept = LocalDisk.sync_file(&file);
        let kept = kept.and_then(|()| LocalDisk.rename(&path, &whole));
        kept.map_err(SalvageError::at(&whole))
    }
}

fn make(directory: &Path) -> Result<(), SalvageError> {
    let made = DirBuilder::new().mode(0o700).create(directory);
    made.map_err(SalvageError::at(directory))
}
