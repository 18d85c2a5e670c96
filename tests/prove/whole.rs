//! The wholes that uploads in pieces become, and what the ledger keeps of them.

use kit::{Answer, noise};

use crate::ledger::{Ledger, Message, State};
use crate::pieces::Pieces;
use crate::request::Request;

/// The whole that the pieces of an upload make.
#[derive(Debug, Clone)]
pub(crate) enum Whole {
    /// A file under the key of the upload.
    File,
    /// The bytes of that file from this offset on: the upload is partial.
    Part(usize),
    /// Several files. The first one has the key of the upload.
    Form(Request),
    /// A message under the key of the upload.
    Message(Message),
}

/// A file: its key, its length and its id.
pub(crate) type Complete = (u64, usize, String);

impl Whole {
    /// Where such an upload begins by the draft, and its type.
    pub(crate) fn target(&self) -> (&'static str, &'static str) {
        match self {
            Self::File | Self::Part(_) => ("/files", "application/octet-stream"),
            Self::Form(_) => ("/files", Request::FORM),
            Self::Message(_) => ("/messages", Request::FORM),
        }
    }

    pub(crate) fn is_partial(&self) -> bool {
        matches!(self, Self::Part(_))
    }

    /// Whether only the last answer names what it has become.
    pub(crate) fn is_made(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Message(_))
    }

    /// The body that a form or a message is.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        match self {
            Self::File | Self::Part(_) => None,
            Self::Form(request) => Some(request.form()),
            Self::Message(message) => Some(message.form()),
        }
    }

    /// The bytes of the upload with this key, between two offsets.
    pub(crate) fn bytes(&self, key: u64, from: usize, to: usize) -> Vec<u8> {
        let start = if let Self::Part(start) = self {
            *start
        } else {
            0
        };
        self.body().map_or_else(
            || noise(key, start + to).split_off(start + from),
            |body| body[from..to].to_vec(),
        )
    }

    /// The ids in an answer: those of the files of a form, or those of a message and its parts.
    pub(crate) fn ids(&self, answer: &Answer) -> Vec<String> {
        match self {
            Self::File | Self::Part(_) => Vec::new(),
            Self::Form(_) => Request::ids(answer),
            Self::Message(message) => {
                let Message {
                    state, part_ids, ..
                } = message.promised(answer);
                let own = state.id().map(str::to_owned);
                own.into_iter().chain(part_ids).collect()
            }
        }
    }
}

impl Ledger {
    /// Records that an upload in pieces is about to begin.
    pub(crate) fn begin(&self, pieces: &Pieces) {
        match &pieces.whole {
            Whole::File | Whole::Part(_) => self.send(pieces.key, pieces.length, false),
            Whole::Form(form) => {
                for (key, length) in &form.files {
                    self.send(*key, *length, false);
                }
            }
            Whole::Message(message) => self.set_message(message.clone()),
        }
        self.set_pieces(pieces);
    }

    /// Records that an upload in pieces was promised, and returns its files. Those of a message are found
    /// by the message alone.
    pub(crate) fn promise(&self, pieces: &Pieces) -> Vec<Complete> {
        self.set_pieces(pieces);
        let files = match &pieces.whole {
            Whole::File | Whole::Part(_) => {
                let id = pieces.id.clone().expect("it has begun");
                vec![(pieces.key, pieces.length, id)]
            }
            Whole::Form(form) => {
                let files = form.files.iter().zip(&pieces.made);
                files
                    .map(|((key, length), id)| (*key, *length, id.clone()))
                    .collect()
            }
            Whole::Message(message) => {
                let (own, parts) = pieces.made.split_first().expect("an answer");
                self.set_message(Message {
                    state: State::Promised(own.clone()),
                    part_ids: parts.to_vec(),
                    ..message.clone()
                });
                Vec::new()
            }
        };
        for (key, _, id) in &files {
            self.set(*key, State::Promised(id.clone()));
        }
        files
    }

    /// Records that an upload in pieces was ended before it became anything.
    pub(crate) fn end(&self, pieces: &Pieces) {
        let ended = State::Deleted(pieces.id.clone().expect("it has begun"));
        match &pieces.whole {
            Whole::File | Whole::Part(_) => self.set(pieces.key, ended),
            Whole::Form(form) => {
                for (key, _) in &form.files {
                    self.set(*key, ended.clone());
                }
            }
            Whole::Message(message) => self.set_message(Message {
                state: ended,
                ..message.clone()
            }),
        }
    }
}
