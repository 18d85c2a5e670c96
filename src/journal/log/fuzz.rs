//! What the readers of records and of the log must hold to, whatever is on the disk. Not in the
//! product: tests and fuzzers (`scripts/fuzz`) call this, each function with the bytes of one case.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::entry::{Record, check_line};
use super::frame::{self, Frame, GROUP_HEAD_BYTES, HEAD_BYTES, Seal};
use super::replay::Contents;

/// The first line of a record: what is read from it is read again from what is written of it, and its
/// numbers are those that stand there.
///
/// # Panics
/// When it is not.
pub fn record(bytes: &[u8]) {
    drop(Record::decode_any(bytes));
    let end = bytes.iter().position(|&byte| byte == b'\n');
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let whole = [line, check_line(line).as_bytes()].concat();
    if let Ok(record) = Record::decode_any(&whole) {
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        for (name, number) in [
            ("/uploaded_ms", record.meta.uploaded.0),
            ("/bodies/0/offset", record.window.offset),
            ("/bodies/0/length", record.window.length),
            ("/bodies/0/length", record.meta.length),
            ("/attempts", record.attempts.into()),
            ("/next_attempt_ms", record.next_attempt.0),
        ] {
            assert_eq!(told.pointer(name), Some(&number.into()), "{name}");
        }
        let reason = told.pointer("/reason").and_then(Value::as_str);
        assert_eq!(reason, record.reason.as_deref());
        let is_answer = told.pointer("/answer").is_some_and(Value::is_object);
        assert_eq!(is_answer, record.answer.is_some());
        let again = record.encode().map(|bytes| Record::decode_any(&bytes));
        assert!(
            matches!(&again, Ok(Ok(again)) if *again == record),
            "{again:?} of {record:?}"
        );
    }
}

/// The bytes of a frame, and those of a group: nothing beyond its end is read, and a frame that is
/// whole is the one that would be written.
///
/// # Panics
/// When it is not so.
pub fn log(bytes: &[u8]) {
    assert!(frame::decode(bytes).is_none_or(|(_, length)| length <= bytes.len()));
    let is_plain = bytes.starts_with(b"file");
    let frame = with_digest(bytes);
    match frame::decode(&frame) {
        Some((Frame::File { id, record, body }, length)) => {
            let front = frame.get(..24 + record.len()).unwrap_or_default();
            let front = frame::position(0, 0, record, body)
                .and_then(|position| frame::decode_front(position, front))
                .map(|front| (front.id, front.record, front.is_plain));
            assert_eq!(front, Some((id, record, is_plain)));
            let length_told = u32::try_from(body.len()).unwrap_or(u32::MAX);
            let written = frame::encode_file(id, record, length_told, |into| {
                into.copy_from_slice(body);
                Ok(())
            });
            // A frame of the first form differs in its first and last bytes.
            let compared = if is_plain { 4..length - 32 } else { 0..length };
            let is_same = written.is_ok_and(|(written, _)| {
                written.len() == length
                    && written.get(compared.clone()) == frame.get(compared.clone())
            });
            assert!(is_same, "{frame:?}");
        }
        Some((Frame::Gone(id), length)) => {
            // It has no bytes, whatever lengths it tells: those that we write have none.
            assert!(length <= frame.len() && !frame::encode_gone(id).is_empty());
        }
        None => {}
    }
    let seal = Seal::new(1, 2);
    for inner in [bytes, &frame] {
        let length = u64::try_from(GROUP_HEAD_BYTES + inner.len()).unwrap_or(u64::MAX);
        let place = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
        let segment = [&seal.head(), &seal.group_head(place, length), inner].concat();
        let contents = Contents::read(2, &segment);
        assert!(contents.frames.len() <= inner.len());
    }
    drop(Contents::read(2, &[&seal.head(), bytes].concat()));
}

/// A frame that lacks its digest, with the one that its kind asks for.
fn with_digest(bytes: &[u8]) -> Vec<u8> {
    let record_bytes = bytes.get(16..20).and_then(|bytes| bytes.first_chunk());
    let record_bytes = record_bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let body_at = usize::try_from(record_bytes).map_or(usize::MAX, |length| length + 24);
    let digest = match bytes.split_at_checked(body_at) {
        Some((before, body)) if bytes.starts_with(b"body") => Sha256::new()
            .chain_update(before)
            .chain_update(Sha256::digest(body))
            .finalize(),
        _ => Sha256::digest(bytes),
    };
    [bytes, &digest].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::testing::{cases, mutant};

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn mutants_of_records_are_read_or_refused(bytes in mutant("record")) {
            super::record(&bytes);
        }

        #[test]
        fn mutants_of_the_log_are_read_or_refused(bytes in mutant("log")) {
            super::log(&bytes);
        }
    }
}
