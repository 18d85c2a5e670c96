//! MongoDB's errors in words: code, name and message, of bounded length, without any part of a
//! document.
//!
//! Only this file looks at the text of a driver's error. The driver makes its texts for
//! programmers: they contain whole documents and keys, also in hexadecimal digits, and so the names
//! and contents of users' files. These must not get into a log, a status, a record or an answer.

use std::fmt::{self, Write as _};
use std::time::Duration;

use mongodb::bson::error::Error as BsonError;
use mongodb::error::{Error, ErrorKind, InsertManyError, WriteFailure};

/// The most characters of one message.
const MESSAGE_CHARACTERS: usize = 200;

/// The most servers that a text names.
const SERVERS: usize = 4;

/// The names of codes that come without one.
const NAMES: [(i32, &str); 10] = [
    (2, "BadValue"),
    (9, "FailedToParse"),
    (14, "TypeMismatch"),
    (22, "InvalidBSON"),
    (64, "WriteConcernFailed"),
    (85, "IndexOptionsConflict"),
    (112, "WriteConflict"),
    (121, "DocumentValidationFailure"),
    (10334, "BSONObjectTooLarge"),
    (DUPLICATE_KEY, "DuplicateKey"),
];

/// The code for a document with a key that exists already.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// MongoDB did not answer in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoAnswer(pub(super) Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer within {} ms", self.0.as_millis())
    }
}

/// Returns the text of a driver's error, in one line.
pub(super) fn of(err: &Error) -> String {
    of_kind(&err.kind)
}

/// Returns the text of one kind of error. A kind that is not listed here never occurs, or has
/// nothing to tell but its name.
pub(super) fn of_kind(kind: &ErrorKind) -> String {
    if let ErrorKind::Command(command) = kind {
        coded(command.code, &command.code_name, &command.message)
    } else if let ErrorKind::Write(failure) = kind {
        of_write(failure)
    } else if let ErrorKind::InsertMany(many) = kind {
        of_many(many)
    } else if let ErrorKind::ServerSelection { message, .. } = kind {
        no_server(message)
    } else if let ErrorKind::Io(err) = kind {
        plain(&err.to_string())
    } else if let ErrorKind::Authentication { message, .. }
    | ErrorKind::DnsResolve { message, .. }
    | ErrorKind::ConnectionPoolCleared { message, .. }
    | ErrorKind::InvalidTlsConfig { message, .. }
    | ErrorKind::InvalidArgument { message, .. }
    | ErrorKind::IncompatibleServer { message, .. }
    | ErrorKind::Transaction { message, .. }
    | ErrorKind::Internal { message, .. } = kind
    {
        plain(message)
    } else if let ErrorKind::Custom(custom) = kind {
        // This is our own error: an operation ran out of its time.
        if let Some(no_answer) = custom.downcast_ref::<NoAnswer>() {
            no_answer.to_string()
        } else {
            custom
                .downcast_ref::<String>()
                .map_or_else(|| "no reason is known".to_owned(), |text| plain(text))
        }
    } else if let ErrorKind::Bson(err) = kind {
        of_bson(err)
    } else if let ErrorKind::InvalidResponse { .. } = kind {
        "the server's reply cannot be read".to_owned()
    } else if let ErrorKind::Shutdown = kind {
        "the client has been shut down".to_owned()
    } else {
        "an error of the driver".to_owned()
    }
}

/// Returns the fault of a document: the kind of fault and the name of the field, never a value.
pub(super) fn of_bson(err: &BsonError) -> String {
    plain(&err.kind.to_string())
}

fn of_write(failure: &WriteFailure) -> String {
    match failure {
        WriteFailure::WriteError(err) => coded(
            err.code,
            err.code_name.as_deref().unwrap_or(""),
            &err.message,
        ),
        WriteFailure::WriteConcernError(err) => coded(err.code, &err.code_name, &err.message),
        _ => "a write failed".to_owned(),
    }
}

