//! Getting out of a journal what is whole, whatever is wrong with the rest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::contents::Bytes;
use super::verify::pieces;
use super::{Anomaly, Contents, Inspection};
use crate::file::FileId;
use crate::journal::record;
use crate::journal::wal::OpenError;

/// Lines that tell of each file what the journal knows.
const DESCRIPTIONS: &str = "files.jsonl";

/// Where bodies go whose entries are lost.
const LONE: &str = "lone";

/// What was written out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Files of entries, each under its id.
    pub files: Vec<FileId>,
    /// Bodies without an entry, each under its own name.
    pub lone: Vec<String>,
    /// What is wrong with the log, and files that have no whole body.
    pub anomalies: Vec<Anomaly>,
}

/// Why nothing more is written out.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The log cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk said no.
    #[error("{path}: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Inspection {
    /// Writes every whole body into a new directory, with a line of what is known of each. Bodies that no
    /// entry has come along. What is written is not synced.
    ///
    /// # Errors
    /// When there is such a directory, the log is of a newer form, or the disk says no.
    pub fn salvage(&self, to: &Path) -> Result<Salvaged, SalvageError> {
        let contents = self.list()?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| SalvageError::Disk { path, source }
        };
        fs::create_dir(to).map_err(at(to))?;
        let mut salvaged = Salvaged {
            anomalies: contents.anomalies.clone(),
            ..Salvaged::default()
        };
        let mut descriptions = create(&to.join(DESCRIPTIONS)).map_err(at(to))?;
        let mut failed = None;
        self.each_file(&contents, &mut |id, known, file, bytes| {
            if failed.is_some() {
                return;
            }
            let mut write = || -> io::Result<Option<String>> {
                let fault = self.write_body(id, file, bytes, &to.join(id.to_string()))?;
                if fault.is_none() {
                    let phase = format!("{:?}", known.phase).to_lowercase();
                    writeln!(descriptions, "{}", description(id, file, &phase))?;
                }
                Ok(fault)
            };
            match write() {
                Ok(None) => salvaged.files.push(id),
                // Of a settled one the body may be gone: the store has it.
                Ok(Some(fault)) if known.phase.is_pending() => {
                    salvaged.anomalies.push(Anomaly::NoBody { id, fault });
                }
                Ok(Some(_)) => {}
                Err(err) => failed = Some(err),
            }
        })?;
        if let Some(err) = failed {
            return Err(at(to)(err));
        }
        salvaged.lone = self.copy_lone(&contents, &to.join(LONE)).map_err(at(to))?;
        Ok(salvaged)
    }

    /// Writes a body out; what is wrong with it, if it is not whole. If it cannot be read to its end, the
    /// first part of it is there.
    fn write_body(
        &self,
        id: FileId,
        file: &record::File,
        bytes: Bytes<'_>,
        to: &Path,
    ) -> io::Result<Option<String>> {
        if let Some(fault) = self.fault_of(id, file, bytes)? {
            return Ok(Some(fault));
        }
        let mut out = create(to)?;
        if let Bytes::Inline(bytes) = bytes {
            out.write_all(bytes)?;
        }
        for (name, offset, length) in pieces(id, file) {
            let fault = copy(&self.bodies().join(&name), offset, length, &mut out)?;
            if let Some(err) = fault {
                return Ok(Some(format!("{name} cannot be read: {err}")));
            }
        }
        Ok(None)
    }

    fn copy_lone(&self, contents: &Contents, to: &Path) -> io::Result<Vec<String>> {
        let lone = self.lone_bodies(contents)?;
        if !lone.is_empty() {
            fs::create_dir(to)?;
        }
        for name in &lone {
            let mut out = create(&to.join(name))?;
            if let Some(err) = copy(&self.bodies().join(name), 0, u64::MAX, &mut out)? {
                log::warn!("{name}: cannot be read: {err}");
            }
        }
        Ok(lone)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Copies a part of a file; returns why that cannot be read to its end. An error is one of `out`.
fn copy(from: &Path, offset: u64, length: u64, out: &mut File) -> io::Result<Option<io::Error>> {
    let open = || -> io::Result<io::Take<File>> {
        let mut file = File::open(from)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(length))
    };
    let mut part = match open() {
        Ok(part) => part,
        Err(err) => return Ok(Some(err)),
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match part.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => out.write_all(buffer.get(..read).unwrap_or_default())?,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Ok(Some(err)),
        }
    }
}

fn description(id: FileId, file: &record::File, phase: &str) -> serde_json::Value {
    let pairs = file.meta.metadata.pairs();
    let metadata: Vec<_> = pairs.map(|(name, text)| json!([name, text])).collect();
    json!({
        "id": id.to_string(),
        "phase": phase,
        "filename": file.meta.filename.as_str(),
        "content_type": file.meta.content_type.as_str(),
        "length": file.meta.length,
        "uploaded_ms": file.meta.uploaded.0,
        "metadata": metadata,
    })
}
