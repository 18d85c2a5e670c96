//! Goes through the keys that were answered here, so that other nodes can be told of them, and takes answers of a
//! node that leaves.

use std::collections::HashSet;

use super::idempotency::{AnswerPlace, Fingerprint, Known, Standing};
use super::memory::News;
use super::record::{Answer, Answered, Growth, KeyedRequest, LogTime, PartOf, Subject, Upload};
use super::vote::VOTE;
use super::{Adopted, Journal, JournalError};
use crate::file::FileId;
use crate::store::Sha256;

/// Some of the answers that were given here, or of their keys.
#[derive(Debug)]
pub struct AnswerPage<T> {
    /// Each of them.
    pub answers: Vec<T>,
    /// The place to go on from; `None` if these are the last.
    pub place: Option<AnswerPlace>,
}

/// A file of an answer that one node hands over to another.
#[derive(Debug)]
pub struct HandedFile {
    /// The file.
    pub file: Adopted,
    /// The request that it answers.
    pub request: Fingerprint,
    /// The milliseconds since the answer.
    pub age: u64,
    /// The first file of the answer.
    pub first: FileId,
    /// The number of this file, from 0 on.
    pub position: u32,
    /// The number of all files.
    pub files: u32,
}

impl HandedFile {
    /// The most bytes of one without its texts, approximately.
    const BYTES: u64 = 2048;

    /// The bytes that it takes on its way, approximately.
    fn bytes(&self) -> u64 {
        Self::BYTES + self.file.meta().metadata.weight()
    }
}

impl Journal {
    /// The keys of the next answers behind a place, this many at most, each with its sender; votes for other nodes are
    /// none. An answer that comes meanwhile may be missed. Blocks.
    ///
    /// # Errors
    /// When the disk does not return an answer.
    pub fn answered_keys(
        &self,
        behind: Option<AnswerPlace>,
        most: usize,
    ) -> Result<AnswerPage<(Sha256, Subject)>, JournalError> {
        self.next_answers(
            behind,
            (most, 0),
            |_| 0,
            |known| {
                let request = known.first().map(|first| self.request_of(first));
                let request = request.transpose()?.flatten();
                Ok(request.map(|request| (request, (request.key, request.sender))))
            },
        )
    }

    /// The next answers in the same way, each with all its files, and about this many bytes of them; a page has at least
    /// one answer. If an upload has become several files, its beginning is answered with the upload, and these files
    /// behind it.
    ///
    /// # Errors
    /// When the disk does not return an answer.
    pub fn answers_to_hand_over(
        &self,
        behind: Option<AnswerPlace>,
        most: usize,
        most_bytes: u64,
    ) -> Result<AnswerPage<Vec<HandedFile>>, JournalError> {
        let bytes_of = |files: &Vec<HandedFile>| files.iter().map(HandedFile::bytes).sum();
        self.next_answers(behind, (most, most_bytes), bytes_of, |known| {
            if let [one] = known
                && let Some(upload) = self.upload(one.id)?
            {
                return self.handed_upload(one.id, &upload);
            }
            let mut files = Vec::with_capacity(known.len());
            let mut answered = None;
            for one in known {
                let Some((found, standing)) = self.answer_of(one)? else {
                    return Ok(None);
                };
                let Answer { request, part } = found.answer;
                answered = Some(request);
                let file = Adopted::at_another_node(one.id, found.meta, standing);
                files.push(self.handed(request, file, part));
            }
            Ok(answered.map(|request| (request, files)))
        })
    }

    /// The answer to the beginning of an upload; `None` if it has not become several files under a key.
    fn handed_upload(
        &self,
        id: FileId,
        upload: &Upload,
    ) -> Result<Option<(KeyedRequest, Vec<HandedFile>)>, JournalError> {
        let Growth { length, made, .. } = upload.growth;
        let (Some(Answer { request, .. }), Some(made)) = (upload.answer, made) else {
            return Ok(None);
        };
        let Some(mut made) = self.answer_to(made)? else {
            return Ok(None);
        };
        let whole = upload.complete(id, length, upload.begun, None).meta;
        made.insert(0, Adopted::with(id, whole, Standing::Committed));
        let files = u32::try_from(made.len()).unwrap_or(u32::MAX);
        let handed = (0..files).zip(made).map(|(position, file)| {
            let part = PartOf {
                first: id,
                position,
                files,
            };
            self.handed(request, file, part)
        });
        Ok(Some((request, handed.collect())))
    }

    fn handed(&self, request: KeyedRequest, file: Adopted, part: PartOf) -> HandedFile {
        HandedFile {
            file,
            request: Fingerprint {
                key: request.key,
                content: request.content,
                sender: request.sender,
            },
            age: self.now().0.saturating_sub(request.at.0),
            first: part.first,
            position: part.position,
            files: part.files,
        }
    }

    /// Takes answers of a node that leaves. An answer of this node under the same key stands. Returns whether all are
    /// here; if not, a request is under way under one of the keys. Blocks.
    ///
    /// # Errors
    /// The disk's error; the next call does the same again.
    pub fn take_handed_over(&self, answers: Vec<Vec<HandedFile>>) -> Result<bool, JournalError> {
        let mut claims = Vec::with_capacity(answers.len());
        let mut taken = Vec::new();
        for files in answers {
            let Some(&HandedFile {
                request,
                age,
                first,
                ..
            }) = files.first()
            else {
                continue;
            };
            let Some(claim) = self.claims.claim(request.key) else {
                return Ok(false);
            };
            claims.push(claim);
            let at = LogTime(self.now().0.saturating_sub(age));
            let Some(request) = self.heeded(request.answered(at), first)? else {
                continue;
            };
            let files = files.into_iter().map(|file| Answered {
                id: file.file.id(),
                meta: file.file.meta().clone(),
                answer: Answer {
                    request,
                    part: PartOf {
                        first: file.first,
                        position: file.position,
                        files: file.files,
                    },
                },
                is_deleted: file.file.standing() == Standing::Deleted,
            });
            let state = self.state();
            taken.extend(files.filter(|file| state.keys.lacks(file)));
        }
        self.pack(taken, News::Bring)?;
        Ok(true)
    }

    /// The keys of requests that are being carried out.
    pub fn claimed_keys(&self) -> HashSet<Sha256> {
        self.claims.all()
    }

    /// `most` are the most answers of a page, and the most bytes of several, which `bytes_of` tells. `read` returns the
    /// request of an answer, and what is wanted of it; `None` if it is not at its known place.
    fn next_answers<T>(
        &self,
        behind: Option<AnswerPlace>,
        (most, most_bytes): (usize, u64),
        bytes_of: impl Fn(&T) -> u64,
        read: impl Fn(&[Known]) -> Result<Option<(KeyedRequest, T)>, JournalError>,
    ) -> Result<AnswerPage<T>, JournalError> {
        let mut page = AnswerPage {
            answers: Vec::new(),
            place: behind,
        };
        let (mut before, mut bytes) = (None, 0);
        while page.answers.len() < most {
            let next = self.state().keys.next(page.place);
            let Some((place, known)) = next else {
                page.place = None;
                break;
            };
            let found = read(&known)?;
            // It may just have been moved.
            if found.is_none() && before.as_ref() != Some(&known) {
                before = Some(known);
                continue;
            }
            let own = found.filter(|(request, _)| request.content != VOTE);
            let own = own.map(|(_, answer)| answer);
            bytes += own.as_ref().map_or(0, &bytes_of);
            if bytes > most_bytes && !page.answers.is_empty() {
                break;
            }
            page.place = Some(place);
            page.answers.extend(own);
        }
        Ok(page)
    }
}
