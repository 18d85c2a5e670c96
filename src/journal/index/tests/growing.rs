//! Random steps of uploads that may still grow.

use super::world::World;
use crate::journal::record::tests::samples::{file, upload};
use crate::journal::record::{Body, Entry, File};

impl World {
    pub(super) fn begin_upload(&mut self) {
        if self.is_crowded() {
            return;
        }
        let id = self.new_id();
        let upload = upload(&[2, 3][..self.lots.draw(3)]);
        self.bodies.insert(id);
        let decided = self.index.begin_upload(id, upload.clone(), &mut self.log);
        self.decided(decided, [(id, Some(Entry::Upload(upload)))]);
    }

    pub(super) fn extend(&mut self) {
        let Some((id, Entry::Upload(mut upload))) = self.any() else {
            return;
        };
        let (at, is_new) = (upload.length().unwrap(), self.lots.draw(2) == 0);
        upload.lapses = self.now();
        let bytes = u64::try_from(self.lots.draw(5)).unwrap();
        match upload.extents.last_mut().filter(|_| !is_new) {
            Some(last) => *last += bytes,
            None => upload.extents.push(bytes),
        }
        let (index, log) = (&mut self.index, &mut self.log);
        let decided = index.extend(id, at, bytes, is_new, upload.lapses, log);
        self.decided(decided, [(id, Some(Entry::Upload(upload)))]);
    }

    pub(super) fn complete(&mut self) {
        let Some((id, Entry::Upload(upload))) = self.any() else {
            return;
        };
        let file = File {
            body: Body::Extents(upload.extents.clone()),
            subject: upload.subject,
            ..file(upload.length().unwrap())
        };
        let decided = self.index.complete(id, file.clone(), &mut self.log);
        self.decided(decided, [(id, Some(Entry::File(file)))]);
    }
}
