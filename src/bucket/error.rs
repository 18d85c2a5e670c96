//! The meaning of a driver's error for a file.

use std::collections::HashSet;

use mongodb::bson::error::Error as BsonError;
use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::words::{self, DUPLICATE_KEY, NoAnswer};
use crate::store::StoreError;

const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
const BSON_OBJECT_TOO_LARGE: i32 = 10334;
const BAD_VALUE: i32 = 2;
const NO_QUERY_EXECUTION_PLANS: i32 = 291;
const PLAN_EXECUTOR_FAILED: i32 = 96;
const WRITE_CONFLICT: i32 = 112;
const NAMESPACE_NOT_FOUND: i32 = 26;
const INDEX_OPTIONS_CONFLICT: i32 = 85;
const INDEX_KEY_SPECS_CONFLICT: i32 = 86;

/// Server codes that describe MongoDB's own state: none of them is the fault of a file. The list is
/// short on purpose: a code that is missing here delays one file, and a code too many stops all files.
const OUTAGES: [i32; 22] = [
    6,     // HostUnreachable
    7,     // HostNotFound
    13,    // Unauthorized
    18,    // AuthenticationFailed
    64,    // WriteConcernFailed: no majority in time
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    100,   // UnsatisfiableWriteConcern
    133,   // FailedToSatisfyReadPreference
    134,   // ReadConcernMajorityNotAvailableYet
    189,   // PrimarySteppedDown
    371,   // UserWritesBlocked
    391,   // ReauthenticationRequired
    9001,  // SocketException
    10058, // LegacyNotPrimary
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11601, // Interrupted
    11602, // InterruptedDueToReplStateChange
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
    14031, // OutOfDiskSpace
];

/// The codes among these that a second try over another connection may avoid.
const PASSING: [i32; 11] = [6, 7, 89, 91, 189, 9001, 10107, 11600, 11602, 13435, 13436];

/// Server codes that say that an operation took too long.
const TIME_OUTS: [i32; 3] = [
    50,  // MaxTimeMSExpired
    202, // NetworkInterfaceExceededTimeLimit
    262, // ExceededTimeLimit
];

/// Server codes that reject a value in the question.
const FAULTS_OF_THE_QUESTION: [i32; 7] = [
    2,                     // BadValue
    9,                     // FailedToParse
    14,                    // TypeMismatch
    15,                    // Overflow: nested too deep
    22,                    // InvalidBSON
    BSON_OBJECT_TOO_LARGE, // and so is what it says of a key
    17280,                 // KeyTooLong, of old members
];

/// Judges an error of a commit, or of the end of a delete.
///
/// Only errors in which MongoDB or the network speaks of itself are an outage, for which all files
/// wait. Any other error is the fault of this file: with an unlisted error one file waits, and not all
/// of them. A time-out may be either.
pub(super) fn of_commit(err: &Error) -> StoreError {
    let text = words::of(err);
    match code(err) {
        Some(DOCUMENT_VALIDATION_FAILURE | BSON_OBJECT_TOO_LARGE) => StoreError::Refused(text),
        Some(code) if OUTAGES.contains(&code) => StoreError::Unavailable(text),
        Some(code) if TIME_OUTS.contains(&code) => StoreError::TimedOut(text),
        Some(_) => StoreError::Failed(text),
        None if is_no_answer(err) => StoreError::TimedOut(text),
        None if is_of_the_file(err) => StoreError::Failed(text),
        None => StoreError::Unavailable(text),
    }
}

fn is_no_answer(err: &Error) -> bool {
    matches!(err.kind.as_ref(), ErrorKind::Custom(custom) if custom.is::<NoAnswer>())
}

/// Whether the driver complains about the data that it was given or that it received.
fn is_of_the_file(err: &Error) -> bool {
    matches!(
        err.kind.as_ref(),
        ErrorKind::InvalidArgument { .. }
            | ErrorKind::BsonSerialization(_)
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::Bson(_)
            | ErrorKind::InvalidResponse { .. }
            | ErrorKind::Custom(_)
    )
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

/// Whether no server could answer this question: it holds a value that BSON cannot write, or one that
/// MongoDB does not search for.
pub(super) fn is_of_the_question(err: &Error) -> bool {
    matches!(
        err.kind.as_ref(),
        ErrorKind::InvalidArgument { .. } | ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_)
    ) || code(err).is_some_and(|code| FAULTS_OF_THE_QUESTION.contains(&code))
}