/// Returns the first error of an insert of many that says more than "exists already", or else the
/// first error.
fn of_many(many: &InsertManyError) -> String {
    let errors = many.write_errors.as_deref().unwrap_or_default();
    let telling = errors.iter().find(|one| one.code != DUPLICATE_KEY);
    if let Some(one) = telling.or(errors.first()) {
        let mut words = coded(
            one.code,
            one.code_name.as_deref().unwrap_or(""),
            &one.message,
        );
        if errors.len() > 1 {
            // Writing to a text cannot fail.
            write!(words, " (and {} more)", errors.len() - 1).unwrap_or_default();
        }
        words
    } else if let Some(err) = &many.write_concern_error {
        coded(err.code, &err.code_name, &err.message)
    } else {
        "an insert failed".to_owned()
    }
}

fn coded(code: i32, name: &str, message: &str) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == code);
    let name = match (name, known) {
        ("", Some((_, known))) => known,
        ("", None) => "no name",
        (name, _) => name,
    };
    format!("{code} {}: {}", plain(name), plain(message))
}

/// Returns one line of bounded length, up to the place where a document or a value begins.
fn plain(text: &str) -> String {
    let kept = text.get(..end_of_words(text)).unwrap_or_default();
    // The driver puts this word before an error that it quotes.
    let told = kept.replace("Kind: ", "");
    let words = told.split(|char: char| char.is_control() || char == ' ');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let words: String = words.join(" ").chars().take(MESSAGE_CHARACTERS).collect();
    if kept.len() < text.len() {
        format!("{} …", words.trim_end_matches([' ', ':', ',']))
    } else {
        words
    }
}

/// Returns the place where a message begins to quote something: a document, a text, or an addition
/// of the driver.
fn end_of_words(text: &str) -> usize {
    let mut before = ' ';
    let quoted = text.char_indices().find(|&(_, char)| {
        // Between letters this character is an apostrophe.
        let is_begin = match char {
            '{' | '"' | '`' => true,
            '\'' => !before.is_alphanumeric(),
            _ => false,
        };
        before = char;
        is_begin
    });
    let ends = [text.find("dup key"), text.find(", labels:")];
    let ends = ends.into_iter().flatten();
    ends.chain(quoted.map(|(place, _)| place))
        .min()
        .unwrap_or(text.len())
}

