//! Uploads that come in pieces, as they go over the wire: by tus 1.0.0 and by
//! draft-ietf-httpbis-resumable-upload-12.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{Answer, Client};

use crate::request::hang_up;
use crate::whole::Whole;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const TUS_PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// The protocol of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Tus,
    Draft,
}

/// A client's knowledge of an upload. Its file has the same key, and is in the ledger from the first
/// request on.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    pub(crate) key: u64,
    pub(crate) whole: Whole,
    /// The length of the whole in bytes.
    pub(crate) length: usize,
    pub(crate) dialect: Dialect,
    /// Whether the first request tells the length; otherwise the last piece does.
    pub(crate) is_declared: bool,
    pub(crate) id: Option<String>,
    /// The highest offset that an answer told.
    pub(crate) told: usize,
    /// The highest offset up to which it was read.
    pub(crate) seen: usize,
    /// The place of the node that gets the whole file under its key, if it begins so. Only that node knows
    /// then what came of it.
    pub(crate) home: Option<usize>,
    /// Whether its end was asked for.
    pub(crate) is_ending: bool,
    /// The ids in the answer that told what it has become.
    pub(crate) made: Vec<String>,
}

/// The meaning of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The upload may grow, and has this many bytes.
    Open(usize),
    /// It is a file.
    Complete,
    /// There is no such upload.
    Gone,
    /// The request was refused, or had no answer.
    Nothing,
}