/// Whether a second try may succeed at once: a connection broke, or its member is no longer primary.
pub(super) fn is_passing(err: &Error) -> bool {
    let is_network = matches!(
        err.kind.as_ref(),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }
    );
    is_network || code(err).is_some_and(|code| PASSING.contains(&code))
}

/// Whether an index with this key exists already, with other options.
pub(super) fn is_index_conflict(err: &Error) -> bool {
    matches!(
        code(err),
        Some(INDEX_OPTIONS_CONFLICT | INDEX_KEY_SPECS_CONFLICT)
    )
}

/// Whether there is no such collection.
pub(super) fn is_namespace_missing(err: &Error) -> bool {
    code(err) == Some(NAMESPACE_NOT_FOUND)
}

/// Whether a question may have named an index that does not exist.
pub(super) fn is_index_missing(err: &Error) -> bool {
    matches!(
        code(err),
        Some(BAD_VALUE | NO_QUERY_EXECUTION_PLANS | PLAN_EXECUTOR_FAILED)
    )
}

/// Whether the only fault is that the document of a single insert exists already.
pub(super) fn is_duplicate(err: &Error) -> bool {
    code(err) == Some(DUPLICATE_KEY)
}

/// Whether another operation changes the same document at this moment.
pub(super) fn is_conflict(err: &Error) -> bool {
    code(err) == Some(WRITE_CONFLICT)
}

/// The places of the documents that existed already, if that is the only fault of an insert of many.
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

/// The places of the documents that were not taken, for any reason, if that is the only fault of an
/// insert of many. All other documents then have a majority.
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

/// The server's code of the first fault other than a duplicate.
fn code(err: &Error) -> Option<i32> {
    let kind = err.kind.as_ref();
    if let ErrorKind::Command(command) = kind {
        Some(command.code)
    } else if let ErrorKind::Write(WriteFailure::WriteError(write)) = kind {
        Some(write.code)
    } else if let ErrorKind::Write(WriteFailure::WriteConcernError(concern)) = kind {
        Some(concern.code)
    } else if let ErrorKind::InsertMany(many) = kind {
        let errors = many.write_errors.iter().flatten();
        let first = errors
            .map(|one| one.code)
            .find(|&code| code != DUPLICATE_KEY);
        first.or(many
            .write_concern_error
            .as_ref()
            .map(|concern| concern.code))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{deserialize_from_document as from_document, doc};
    use mongodb::error::{CommandError, InsertManyError, WriteConcernError};

    use super::*;

    fn command(code: i32) -> Error {
        let command = doc! { "code": code, "codeName": "", "errmsg": "so it is" };
        ErrorKind::Command(from_document::<CommandError>(command).unwrap()).into()
    }

    /// The error of an insert of many: some documents were refused, and the others may have no
    /// majority.
    fn many(codes: &[i32], concern: Option<i32>) -> Error {
        let errors: Vec<_> = (0..)
            .zip(codes)
            .map(|(index, code)| doc! { "index": index, "code": code, "errmsg": "so it is" })
            .collect();
        let concern = concern.map(|code| doc! { "code": code, "codeName": "", "errmsg": "" });
        let many = doc! { "writeErrors": errors, "writeConcernError": concern, "errorLabels": [] };
        ErrorKind::InsertMany(from_document::<InsertManyError>(many).unwrap()).into()
    }

    #[test]
    fn an_outage_is_what_mongodb_or_the_network_says_and_all_else_is_the_files_own_fault() {
        let concern = doc! { "code": 64, "codeName": "", "errmsg": "" };
        let concern: WriteConcernError = from_document(concern).unwrap();
        let concern = ErrorKind::Write(WriteFailure::WriteConcernError(concern));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (err, expected) in [
            (command(10107), "not available"),
            (command(11600), "not available"),
            (many(&[], Some(64)), "not available"),
            (many(&[DUPLICATE_KEY], Some(91)), "not available"),
            (many(&[189], None), "not available"),
            (concern.into(), "not available"),
            (refused.into(), "not available"),
            (command(50), "answer in time"),
            (
                Error::custom(NoAnswer(std::time::Duration::from_secs(1))),
                "answer in time",
            ),
            (command(17262), "did not take"),
            (command(8000), "did not take"),
            (many(&[DUPLICATE_KEY, 17262], None), "did not take"),
            (Error::custom("a panic".to_owned()), "did not take"),
            (many(&[121], Some(64)), "refuses"),
            (command(10334), "refuses"),
        ] {
            let judged = of_commit(&err).to_string();
            assert!(judged.contains(expected), "{err:?}: {judged}");
        }
    }
}
