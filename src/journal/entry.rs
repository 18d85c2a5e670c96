//! An entry's record: a line of JSON, and a line that proves it whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answers::{AnswerTo, Request, Seat, Sender};
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis, Window};
use crate::store;

/// The version of the record's form. A reader refuses one that it does not know.
const FORMAT: u32 = 1;

/// Begins the second line of a record: the digest of the first.
const CHECK: &str = "sha256:";

/// All that is known of an accepted upload beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The entry.
    pub id: FileId,
    /// The file's description.
    pub meta: FileMeta,
    /// Where its bytes are in its body.
    pub window: Window,
    /// Attempts to commit it that failed by its own fault.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt: UnixMillis,
    /// Why it was deferred or is held.
    pub reason: Option<String>,
    /// The request that it answers, if that had a key.
    pub answer: Option<AnswerTo>,
}

/// The record as it stands on disk. `bodies` is a list, so that an upload in several pieces needs
/// no new form; this version writes and reads exactly one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    format: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    uploaded_ms: u64,
    bodies: Vec<Window>,
    attempts: u32,
    next_attempt_ms: u64,
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, WrittenTexts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<WrittenAnswer>,
}

/// The texts of one name, as an answer tells them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenTexts {
    One(String),
    Several(Vec<String>),
}

impl From<&[String]> for WrittenTexts {
    fn from(texts: &[String]) -> Self {
        match texts {
            [only] => Self::One(only.clone()),
            several => Self::Several(several.to_vec()),
        }
    }
}

impl From<WrittenTexts> for Vec<String> {
    fn from(texts: WrittenTexts) -> Self {
        match texts {
            WrittenTexts::One(only) => vec![only],
            WrittenTexts::Several(several) => several,
        }
    }
}

/// [`AnswerTo`] as it stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAnswer {
    key: String,
    content: String,
    first: String,
    position: u32,
    files: u32,
    is_deleted: bool,
    /// Absent in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
}

impl From<AnswerTo> for WrittenAnswer {
    fn from(answer: AnswerTo) -> Self {
        let AnswerTo {
            request,
            seat,
            is_deleted,
        } = answer;
        Self {
            key: request.key.to_string(),
            content: request.content.to_string(),
            first: seat.first.to_string(),
            position: seat.position,
            files: seat.files,
            is_deleted,
            sender: Some(format!("{:016x}", request.sender.0)),
        }
    }
}

impl WrittenAnswer {
    fn read(&self) -> Option<AnswerTo> {
        let seat = Seat {
            first: self.first.parse().ok()?,
            position: self.position,
            files: self.files,
        };
        let sender = match &self.sender {
            Some(digits) => Sender(u64::from_str_radix(digits, 16).ok()?),
            None => Sender::default(),
        };
        seat.is_possible().then_some(AnswerTo {
            request: Request {
                key: store::Sha256::from_hex(&self.key)?,
                content: store::Sha256::from_hex(&self.content)?,
                sender,
            },
            seat,
            is_deleted: self.is_deleted,
        })
    }
}

impl Record {
    /// The record of an entry that was just accepted, its bytes beginning at `offset`.
    pub fn new(id: FileId, meta: FileMeta, offset: u64) -> Self {
        let window = Window {
            offset,
            length: meta.length,
        };
        Self {
            id,
            meta,
            window,
            attempts: 0,
            next_attempt: UnixMillis(0),
            reason: None,
            answer: None,
        }
    }

    /// The bytes for the disk.
    ///
    /// # Errors
    /// When JSON cannot be written, which no record has shown yet.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&Written {
            format: FORMAT,
            id: self.id.to_string().into(),
            filename: self.meta.filename.as_str().into(),
            content_type: self.meta.content_type.as_str().into(),
            uploaded_ms: self.meta.uploaded.0,
            bodies: vec![self.window],
            attempts: self.attempts,
            next_attempt_ms: self.next_attempt.0,
            reason: self.reason.clone(),
            metadata: self
                .meta
                .metadata
                .iter()
                .map(|(name, texts)| (name.to_owned(), texts.into()))
                .collect(),
            answer: self.answer.map(WrittenAnswer::from),
        })?;
        let check = check_line(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        Ok(bytes)
    }

    /// Reads what [`Record::encode`] wrote for this id.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(id: FileId, bytes: &[u8]) -> Result<Self, String> {
        let record = Self::decode_any(bytes)?;
        if record.id == id {
            Ok(record)
        } else {
            Err(format!("the record is that of {}", record.id))
        }
    }

    /// Reads what [`Record::encode`] wrote for whatever id.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode_any(bytes: &[u8]) -> Result<Self, String> {
        let line = checked_line(bytes)?;
        // serde_json does not look at names that it has no use for: this whole line is UTF-8, as JSON is.
        let line = str::from_utf8(line).map_err(|err| format!("the record is not valid: {err}"))?;
        let written: Written<'_> =
            serde_json::from_str(line).map_err(|err| format!("the record is not valid: {err}"))?;
        if written.format != FORMAT {
            return Err(format!(
                "the record has the unknown form {}",
                written.format
            ));
        }
        let id = written.id.parse().map_err(|_| "the record has no id")?;
        let [window] = *written.bodies.as_slice() else {
            return Err(format!("the record has {} bodies", written.bodies.len()));
        };
        let filename = FileName::from_claim(&written.filename).ok_or("the record has no name")?;
        // Earlier versions took more for a type than this one does; no promise is given up for that.
        let content_type =
            MediaType::parse(&written.content_type).unwrap_or_else(|_| MediaType::octet_stream());
        let mut metadata = Metadata::default();
        for (name, texts) in written.metadata {
            for text in Vec::from(texts) {
                metadata
                    .add(name.clone(), text)
                    .map_err(|err| err.to_string())?;
            }
        }
        let answer = written.answer.map(|answer| {
            let read = answer.read();
            read.ok_or("the record answers no request that can be")
        });
        Ok(Self {
            id,
            meta: FileMeta {
                filename,
                content_type,
                length: window.length,
                uploaded: UnixMillis(written.uploaded_ms),
                metadata,
                revision: None,
            },
            window,
            attempts: written.attempts,
            next_attempt: UnixMillis(written.next_attempt_ms),
            reason: written.reason,
            answer: answer.transpose()?,
        })
    }
}

