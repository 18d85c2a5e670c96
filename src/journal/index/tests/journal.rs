//! An index with its log, for single steps.

use super::log::{Landed, Log};
use crate::file::FileId;
use crate::journal::index::{Coming, Index, Phase, Reading, Refused};
use crate::journal::record::tests::samples::file;
use crate::journal::record::{Body, File, LogTime, Settled, Why};
use crate::store::Sha256;

pub(super) const NOW: LogTime = LogTime(50);

pub(super) const SETTLED: Settled = Settled {
    at: LogTime(40),
    sha256: Sha256([3; 32]),
};

#[derive(Default)]
pub(super) struct Journal {
    pub(super) index: Index,
    pub(super) log: Log,
}

impl Journal {
    /// Makes a journal with these files, synced.
    pub(super) fn with(ids: &[FileId]) -> Self {
        let mut journal = Self::default();
        for &id in ids {
            journal
                .index
                .come(&Coming::file(id, linked(5)).unwrap(), &mut journal.log)
                .unwrap();
        }
        journal.sync();
        journal
    }

    pub(super) fn sync(&mut self) {
        self.log.write(self.index.oldest());
        for landed in self.log.sync() {
            let Landed {
                ticket,
                segment,
                place,
                ..
            } = landed;
            self.index.synced(ticket, segment, place);
        }
    }

    pub(super) fn phase(&self, id: FileId) -> Option<Phase> {
        self.index.get(id).map(|known| known.phase)
    }

    pub(super) fn delete(&mut self, id: FileId) -> Result<(), Refused> {
        let deleted = self.index.delete(id, NOW, (None, None), &mut self.log);
        deleted.map(|_| ())
    }

    pub(super) fn gone(&mut self, id: FileId) -> Result<(), Refused> {
        self.index.gone(id, &mut self.log).map(|_| ())
    }

    pub(super) fn settle(&mut self, id: FileId) -> Result<(), Refused> {
        self.index.settle(id, SETTLED, &mut self.log).map(|_| ())
    }

    pub(super) fn reading(&self, id: FileId) -> Reading {
        let known = self.index.get(id).unwrap();
        let base = self.log.read(known.base).unwrap();
        let change = known.change.map(|place| self.log.read(place).unwrap());
        Reading::new(id, &known, base, change).unwrap()
    }

    pub(super) fn copy(&mut self, reading: &Reading) -> Result<(), Refused> {
        self.index.copy(reading, &mut self.log).map(|_| ())
    }
}

pub(super) fn linked(length: u64) -> File {
    File {
        body: Body::Linked { offset: 0 },
        ..file(length)
    }
}

pub(super) fn why() -> Why {
    Why {
        attempts: 2,
        reason: "because".to_owned(),
    }
}
