//! The meaning of keys, in a few lines without any index: each question searches a list.

use crate::file::FileId;
use crate::journal::idempotency::{Limits, Retained};
use crate::journal::record::{Answer, Answered, KeyedRequest, LogTime};
use crate::store::Sha256;

#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) id: FileId,
    pub(super) is_deleted: bool,
    pub(super) retained: Option<Retained>,
}

#[derive(Debug, Clone)]
struct Known {
    request: KeyedRequest,
    first: FileId,
    files: Vec<Option<File>>,
}

#[derive(Debug)]
pub(super) struct Model {
    limits: Limits,
    answers: Vec<Known>,
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        let answers = Vec::new();
        Self { limits, answers }
    }

    pub(super) fn learn(&mut self, id: FileId, answer: &Answer, now: LogTime) {
        let (request, part) = (answer.request, answer.part);
        let age = |known: &Known| (known.request.at, known.first);
        let known = self
            .answers
            .iter()
            .find(|one| one.request.key == request.key);
        let new = Known {
            request,
            first: part.first,
            files: vec![None; usize::try_from(part.files).unwrap()],
        };
        let is_later =
            known.is_none_or(|known| known.first != part.first && age(known) < age(&new));
        if is_later {
            self.forget(request.key);
            self.answers.push(new);
        }
        if let Some(file @ None) = self.file(answer) {
            *file = Some(File {
                id,
                is_deleted: false,
                retained: None,
            });
        }
        self.forget_old(now.max(request.at));
    }

    pub(super) fn needs(&mut self, answered: &Answered) -> bool {
        let is_deleted = answered.is_deleted;
        let file = self.file(&answered.answer).copied().flatten();
        file.is_some_and(|file| {
            file.id == answered.id && (file.retained.is_none() || (is_deleted && !file.is_deleted))
        })
    }

    pub(super) fn retained(&mut self, answered: &Answered) -> Option<Retained> {
        let file = self.file(&answered.answer).copied().flatten()?;
        file.retained.filter(|_| file.id == answered.id)
    }

    pub(super) fn retain(&mut self, answered: &Answered, at: Retained) {
        let (id, is_deleted) = (answered.id, answered.is_deleted);
        if let Some(Some(file)) = self.file(&answered.answer)
            && file.id == id
            && (file.is_deleted, file.retained.map(|before| before.place))
                < (is_deleted, Some(at.place))
        {
            *file = File {
                id,
                is_deleted,
                retained: Some(at),
            };
        }
    }

    pub(super) fn find(&self, key: Sha256) -> Option<Vec<File>> {
        let found = self.answers.iter().find(|one| one.request.key == key)?;
        found.files.iter().copied().collect()
    }

    pub(super) fn forget(&mut self, key: Sha256) {
        self.answers.retain(|one| one.request.key != key);
    }

    pub(super) fn forget_old(&mut self, now: LogTime) {
        let lifetime = u64::try_from(self.limits.lifetime.as_millis()).unwrap();
        self.answers
            .retain(|one| one.request.at.0 + lifetime > now.0);
        while self.files() > self.limits.files {
            let sender = |one: &Known| one.request.sender;
            let files = |of: &Known| -> usize {
                let others = self.answers.iter().filter(|one| sender(one) == sender(of));
                others.map(|one| one.files.iter().flatten().count()).sum()
            };
            let age = |one: &Known| (one.request.at, one.first);
            let most = self.answers.iter().map(files).max().unwrap();
            let crowds = self.answers.iter().filter(|one| files(one) == most);
            let oldest = crowds.min_by_key(|one| age(one)).unwrap().request.key;
            self.forget(oldest);
        }
    }

    pub(super) fn forget_lost(&mut self, has_entry: impl Fn(FileId) -> bool) {
        self.answers.retain(|one| {
            let mut files = one.files.iter();
            files.all(|file| file.is_some_and(|file| file.retained.is_some() || has_entry(file.id)))
        });
    }

    pub(super) fn files(&self) -> usize {
        let files = self
            .answers
            .iter()
            .map(|one| one.files.iter().flatten().count());
        files.sum()
    }

    /// The segment of each answer that is retained.
    pub(super) fn segments(&self) -> Vec<u64> {
        let files = self
            .answers
            .iter()
            .flat_map(|one| one.files.iter().flatten());
        let retained = files.filter_map(|file| file.retained);
        let mut segments: Vec<_> = retained.map(|retained| retained.segment).collect();
        segments.sort_unstable();
        segments
    }

    fn file(&mut self, answer: &Answer) -> Option<&mut Option<File>> {
        let mut answers = self.answers.iter_mut();
        let known = answers.find(|one| one.request.key == answer.request.key)?;
        let position = usize::try_from(answer.part.position).unwrap();
        let is_same = known.first == answer.part.first;
        known.files.get_mut(position).filter(|_| is_same)
    }
}