/// The first line of what was written whole: its second line is the digest of the first.
///
/// # Errors
/// What is wrong with it.
pub(super) fn checked_line(bytes: &[u8]) -> Result<&[u8], String> {
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .ok_or("the record has no second line")?;
    let (line, check) = bytes.split_at(end);
    if check == check_line(line).as_bytes() {
        Ok(line)
    } else {
        Err("the record does not match its check line".to_owned())
    }
}

/// The second line that goes with a first, with the line break between them.
pub(super) fn check_line(line: &[u8]) -> String {
    let digest = store::Sha256(Sha256::digest(line).into());
    format!("\n{CHECK}{digest}\n")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::journal) fn record() -> Record {
        let mut metadata = Metadata::default();
        for (name, text) in [("caption \"1\"", "Grüße\n"), ("tag", "b"), ("tag", "a")] {
            metadata.add(name.to_owned(), text.to_owned()).unwrap();
        }
        let meta = FileMeta {
            filename: FileName::from_claim("größe \"1\".txt").unwrap(),
            content_type: MediaType::parse("text/plain; charset=utf-8").unwrap(),
            length: 5,
            uploaded: UnixMillis(1_700_000_000_123),
            metadata,
            revision: None,
        };
        Record {
            attempts: 3,
            next_attempt: UnixMillis(1_700_000_009_000),
            reason: Some("because".to_owned()),
            answer: Some(AnswerTo {
                request: Request {
                    key: store::Sha256([1; 32]),
                    content: store::Sha256([2; 32]),
                    sender: Sender(0x123),
                },
                seat: Seat {
                    first: FileId::from_bytes([6; 12]),
                    position: 1,
                    files: 3,
                },
                is_deleted: true,
            }),
            ..Record::new(FileId::from_bytes([7; 12]), meta, 7)
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = record();
        let bytes = record.encode().unwrap();
        assert_eq!(Record::decode(record.id, &bytes), Ok(record));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read_whatever_it_took_for_a_type() {
        let bytes = record().encode().unwrap();
        let line = checked_line(&bytes).unwrap();
        let line = str::from_utf8(line).unwrap();
        let line = line.replace("text/plain; charset=utf-8", "image/png;,text/html");
        let bytes = [line.as_bytes(), check_line(line.as_bytes()).as_bytes()].concat();
        let read = Record::decode(record().id, &bytes).unwrap();
        assert_eq!(read.meta.content_type, MediaType::octet_stream());
        assert_eq!(read.meta.metadata, record().meta.metadata);
    }

    #[test]
    fn a_record_of_an_older_version_has_no_sender() {
        let record = record();
        let bytes = record.encode().unwrap();
        let line = String::from_utf8(checked_line(&bytes).unwrap().to_vec()).unwrap();
        let older = line.replace(r#","sender":"0000000000000123""#, "");
        assert!(older.len() < line.len(), "{line}");
        let read = Record::decode(
            record.id,
            (older.clone() + &check_line(older.as_bytes())).as_bytes(),
        );
        let answer = read.unwrap().answer.unwrap();
        assert_eq!(answer.request.sender, Sender::default());
        assert_eq!(answer.request.key, record.answer.unwrap().request.key);
    }

    #[test]
    fn a_record_that_lost_or_changed_any_byte_is_refused() {
        let record = record();
        let bytes = record.encode().unwrap();
        for at in 0..bytes.len() {
            assert!(
                Record::decode(record.id, &bytes[..at]).is_err(),
                "cut at {at}"
            );
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                Record::decode(record.id, &changed).is_err(),
                "changed at {at}"
            );
        }
        assert!(Record::decode(record.id, &vec![0; bytes.len()]).is_err());
    }

    #[test]
    fn a_record_that_is_not_utf8_in_what_nobody_reads_is_refused() {
        let record = record();
        let written = record.encode().unwrap();
        let line = written.split(|&byte| byte == b'\n').next().unwrap();
        let at = memchr::memmem::find(line, b"\"offset\"").unwrap();
        let (before, behind) = line.split_at(at);
        let with = |name: &[u8]| {
            let line = [before, b"\"later\":{\"", name, b"\":1},", behind].concat();
            Record::decode_any(&[&*line, check_line(&line).as_bytes()].concat())
        };
        assert_eq!(with(b"later"), Ok(record));
        assert!(with(b"\xff").is_err());
    }

    #[test]
    fn the_record_of_another_entry_is_refused() {
        let bytes = record().encode().unwrap();
        assert!(Record::decode(FileId::from_bytes([8; 12]), &bytes).is_err());
    }
}