type Fields = Vec<(&'static str, String)>;

impl Pieces {
    /// Begins the upload with its first `first` bytes. It may be sent again: it has a key.
    pub(crate) fn begin(&self, client: &Client, first: usize) -> Result<Answer, String> {
        let (name, length) = (self.key.to_string(), self.length.to_string());
        let mut fields = vec![("Idempotency-Key", self.idempotency_key())];
        if self.whole.is_partial() {
            fields.push(owned(("Upload-Concat", "partial")));
        }
        if self.is_declared {
            fields.push(("Upload-Length", length));
        }
        let path = match self.dialect {
            Dialect::Tus => {
                fields.push(metadata(&name));
                if !self.is_declared {
                    fields.push(("Upload-Defer-Length", "1".to_owned()));
                }
                fields.extend([TUS, TUS_PIECE].map(owned));
                "/uploads"
            }
            Dialect::Draft => {
                let (path, kind) = self.whole.target();
                let disposition = format!("attachment; filename=\"{name}\"");
                fields.push(("Content-Disposition", disposition));
                fields.extend([("Content-Type", kind), ("Upload-Complete", "?0")].map(owned));
                path
            }
        };
        let body = self.bytes(0, first);
        let answer = client.try_post(path, &borrowed(&fields), &body);
        answer.map_err(|err| err.to_string())
    }

    /// Appends the bytes up to this offset.
    pub(crate) fn append(&self, client: &Client, to: usize) -> Result<Answer, String> {
        let (fields, body) = (self.fields(to), self.piece(to));
        let answer = client.try_patch(&self.path(), &borrowed(&fields), &body);
        answer.map_err(|err| err.to_string())
    }

    /// Begins to append the bytes up to this offset, and hangs up after some of them.
    pub(crate) fn break_off(
        &self,
        port: u16,
        to: usize,
        sent: (usize, Duration),
    ) -> io::Result<()> {
        let line = format!("PATCH {}", self.path());
        let piece = self.piece(to);
        hang_up(port, &line, &self.fields(to), &piece, sent)
    }

    /// Asks for the offset.
    pub(crate) fn ask(&self, client: &Client) -> Result<Answer, String> {
        self.bare(client, "HEAD")
    }

    /// Ends the upload.
    pub(crate) fn end(&self, client: &Client) -> Result<Answer, String> {
        self.bare(client, "DELETE")
    }

    /// Reads an answer. `before` is the offset that was told when its request was sent.
    ///
    /// # Errors
    /// When it contradicts an earlier answer.
    pub(crate) fn hear(
        &mut self,
        before: usize,
        answer: &Result<Answer, String>,
    ) -> Result<Told, String> {
        let Ok(answer) = answer else {
            return Ok(Told::Nothing);
        };
        let told = match answer.status {
            200..300 | 409 => answer.header("Upload-Offset").parse().ok(),
            404 | 410 => return Ok(Told::Gone),
            _ => None,
        };
        let Some(offset) = told else {
            return Ok(Told::Nothing);
        };
        for name in ["Location", "Content-Location"] {
            let Some((place, id)) = answer.header(name).rsplit_once('/') else {
                continue;
            };
            if self.whole.is_made() && place != "/uploads" {
                continue;
            }
            if self.id.get_or_insert_with(|| id.to_owned()) != id {
                return Err(format!("{self:?} has another id in {answer:?}"));
            }
        }
        let least = before.max(self.seen);
        if !(least..=self.length).contains(&offset) {
            return Err(format!("{self:?} had {least}, and now {answer:?}"));
        }
        self.told = self.told.max(offset);
        if !self.is_complete(offset, answer) {
            return Ok(Told::Open(offset));
        }
        if offset != self.length {
            return Err(format!("{self:?} is complete too early: {answer:?}"));
        }
        if answer.status == 201 {
            let made = self.whole.ids(answer);
            if !self.made.is_empty() && self.made != made {
                return Err(format!("{self:?} became something else: {answer:?}"));
            }
            self.made = made;
        }
        Ok(Told::Complete)
    }

    /// Whether it is known what a complete upload has become: an empty append brings that answer again.
    pub(crate) fn is_known(&self) -> bool {
        !(self.whole.is_made() && self.made.is_empty())
    }

    pub(crate) fn idempotency_key(&self) -> String {
        if let Whole::Part(from) = self.whole {
            format!("\"prove-{}-{from}\"", self.key)
        } else {
            format!("\"prove-{}\"", self.key)
        }
    }

    fn is_complete(&self, offset: usize, answer: &Answer) -> bool {
        if answer.status == 409 {
            return false;
        }
        match self.dialect {
            Dialect::Draft => answer.header("Upload-Complete") == "?1",
            Dialect::Tus => {
                let offset_is_length = self.is_declared && offset == self.length;
                let told_length = answer.header("Upload-Length").parse() == Ok(offset);
                offset_is_length || told_length || !answer.header("Content-Location").is_empty()
            }
        }
    }

    /// The header fields of an append up to this offset.
    fn fields(&self, to: usize) -> Fields {
        let is_last = to == self.length;
        let mut fields = vec![("Upload-Offset", self.told.to_string())];
        match self.dialect {
            Dialect::Tus => {
                fields.extend([TUS, TUS_PIECE].map(owned));
                if is_last && !self.is_declared {
                    fields.push(("Upload-Length", self.length.to_string()));
                }
            }
            Dialect::Draft => fields.extend([
                owned(("Content-Type", "application/partial-upload")),
                owned(("Upload-Complete", if is_last { "?1" } else { "?0" })),
            ]),
        }
        fields
    }

    fn piece(&self, to: usize) -> Vec<u8> {
        self.bytes(self.told, to)
    }

    /// The bytes between two offsets.
    pub(crate) fn bytes(&self, from: usize, to: usize) -> Vec<u8> {
        self.whole.bytes(self.key, from, to)
    }

    fn bare(&self, client: &Client, method: &str) -> Result<Answer, String> {
        let fields: &[_] = match self.dialect {
            Dialect::Tus => &[TUS],
            Dialect::Draft => &[],
        };
        let answer = client.try_ask(method, &self.path(), fields);
        answer.map_err(|err| err.to_string())
    }

    fn path(&self) -> String {
        format!("/uploads/{}", self.id.as_ref().expect("it has begun"))
    }
}

/// Makes one file of complete partial uploads. It may be sent again: it has the key of that file.
pub(crate) fn put_together(client: &Client, key: u64, parts: &[Pieces]) -> Result<Answer, String> {
    let paths: Vec<_> = parts.iter().map(Pieces::path).collect();
    let fields = vec![
        ("Idempotency-Key", format!("\"prove-{key}\"")),
        ("Upload-Concat", format!("final;{}", paths.join(" "))),
        metadata(&key.to_string()),
        owned(TUS),
    ];
    let answer = client.try_post("/uploads", &borrowed(&fields), b"");
    answer.map_err(|err| err.to_string())
}

/// The metadata of a file by tus.
fn metadata(name: &str) -> (&'static str, String) {
    let [name, kind] = [name, "application/octet-stream"].map(|text| STANDARD.encode(text));
    let said = format!("filename {name},filetype {kind}");
    ("Upload-Metadata", said)
}

fn owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

fn borrowed(fields: &Fields) -> Vec<(&str, &str)> {
    let each = fields.iter();
    each.map(|(name, value)| (*name, value.as_str())).collect()
}
