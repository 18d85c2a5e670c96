//! The answer to an idempotency key, as one node tells it to another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::IntakeError;
use super::key_claim::KeyClaim;
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, Sha256, UnixMillis};
use crate::journal::{
    Adopted, Becomes, Claim, Journal, MadeUpload, OpenUpload, Standing, Subject, UnderKey,
    UploadError, UploadState,
};

/// The owner's word about a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    /// No answer, and no request under way.
    Nothing,
    /// A request is under way.
    Running,
    /// Another request has the key.
    Other,
    /// The upload that it opened has ended.
    Ended,
    /// This witness voted for the attempt with this id, and has nothing of it.
    Voted(String),
    /// The files of the first answer.
    Answered(Vec<FileWord>),
    /// The upload that it opened.
    Open(Box<OpenWord>),
}

/// A file of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileWord {
    id: String,
    filename: String,
    #[serde(rename = "type")]
    content_type: String,
    length: u64,
    uploaded: u64,
    metadata: Vec<(String, String)>,
    standing: StandingWord,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StandingWord {
    Pending,
    Committed,
    Deleted,
}

/// An upload that may still grow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OpenWord {
    id: String,
    offset: u64,
    declared: Option<u64>,
    lapses: u64,
    begun: u64,
    filename: Option<String>,
    #[serde(rename = "type")]
    content_type: String,
    metadata: Vec<(String, String)>,
    sub: Option<String>,
    subject: u64,
    becomes: String,
}

/// The word about a claim that this node has just made for another one. The claim ends with this. Blocks.
pub(super) fn word_of(journal: &Journal, claim: Claim<Vec<Adopted>>) -> Result<Word, IntakeError> {
    Ok(match claim {
        Claim::First(running) => {
            journal.end_for_another_node(running)?;
            Word::Nothing
        }
        // A vote for another node is no answer of this one.
        Claim::Elsewhere(..) => Word::Nothing,
        Claim::Running => Word::Running,
        Claim::Other => Word::Other,
        Claim::Answered(answer) => Word::Answered(answer.iter().map(FileWord::of).collect()),
        Claim::Open(id) => {
            let state = journal.upload_state(id)?;
            state.map_or(Word::Ended, |state| word_of_state(id, &state))
        }
    })
}

/// The word about what a key has brought here, whatever the request said. Blocks.
pub(super) fn word_under(journal: &Journal, key: Sha256) -> Result<Word, IntakeError> {
    let id = match journal.under_key(key)? {
        UnderKey::Nothing => return Ok(Word::Nothing),
        UnderKey::Running => return Ok(Word::Running),
        UnderKey::Voted(attempt) => return Ok(Word::Voted(attempt.to_string())),
        UnderKey::One(id) => id,
    };
    if let Some(state) = journal.upload_state(id)? {
        return Ok(word_of_state(id, &state));
    }
    // It has left the journal.
    let mut answer = journal.answer_to(key)?.unwrap_or_default();
    answer.retain(|file| file.standing() != Standing::Deleted);
    Ok(if answer.is_empty() {
        Word::Nothing
    } else {
        Word::Answered(answer.iter().map(FileWord::of).collect())
    })
}

fn word_of_state(id: FileId, state: &UploadState) -> Word {
    match state {
        UploadState::Open(open) => Word::Open(Box::new(OpenWord::of(id, open))),
        UploadState::Complete { adopted, .. } => Word::Answered(vec![FileWord::of(adopted)]),
        UploadState::Made(made) => Word::Open(Box::new(OpenWord::of_made(id, made))),
        UploadState::Ended => Word::Ended,
    }
}

impl Word {
    /// The upload that may still grow, if it is about one.
    pub(super) fn open(&self) -> Option<FileId> {
        match self {
            Self::Open(open) => open.id.parse().ok(),
            Self::Nothing
            | Self::Running
            | Self::Other
            | Self::Ended
            | Self::Voted(_)
            | Self::Answered(_) => None,
        }
    }

    /// Whether it tells that no answer is there, and no request under way.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing | Self::Voted(_) => true,
            Self::Running | Self::Other | Self::Ended | Self::Answered(_) | Self::Open(_) => false,
        }
    }

    /// Returns what it means for the request: `Ok(None)` if the request is new. `None` if the word makes no
    /// sense.
    pub(super) fn claim(self) -> Option<Result<Option<KeyClaim>, IntakeError>> {
        Some(match self {
            Self::Nothing | Self::Voted(_) => Ok(None),
            Self::Running => Err(IntakeError::StillRunning),
            Self::Other => Err(IntakeError::KeyOfAnother),
            Self::Ended => Err(UploadError::Ended.into()),
            Self::Answered(files) => {
                let answer = files.into_iter().map(FileWord::read);
                Ok(Some(KeyClaim::Answered(answer.collect::<Option<_>>()?)))
            }
            Self::Open(open) => {
                let (id, open) = open.read()?;
                Ok(Some(KeyClaim::Open(id, Some(Box::new(open)))))
            }
        })
    }
}

