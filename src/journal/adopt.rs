//! Adopting: from nginx's spool file to a promise.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use super::answers::{AnswerTo, Request, Seat, Standing};
use super::entry::Record;
use super::error::AdoptError;
use super::layout::Room;
use super::rooms::{Place, Slot, Totals};
use super::volume::if_there;
use super::{Changed, Journal, point};
use crate::file::{FileId, FileMeta, FileName, MediaType, Metadata, UnixMillis, Window};
use crate::spool::{Received, SpooledBody};

/// What an upload says of itself.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name; without one the file is called by its id.
    pub filename: Option<FileName>,
    /// Its type.
    pub content_type: MediaType,
    /// What else its sender said of it.
    pub metadata: Metadata,
    /// The request that it answers, if that has a key.
    pub request: Option<Request>,
}

/// A promise: made after the last fsync and nowhere else. A 201 is rendered from nothing else.
#[derive(Debug)]
pub struct Adopted {
    pub(super) id: FileId,
    pub(super) meta: FileMeta,
    pub(super) standing: Standing,
}

/// Bytes of a record without its metadata, about; those of a name and a type as long as they may be
/// included.
const RECORD_BYTES: u64 = 1024;

/// Bytes that the record of a file with this metadata takes, about.
pub fn record_bytes(metadata: &Metadata) -> u64 {
    RECORD_BYTES + metadata.weight()
}

impl Draft {
    /// The record of the entry that this becomes.
    pub(super) fn record(self, seat: Seat, id: FileId, bytes: Window, time: SystemTime) -> Record {
        let meta = FileMeta {
            filename: self.filename.unwrap_or_else(|| FileName::of_id(id)),
            content_type: self.content_type,
            length: bytes.length,
            uploaded: UnixMillis::from_system_time(time),
            metadata: self.metadata,
            revision: None,
        };
        let answer = self.request.map(|request| AnswerTo {
            request,
            seat,
            is_deleted: false,
        });
        Record {
            answer,
            ..Record::new(id, meta, bytes.offset)
        }
    }
}

impl Adopted {
    /// The file's id.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The file's description.
    pub fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// How far it had come when this was made.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Notes how far it has come since.
    pub fn set_standing(&mut self, standing: Standing) {
        self.standing = standing;
    }
}

/// A record that is in its file.
pub(super) struct Written {
    pub(super) record: Record,
    /// Bytes of that file.
    pub(super) bytes: u64,
}

/// A body that has its name among the bodies.
pub(super) struct Placed<'a> {
    pub(super) id: FileId,
    file: PlacedFile<'a>,
    /// When it got that name.
    pub(super) changed: Changed,
}

enum PlacedFile<'a> {
    Spooled(&'a SpooledBody),
    /// It came with the head of its request.
    Written(File),
}

impl PlacedFile<'_> {
    fn file(&self) -> &File {
        match self {
            Self::Spooled(body) => body.file(),
            Self::Written(file) => file,
        }
    }

    fn modified(&self) -> io::Result<SystemTime> {
        match self {
            Self::Spooled(body) => Ok(body.modified()),
            Self::Written(file) => file.metadata()?.modified(),
        }
    }
}

