//! Random steps of uploads that may still grow.

use super::world::World;
use crate::journal::index::Coming;
use crate::journal::record::tests::samples::{file, upload};
use crate::journal::record::{Becomes, Body, Entry, File, Growth, Upload};
use crate::store::Sha256;

impl World {
    pub(super) fn begin_upload(&mut self) {
        if self.is_crowded() {
            return;
        }
        let id = self.new_id();
        let upload = self.some_upload();
        self.bodies.insert(id);
        let coming = Coming::upload(id, upload.clone()).unwrap();
        let decided = self.index.come(&coming, &mut self.log);
        self.decided(decided, [(id, Some(Entry::Upload(upload)))]);
    }

    /// Its length is known, or not; it becomes a file, or a message.
    fn some_upload(&mut self) -> Upload {
        let upload = upload(0);
        let is_known = self.lots.draw(2) == 0;
        let is_message = self.lots.draw(2) == 0;
        Upload {
            becomes: if is_message {
                Becomes::Message
            } else {
                Becomes::File
            },
            growth: Growth {
                declared: upload.growth.declared.filter(|_| is_known),
                ..upload.growth
            },
            ..upload
        }
    }

    pub(super) fn grow(&mut self) {
        let Some((id, Entry::Upload(mut upload))) = self.any() else {
            return;
        };
        let (at, lapses) = (upload.growth.length, self.now());
        let bytes = u64::try_from(self.lots.draw(5)).unwrap();
        let declared = upload.growth.declared;
        let is_told_now = self.lots.draw(8) == 0;
        upload.growth = Growth {
            length: (at + bytes).min(40),
            declared: declared.or_else(|| is_told_now.then_some(40)),
            lapses,
            made: None,
        };
        if upload.becomes.is_made() && self.lots.draw(4) == 0 {
            upload.growth.made = Some(Sha256([7; 32]));
        }
        let growth = upload.growth;
        let decided = self.index.grow(id, at, growth, None, &mut self.log);
        self.decided(decided, [(id, Some(Entry::Upload(upload)))]);
    }

    pub(super) fn complete(&mut self) {
        let Some((id, Entry::Upload(upload))) = self.any() else {
            return;
        };
        let file = File {
            body: Body::Linked { offset: 0 },
            subject: upload.subject,
            ..file(upload.growth.length + 3)
        };
        let at = upload.growth.length;
        let decided = self.index.complete(id, at, &file, &mut self.log);
        self.decided(decided, [(id, Some(Entry::File(file)))]);
    }
}
