//! The meaning of a driver's error for a file.

use std::collections::HashSet;

use mongodb::bson::error::Error as BsonError;
use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::words;
use crate::store::StoreError;

pub(super) const DUPLICATE_KEY: i32 = 11000;
const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
const BSON_OBJECT_TOO_LARGE: i32 = 10334;
const WRITE_CONFLICT: i32 = 112;
const INDEX_OPTIONS_CONFLICT: i32 = 85;
const INDEX_KEY_SPECS_CONFLICT: i32 = 86;

/// Server codes that speak of the one document that was sent, and may not speak so next time.
const FAULTS_OF_THE_DOCUMENT: [i32; 4] = [
    2,  // BadValue
    9,  // FailedToParse
    14, // TypeMismatch
    22, // InvalidBSON
];

/// Server codes that speak of a value that was asked for.
const FAULTS_OF_THE_QUESTION: [i32; 7] = [
    2,                     // BadValue
    9,                     // FailedToParse
    14,                    // TypeMismatch
    15,                    // Overflow: nested too deep
    22,                    // InvalidBSON
    BSON_OBJECT_TOO_LARGE, // and so is what it says of a key
    17280,                 // KeyTooLong, of old members
];

/// Judges an error of a write.
///
/// Anything that is not known to be the file's own fault counts as the store's: an entry must not
/// be held because MongoDB was ill.
pub(super) fn of_write(err: &Error) -> StoreError {
    let text = words::of(err);
    match code(err) {
        Some(DOCUMENT_VALIDATION_FAILURE | BSON_OBJECT_TOO_LARGE) => StoreError::Refused(text),
        Some(code) if FAULTS_OF_THE_DOCUMENT.contains(&code) => StoreError::Failed(text),
        _ => StoreError::Unavailable(text),
    }
}

/// Judges an error of a read.
pub(super) fn of_read(err: &Error) -> StoreError {
    StoreError::Unavailable(words::of(err))
}

/// Judges a document that cannot be read.
pub(super) fn of_document(err: &BsonError) -> StoreError {
    StoreError::Damaged(format!(
        "a document cannot be read: {}",
        words::of_bson(err)
    ))
}

/// Whether a question can have no answer, whoever is asked: it holds a value that BSON cannot write
/// down, or one that MongoDB does not look for.
pub(super) fn is_of_the_question(err: &Error) -> bool {
    matches!(
        err.kind.as_ref(),
        ErrorKind::InvalidArgument { .. } | ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_)
    ) || code(err).is_some_and(|code| FAULTS_OF_THE_QUESTION.contains(&code))
}

/// Whether an index of this key exists already, with other options.
pub(super) fn is_index_conflict(err: &Error) -> bool {
    matches!(
        code(err),
        Some(INDEX_OPTIONS_CONFLICT | INDEX_KEY_SPECS_CONFLICT)
    )
}

/// Whether the only thing wrong is that the document of a single insert is there already.
pub(super) fn is_duplicate(err: &Error) -> bool {
    code(err) == Some(DUPLICATE_KEY)
}

/// Whether something else changes the same document just now.
pub(super) fn is_conflict(err: &Error) -> bool {
    code(err) == Some(WRITE_CONFLICT)
}

/// If the only thing wrong with an insert of many is that some are there already: which of them.
pub(super) fn duplicates(err: &Error) -> Option<Vec<usize>> {
    let ErrorKind::InsertMany(many) = err.kind.as_ref() else {
        return None;
    };
    if many.write_concern_error.is_some() {
        return None;
    }
    let errors = many.write_errors.as_deref().unwrap_or_default();
    let is_all = !errors.is_empty() && errors.iter().all(|one| one.code == DUPLICATE_KEY);
    is_all.then(|| errors.iter().map(|one| one.index).collect())
}

/// If the only thing wrong with an insert of many is that some were not taken, for whatever
/// reason: which of them. All others have a majority then.
pub(super) fn not_taken(err: &Error) -> Option<HashSet<usize>> {
    let ErrorKind::InsertMany(many) = err.kind.as_ref() else {
        return None;
    };
    if many.write_concern_error.is_some() {
        return None;
    }
    let errors = many.write_errors.as_deref().unwrap_or_default();
    (!errors.is_empty()).then(|| errors.iter().map(|one| one.index).collect())
}

/// The server's code for what went wrong first, other than a duplicate.
fn code(err: &Error) -> Option<i32> {
    let kind = err.kind.as_ref();
    if let ErrorKind::Command(command) = kind {
        Some(command.code)
    } else if let ErrorKind::Write(WriteFailure::WriteError(write)) = kind {
        Some(write.code)
    } else if let ErrorKind::InsertMany(many) = kind {
        let errors = many.write_errors.iter().flatten();
        errors
            .map(|one| one.code)
            .find(|&code| code != DUPLICATE_KEY)
    } else {
        None
    }
}