/// Describes servers that cannot be used. The driver tells everything about all servers; this keeps
/// their addresses and their last errors.
fn no_server(message: &str) -> String {
    let mut servers = message.split("Address: ").skip(1).map(|server| {
        let (address, rest) = server.split_once(", Type: ").unwrap_or((server, ""));
        let kind = rest.split([',', ' ']).next().unwrap_or_default();
        let said = rest.split_once("Error: Kind: ").map_or_else(
            || kind.to_owned(),
            |(_, said)| {
                said.split(", labels:")
                    .next()
                    .map(plain)
                    .unwrap_or_default()
            },
        );
        format!("{}: {said}", plain(address))
    });
    let named: Vec<_> = servers.by_ref().take(SERVERS).collect();
    let others = servers.count();
    match (named.is_empty(), others) {
        (true, _) => "no server is known".to_owned(),
        (false, 0) => format!("no server is fit for this ({})", named.join("; ")),
        (false, _) => format!(
            "no server is fit for this ({}; and {others} more)",
            named.join("; ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{deserialize_from_document as from_document, doc};
    use mongodb::error::{CommandError, WriteConcernError, WriteError};

    use super::*;

    /// A text that must not get out.
    const SECRET: &str = "needle";

    fn many(codes: &[i32]) -> ErrorKind {
        let errors: Vec<_> = codes
            .iter()
            .enumerate()
            .map(|(index, code)| {
                let message =
                    format!("E{code} collection: a.fs.chunks dup key: {{ x: '{SECRET}' }}");
                let index = i32::try_from(index).unwrap();
                doc! { "index": index, "code": code, "errmsg": message,
                "errInfo": { "consideredValue": SECRET } }
            })
            .collect();
        let many = doc! { "writeErrors": errors, "writeConcernError": null,
        "errorLabels": [] };
        ErrorKind::InsertMany(from_document(many).unwrap())
    }

    fn command(code: i32, name: &str, message: &str) -> ErrorKind {
        let command = doc! { "code": code, "codeName": name, "errmsg": message };
        let command: CommandError = from_document(command).unwrap();
        ErrorKind::Command(command)
    }

    #[test]
    fn errors_are_told_by_code_name_and_message_and_quote_nothing() {
        let write: WriteError = from_document(doc! {
            "code": 121, "errmsg": "Document failed validation",
            "errInfo": { "failingDocumentId": SECRET },
        })
        .unwrap();
        let concern: WriteConcernError = from_document(doc! {
            "code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out",
            "errInfo": { "writeConcern": { "w": SECRET } },
        })
        .unwrap();
        for (kind, expected) in [
            (
                many(&[11000, 11000]),
                "11000 DuplicateKey: E11000 collection: a.fs.chunks … (and 1 more)",
            ),
            (
                many(&[11000, 112]),
                "112 WriteConflict: E112 collection: a.fs.chunks … (and 1 more)",
            ),
            (many(&[7]), "7 no name: E7 collection: a.fs.chunks …"),
            (
                ErrorKind::Write(WriteFailure::WriteError(write)),
                "121 DocumentValidationFailure: Document failed validation",
            ),
            (
                ErrorKind::Write(WriteFailure::WriteConcernError(concern)),
                "64 WriteConcernFailed: waiting for replication timed out",
            ),
            (
                command(18, "AuthenticationFailed", "Authentication failed."),
                "18 AuthenticationFailed: Authentication failed.",
            ),
            (
                command(
                    9,
                    "FailedToParse",
                    "can't parse\n\u{1b}[1m 'needle' of {needle: 1}",
                ),
                "9 FailedToParse: can't parse [1m …",
            ),
            (command(2, "BadValue", "a \"needle\""), "2 BadValue: a …"),
            (
                command(2, "BadValue", "no such thing: {needle: 1}"),
                "2 BadValue: no such thing …",
            ),
        ] {
            let words = of_kind(&kind);
            assert_eq!(words, expected);
            assert!(!words.contains(SECRET), "{words}");
        }
        assert_eq!(
            plain("cleared because another operation failed with: Kind: SCRAM failure, labels: {}"),
            "cleared because another operation failed with: SCRAM failure …"
        );
        let long = of_kind(&command(1, "InternalError", &"word ".repeat(1000)));
        assert_eq!(long.chars().count(), "1 InternalError: ".len() + 200);
    }

    #[test]
    fn of_all_that_is_known_of_servers_addresses_and_their_last_words_are_told() {
        let server = |port: u32| {
            format!(
                "{{ Address: 127.0.0.1:{port}, Type: Unknown, Error: Kind: I/O error: Connection \
                 refused (os error 111), labels: {{}}, source: None }}"
            )
        };
        let message = |servers: &[String]| {
            format!(
                "Server selection timeout: No available servers. Topology: {{ Type: ReplicaSetNoPrimary, \
                 Set Name: rs0, Servers: [ {} ] }}",
                servers.join(", ")
            )
        };
        let refused = "Connection refused (os error 111)";
        assert_eq!(
            no_server(&message(&[server(1)])),
            format!("no server is fit for this (127.0.0.1:1: I/O error: {refused})")
        );
        let secondary = "{ Address: a:2, Type: RsSecondary, Average RTT: 1ms }".to_owned();
        assert_eq!(
            no_server(&message(&[secondary])),
            "no server is fit for this (a:2: RsSecondary)"
        );
        let six: Vec<_> = (1..7).map(server).collect();
        assert!(no_server(&message(&six)).ends_with("; and 2 more)"));
        assert_eq!(no_server(&message(&[])), "no server is known");
    }
}
