//! Rules that the readers of frames must obey for any bytes on the disk. Not part of the product: tests
//! and fuzzers (`scripts/fuzz`) call this.

use super::bases::{Base, Entry};
use super::frame::{Frame, Record};
use crate::file::FileId;

/// The length of a frame's head in the fuzzer's input: kind, version, flags, number of inline bodies,
/// length, moment, and the length of each body.
const HEAD_BYTES: usize = 28;

/// Any head and record are refused, skipped, or read. A record that was read is written, and must read
/// back as the same.
///
/// # Panics
/// When it does not.
pub fn record(bytes: &[u8]) {
    let Some(frame) = frame(bytes) else {
        return;
    };
    let Ok(Some(record)) = frame.read() else {
        return;
    };
    let again = record.frame(frame.id);
    let again = again.and_then(|frame| frame.read());
    assert_eq!(again, Ok(Some(record.clone())), "of {frame:?}");
    if let Record::Base(Base::Form(form)) = &record {
        for (id, file) in form.files() {
            let alone = Frame::entry(id, &Entry::File(file.clone()));
            let alone = alone.and_then(|frame| frame.read());
            assert_eq!(
                alone,
                Ok(Some(Record::Base(Base::Entry(Entry::File(file)))))
            );
        }
    }
}

/// The frame in these bytes.
fn frame(bytes: &[u8]) -> Option<Frame> {
    let (head, record) = bytes.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| Some(u64::from_le_bytes(*head.get(at..)?.first_chunk()?));
    let &[kind, version, flags, bodies, ..] = head else {
        return None;
    };
    let body_length = u32::try_from(number(20)?).unwrap_or(u32::MAX);
    Some(Frame {
        kind,
        version,
        flags: flags.into(),
        id: FileId::from_bytes([7; FileId::BYTES]),
        length: number(4)?,
        moment: number(12)?,
        body_lengths: vec![body_length; bodies.into()],
        record: record.to_vec(),
    })
}

/// The bytes of a frame, for seeds.
#[cfg(test)]
pub(super) fn bytes(frame: &Frame) -> Vec<u8> {
    let flags = u8::try_from(frame.flags).unwrap();
    let bodies = u8::try_from(frame.body_lengths.len()).unwrap();
    let mut bytes = vec![frame.kind, frame.version, flags, bodies];
    let body_length = frame
        .body_lengths
        .first()
        .map_or(0, |&length| length.into());
    for number in [frame.length, frame.moment, body_length] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(&frame.record);
    bytes
}