impl Journal {
    /// Takes a body over. A small one goes into the log, as `log/adopt.rs` says; any other:
    ///
    /// 1. Admission: the journal is sound and below its marks.
    /// 2. The body gets a name of its own among the bodies; one that came with the head of its
    ///    request is written there.
    /// 3. The record is written into `tmp`, and set on its way to the disk: the fsync of the body
    ///    takes it along, and that of the record finds little left to do.
    /// 4. The body is fsynced: its bytes, and the time that its entity tag is made of.
    /// 5. The record is fsynced.
    /// 6. The directory of bodies is fsynced: from now on the body survives. An fsync that another
    ///    upload began after step 2 of this one does as well, if it has succeeded.
    /// 7. The record moves into `incoming`.
    /// 8. `incoming` is fsynced: this is the promise.
    ///
    /// | cut after | leaves | recovery |
    /// |---|---|---|
    /// | 1 | nothing | nothing to do |
    /// | 2 | a body without a record | removes it: nothing was promised |
    /// | 3 to 6 | the same, and a record in `tmp` | removes both |
    /// | 7 | an entry, perhaps | keeps it: whole, and at worst a file that nobody was told of |
    /// | 8 | the entry | keeps it |
    ///
    /// Runs to its end once begun, whether or not somebody still waits for the answer.
    ///
    /// # Errors
    /// [`AdoptError`]; nothing of the upload is kept then.
    pub fn adopt<'a>(
        &self,
        body: impl Into<Received<'a>>,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        let body = body.into();
        let window = Window::whole(body.length());
        let _reserved = self.admit(Totals::of(window.length))?; // 1
        if self.is_small(window.length) {
            self.adopt_into_log(body, draft)
        } else {
            self.adopt_admitted(body, window, draft)
        }
    }

    /// Steps 2 to 8, for a part of a body as for the whole.
    pub(super) fn adopt_admitted(
        &self,
        body: Received<'_>,
        window: Window,
        draft: Draft,
    ) -> Result<Adopted, AdoptError> {
        let placed = self.place_body(body)?; // 2
        let unpromised = Unpromised {
            journal: self,
            id: Some(placed.id),
        };
        point!("adopt.body-placed");
        let written = self.promise(&placed, window, draft)?; // 3 to 8
        unpromised.keep();
        Ok(self.enter(written.record, written.bytes, Place::Files))
    }

    /// Step 2. A name that is taken belongs to another entry: the next id is tried.
    pub(super) fn place_body<'a>(&self, body: Received<'a>) -> Result<Placed<'a>, AdoptError> {
        loop {
            let id = self.ids.next(SystemTime::now());
            let path = self.layout.body(id);
            let placed = match body {
                Received::Spooled(body) => self
                    .disk
                    .link(body.file(), &path)
                    .map(|()| PlacedFile::Spooled(body)),
                Received::Passed(bytes) => self.disk.create(&path, bytes).map(PlacedFile::Written),
            };
            match placed {
                Ok(file) => {
                    return Ok(Placed {
                        id,
                        file,
                        changed: self.bodies_sync.changed(),
                    });
                }
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => {
                    // A disk that fails half-way may leave the name.
                    self.undo(id);
                    return Err(at("place the body")(err));
                }
            }
        }
    }

    /// Steps 3 to 8.
    fn promise(
        &self,
        placed: &Placed<'_>,
        window: Window,
        draft: Draft,
    ) -> Result<Written, AdoptError> {
        let id = placed.id;
        let (written, file) = self.write_record(placed, Seat::alone(id), window, draft)?; // 3
        point!("adopt.record-written");
        self.sync_file(placed.file.file())
            .map_err(at("fsync the body"))?; // 4
        point!("adopt.body-fsynced");
        self.sync_file(&file).map_err(at("fsync the record"))?; // 5
        point!("adopt.record-fsynced");
        self.sync_bodies(placed.changed)?; // 6
        point!("adopt.bodies-fsynced");
        self.move_into_incoming(id)?; // 7
        point!("adopt.record-moved");
        self.sync_directory(&self.layout.room(Room::Incoming))
            .map_err(at("fsync incoming"))?; // 8
        point!("adopt.promised");
        // The kernel may have told another thread of a lost page that was ours.
        self.check_poison()?;
        Ok(written)
    }

    /// Step 3.
    pub(super) fn write_record(
        &self,
        placed: &Placed<'_>,
        seat: Seat,
        window: Window,
        draft: Draft,
    ) -> Result<(Written, File), AdoptError> {
        let id = placed.id;
        let uploaded = placed.file.modified().map_err(at("read the body's time"))?;
        let record = draft.record(seat, id, window, uploaded);
        let encoded = record.encode().map_err(at("encode the record"))?;
        let file = self
            .disk
            .create(&self.layout.record_in_writing(id), &encoded)
            .map_err(at("write the record"))?;
        self.disk.start_writing(&file);
        let bytes = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
        Ok((Written { record, bytes }, file))
    }

    /// Step 6.
    pub(super) fn sync_bodies(&self, changed: Changed) -> Result<(), AdoptError> {
        self.bodies_sync
            .make_last(changed, || self.sync_directory(&self.layout.bodies()))
            .map_err(at("fsync the bodies' directory"))
    }

    /// Step 7.
    pub(super) fn move_into_incoming(&self, id: FileId) -> Result<(), AdoptError> {
        self.disk
            .rename(
                &self.layout.record_in_writing(id),
                &self.layout.record(Room::Incoming, id),
            )
            .map_err(at("move the record into incoming"))
    }

    /// Tells memory of a promise that is made.
    pub(super) fn enter(&self, record: Record, record_bytes: u64, place: Place) -> Adopted {
        let slot = Slot {
            room: Room::Incoming,
            length: record.meta.length,
            record_bytes,
            is_begun: false,
            is_keyed: record.answer.is_some(),
            place,
        };
        self.index().insert(record.id, slot);
        self.learn(record.id, record.answer.as_ref());
        Adopted {
            id: record.id,
            meta: record.meta,
            standing: Standing::Pending,
        }
    }

    /// Takes back what an adoption without a promise left: the record first, as a body without a
    /// record is nothing, but a record without a body is a loss.
    fn undo(&self, id: FileId) {
        let leftovers = [
            self.layout.record(Room::Incoming, id),
            self.layout.record_in_writing(id),
            self.layout.body(id),
        ];
        for path in leftovers {
            if let Err(err) = if_there(self.disk.unlink(&path)) {
                log::error!("{}: cannot be removed: {err}", path.display());
                return;
            }
        }
    }
}

/// An adoption that may end without a promise, by an error or a panic: it is taken back then.
struct Unpromised<'a> {
    journal: &'a Journal,
    id: Option<FileId>,
}

impl Unpromised<'_> {
    /// It is promised.
    fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Unpromised<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.journal.undo(id);
        }
    }
}

/// Names the step of an I/O error, and tells a full disk from a broken one.
pub(super) fn at(step: &'static str) -> impl FnOnce(io::Error) -> AdoptError {
    move |source| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&source.kind()) {
            AdoptError::NoSpace(source)
        } else {
            AdoptError::Disk { step, source }
        }
    }
}
