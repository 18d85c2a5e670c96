//! Records as JSON, for admins: for `show`, and for salvaged files.

use serde_json::{Value, json};

use crate::file::{FileId, FileMeta, FileName, Metadata};
use crate::journal::record::{Base, Body, Change, Entry, File, Growth, Record, State, Upload, Why};
use crate::message::Belonging;

/// The content of a record.
pub fn words(record: &Record) -> Value {
    match record {
        Record::Base(Base::Entry(entry)) => entry_words(entry),
        Record::Base(Base::Form(form)) => {
            let kind = if form.message.is_some() {
                "message"
            } else {
                "form"
            };
            json!({ "kind": kind, "files": form.parts.len() })
        }
        Record::Base(Base::Answers(answers)) => {
            json!({ "kind": "answers", "files": answers.len() })
        }
        Record::Change(change) => change_words(change),
    }
}

/// The name of an entry's state.
pub fn state(entry: &Entry) -> &'static str {
    match entry {
        Entry::File(file) => match file.state {
            State::Waiting => "incoming",
            State::Deferred { .. } => "deferred",
            State::Held(_) => "hold",
            State::Settled(_) => "settled",
        },
        Entry::Upload(_) => "growing",
        Entry::Tombstone(_) => "deleted",
        Entry::Intent(_) => "intent",
    }
}

/// A file's description: a line in the list beside salvaged bodies.
pub(super) fn description(id: FileId, file: &File, state: &str) -> Value {
    let mut words = meta_words(&file.meta);
    add(&mut words, "id", json!(id.to_string()));
    add(&mut words, "state", json!(state));
    add_belonging(&mut words, &file.belonging);
    words
}

/// The same of an upload that may still grow. Its length is the offset.
pub(super) fn upload_description(id: FileId, upload: &Upload) -> Value {
    let mut words = upload_words(upload);
    add(&mut words, "id", json!(id.to_string()));
    add(&mut words, "state", json!("growing"));
    add(&mut words, "begun_ms", json!(upload.begun.0));
    add(&mut words, "metadata", pairs_of(&upload.metadata));
    if let Some(sub) = &upload.sub {
        add(&mut words, "sub", json!(**sub));
    }
    words
}

fn upload_words(upload: &Upload) -> Value {
    let mut words = json!({
        "filename": upload.filename.as_ref().map(FileName::as_str),
        "content_type": upload.content_type.as_str(),
        "becomes": upload.becomes.name(),
    });
    add_growth(&mut words, &upload.growth);
    words
}

fn entry_words(entry: &Entry) -> Value {
    let mut words = match entry {
        Entry::File(file) => {
            let mut words = meta_words(&file.meta);
            let body = match &file.body {
                Body::Inline => json!("inline"),
                Body::Linked { offset } => json!({ "file_from": offset }),
            };
            add(&mut words, "body", body);
            add_belonging(&mut words, &file.belonging);
            match &file.state {
                State::Waiting => {}
                State::Deferred { due, why } => {
                    add_why(&mut words, why);
                    add(&mut words, "due_log_ms", json!(due.0));
                }
                State::Held(why) => add_why(&mut words, why),
                State::Settled(settled) => {
                    add(&mut words, "sha256", json!(settled.sha256.to_string()));
                }
            }
            words
        }
        Entry::Upload(upload) => upload_words(upload),
        Entry::Tombstone(tombstone) => json!({
            "may_be_stored": tombstone.may_be_stored,
            "is_message": tombstone.message.is_some(),
        }),
        Entry::Intent(intent) => {
            let files = intent.files.iter().map(ToString::to_string);
            json!({ "files": files.collect::<Vec<_>>() })
        }
    };
    add(&mut words, "kind", json!("base"));
    add(&mut words, "state", json!(state(entry)));
    add(&mut words, "keyed", json!(entry.answer().is_some()));
    words
}

fn change_words(change: &Change) -> Value {
    let (kind, mut words) = match change {
        Change::Deferred { due, why } => {
            let mut words = json!({ "due_log_ms": due.0 });
            add_why(&mut words, why);
            ("deferred", words)
        }
        Change::Held(why) => {
            let mut words = json!({});
            add_why(&mut words, why);
            ("hold", words)
        }
        Change::Waiting => ("incoming", json!({})),
        Change::Settled(settled) => {
            let words = json!({ "sha256": settled.sha256.to_string(), "at_log_ms": settled.at.0 });
            ("settled", words)
        }
        Change::Grown(growth) => {
            let mut words = json!({});
            add_growth(&mut words, growth);
            ("growing", words)
        }
        Change::Gone => ("gone", json!({})),
    };
    add(&mut words, "kind", json!(kind));
    words
}

fn pairs_of(metadata: &Metadata) -> Value {
    let pairs = metadata.pairs();
    pairs.map(|(name, text)| json!([name, text])).collect()
}

fn meta_words(meta: &FileMeta) -> Value {
    json!({
        "filename": meta.filename.as_str(),
        "content_type": meta.content_type.as_str(),
        "length": meta.length,
        "uploaded_ms": meta.uploaded.0,
        "metadata": pairs_of(&meta.metadata),
    })
}

/// Adds the belonging of a file to messages, if it has one. A package has the whole message.
fn add_belonging(words: &mut Value, belonging: &Belonging) {
    if let Some(sub) = &belonging.sub {
        add(words, "sub", json!(**sub));
    }
    if let Some(message) = belonging.message {
        add(words, "message", json!(message.to_string()));
    }
    if belonging.message.is_some() || !belonging.links.is_empty() {
        let links = belonging.links.iter().map(ToString::to_string);
        add(words, "links", links.collect());
    }
    if belonging.was_linked {
        add(words, "was_linked", json!(true));
    }
    if let Some(package) = &belonging.package {
        add(words, "package", json!(**package));
    }
}

fn add_growth(words: &mut Value, growth: &Growth) {
    add(words, "length", json!(growth.length));
    add(words, "declared", json!(growth.declared));
    add(words, "expires_log_ms", json!(growth.lapses.0));
    add(words, "is_made", json!(growth.made.is_some()));
}

fn add_why(words: &mut Value, why: &Why) {
    add(words, "attempts", json!(why.attempts));
    add(words, "reason", json!(why.reason));
}

fn add(words: &mut Value, name: &str, value: Value) {
    if let Value::Object(pairs) = words {
        pairs.insert(name.to_owned(), value);
    }
}