impl FileWord {
    pub(super) fn of(adopted: &Adopted) -> Self {
        let meta = adopted.meta();
        Self {
            id: adopted.id().to_string(),
            filename: meta.filename.as_str().to_owned(),
            content_type: meta.content_type.as_str().to_owned(),
            length: meta.length,
            uploaded: meta.uploaded.0,
            metadata: pairs(&meta.metadata),
            standing: match adopted.standing() {
                Standing::Pending => StandingWord::Pending,
                Standing::Committed => StandingWord::Committed,
                Standing::Deleted => StandingWord::Deleted,
            },
        }
    }

    pub(super) fn read(self) -> Option<Adopted> {
        let meta = FileMeta {
            filename: FileName::from_claim(&self.filename)?,
            content_type: MediaType::parse(&self.content_type).ok()?,
            length: self.length,
            uploaded: UnixMillis(self.uploaded),
            metadata: metadata(self.metadata)?,
            revision: None,
        };
        let standing = match self.standing {
            StandingWord::Pending => Standing::Pending,
            StandingWord::Committed => Standing::Committed,
            StandingWord::Deleted => Standing::Deleted,
        };
        Some(Adopted::at_another_node(
            self.id.parse().ok()?,
            meta,
            standing,
        ))
    }
}

impl OpenWord {
    fn of(id: FileId, open: &OpenUpload) -> Self {
        Self {
            id: id.to_string(),
            offset: open.offset,
            declared: open.declared,
            lapses: open.lapses.0,
            begun: open.begun.0,
            filename: open.filename.as_ref().map(|name| name.as_str().to_owned()),
            content_type: open.content_type.as_str().to_owned(),
            metadata: pairs(&open.metadata),
            sub: open.sub.as_deref().map(str::to_owned),
            subject: open.subject.0,
            becomes: open.becomes.name().to_owned(),
        }
    }

    /// One that is complete: its sender gets the answer at the node that has it, by an empty last piece.
    fn of_made(id: FileId, made: &MadeUpload) -> Self {
        Self {
            id: id.to_string(),
            offset: made.length,
            declared: Some(made.length),
            lapses: UnixMillis::now().0,
            begun: 0,
            filename: None,
            content_type: MediaType::octet_stream().as_str().to_owned(),
            metadata: pairs(&made.metadata),
            sub: made.sub.as_deref().map(str::to_owned),
            subject: 0,
            becomes: made.becomes.name().to_owned(),
        }
    }

    fn read(self) -> Option<(FileId, OpenUpload)> {
        let open = OpenUpload {
            offset: self.offset,
            declared: self.declared,
            lapses: UnixMillis(self.lapses),
            begun: UnixMillis(self.begun),
            filename: self.filename.as_deref().and_then(FileName::from_claim),
            content_type: MediaType::parse(&self.content_type).ok()?,
            metadata: metadata(self.metadata)?,
            sub: self.sub.map(Arc::from),
            subject: Subject(self.subject),
            becomes: Becomes::named(&self.becomes)?,
        };
        Some((self.id.parse().ok()?, open))
    }
}

fn pairs(metadata: &Metadata) -> Vec<(String, String)> {
    let pairs = metadata.pairs();
    pairs
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

fn metadata(pairs: Vec<(String, String)>) -> Option<Metadata> {
    let mut metadata = Metadata::default();
    for (name, text) in pairs {
        metadata.add(name, text).ok()?;
    }
    Some(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_told() {
        let mut texts = Metadata::default();
        for (name, text) in [("a", "1"), ("a", "2"), ("\u{e4}", "line\nbreak")] {
            texts.add(name.to_owned(), text.to_owned()).unwrap();
        }
        let id = FileId::from_bytes([7; FileId::BYTES]);
        let meta = FileMeta {
            filename: FileName::from_claim("b\u{f6}se \"name\".txt").unwrap(),
            content_type: MediaType::parse("text/plain; charset=\"utf-8\"").unwrap(),
            length: u64::MAX,
            uploaded: UnixMillis(1_700_000_000_001),
            metadata: texts.clone(),
            revision: None,
        };
        let told = |word: &Word| -> Word {
            let text = serde_json::to_string(word).unwrap();
            assert!(!text.contains('\n'), "it would end a signature: {text}");
            serde_json::from_str(&text).unwrap()
        };
        for standing in [Standing::Pending, Standing::Committed, Standing::Deleted] {
            let adopted = Adopted::at_another_node(id, meta.clone(), standing);
            let word = told(&Word::Answered(vec![FileWord::of(&adopted)]));
            let Some(Ok(Some(KeyClaim::Answered(read)))) = word.claim() else {
                panic!("no answer");
            };
            assert_eq!((read[0].id(), read[0].meta()), (id, &meta));
            assert_eq!(read[0].standing(), standing);
        }
        let open = OpenUpload {
            offset: 3,
            declared: Some(9),
            lapses: UnixMillis(8),
            begun: UnixMillis(7),
            filename: None,
            content_type: MediaType::octet_stream(),
            metadata: texts,
            sub: Some("anna".into()),
            subject: Subject(5),
            becomes: Becomes::Message,
        };
        let word = told(&Word::Open(Box::new(OpenWord::of(id, &open))));
        let Some(Ok(Some(KeyClaim::Open(read, Some(state))))) = word.claim() else {
            panic!("no upload");
        };
        assert_eq!((read, format!("{state:?}")), (id, format!("{open:?}")));
        assert!(matches!(told(&Word::Nothing).claim(), Some(Ok(None))));
    }
}
