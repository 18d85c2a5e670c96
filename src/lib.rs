//! gridspool: an upload and download sidecar for nginx that makes MongoDB GridFS fit for a busy
//! messaging platform.
//!
//! nginx does the slow byte work with the client; GridFS keeps the files; this crate stands
//! between them, and holds neither a client's connection open while bytes trickle nor a file in
//! memory.
//!
//! # The map
//! A module names only what stands to its left.
//!
//! ```text
//! file, config < message < spool, form, accel, store, token < journal, peers < linking < commit, delivery, intake < bucket, http < server, upkeep < main
//! ```
//!
//! | module | is | must never know |
//! |---|---|---|
//! | [`mod@file`] | ids, names, types, descriptions | disk, network, database |
//! | [`config`] | every setting, once | anything that runs |
//! | [`message`] | a message, its parts, and what senders say of them | disk, network, database |
//! | [`spool`] | the body of an upload; the proof that a header names a spool file | the journal |
//! | [`form`] | where the parts of a form are in its body | HTTP |
//! | [`accel`] | the words spoken with nginx | what is behind them |
//! | [`store`] | the port: where promises go, and the proof that they arrived | which database it is |
//! | [`token`] | what a bearer may do, and the proof of it | HTTP, the journal |
//! | [`journal`] | the promise on disk; synchronous | HTTP, MongoDB |
//! | [`peers`] | the other nodes, and how they know each other | where files are |
//! | [`linking`] | tying files to messages, wherever the file is | HTTP, MongoDB |
//! | [`commit`] | moving promises into the store, at its pace | HTTP, MongoDB |
//! | [`delivery`] | where a file is now | HTTP, MongoDB |
//! | [`intake`] | what all upload protocols share: quota, room, digests, keys, types, adopting | HTTP, any protocol |
//! | [`bucket`] | the store that GridFS is: the only MongoDB code | HTTP, the journal |
//! | [`http`] | the edge towards nginx: routes, and the grammars of heads; the only actix code | MongoDB |
//! | [`server`] | the wiring, and the order of start and stop | the insides of what it wires |
//! | [`upkeep`] | every file looked at, and what belongs to none cleared away | HTTP, a sidecar's insides |
//!
//! # The life of an upload
//! 1. nginx asks whether it should be taken, before it reads the body: token, size, type, rate, room.
//!    It then spools the whole body to a file, and sends the head alone, with the file's path in a
//!    header that it sets itself. A small body it reads into memory, and sends it with the head: that
//!    costs less than the question, which [`http`] then asks itself.
//! 2. [`http`] reads the head, and hands it to [`intake`]: [`spool::Spool::claim`] proves that the path is a
//!    fresh spool file, [`form::Parts`] finds the files of a form in it; digests, type, quota and key are looked
//!    at.
//! 3. [`journal::Journal::adopt`] writes a record into the log, and a small body with it: all that wait
//!    share one fdatasync. It links any other body into the journal before, and fsyncs it and its
//!    directory; one fsync of the bodies' directory serves all uploads that were there
//!    when it began. The result is an [`journal::Adopted`].
//! 4. A 201 is rendered from that, and from nothing else. nginx unlinks its own name of the file.
//!    An upload that comes again under its key gets the [`journal::Adopted`] of the first time.
//! 5. The journal itself announces the entry ([`journal::Announcement`]). [`commit::Committer`] takes it
//!    when it is due, small ones in groups, and gives way to clients that wait for the same processors.
//!    [`bucket`] writes it: chunks first, then the file's document, each with a majority, each harmless to
//!    repeat. A later attempt goes on where this one ends.
//! 6. The copy that a majority holds is read back and compared. The proof is a [`store::Committed`].
//! 7. [`journal::Journal::settle`] takes nothing but that proof. The body stays for a grace time.
//!
//! # The life of a download
//! 1. nginx sends the head of the request.
//! 2. [`delivery::Delivery::find`] looks into the journal, and then into the store, unless it did so
//!    a moment ago, and once for all who ask at the same time. The bytes of a small file come along with
//!    its description. A file that neither
//!    has may be on the disk of the node that made its id: nginx is sent there, as [`peers`] tells.
//! 3. [`http`] answers 304, 404, 412, 416, HEAD, empty files and small ones in memory
//!    itself. For the rest it sends nginx to an internal location, with the type and name of the file:
//!    the first for a slice at once, the others when nginx has it.
//! 4. A body in the journal is sent by nginx with sendfile; a part of a form as a committed file is.
//! 5. A committed file is sent from nginx's cache, slice by slice; a slice that is not there yet is
//!    streamed from GridFS by [`http`], chunk by chunk, each checked. All who want a slice at the same
//!    time share one read of it. A chunk that is longer than a slice waits for the next slice in a file without a name.
//! 6. Both routes give the same entity tag, so a download may begin on one and end on the other.
//!
//! # Glossary
//! | word | meaning |
//! |---|---|
//! | spool | nginx's directory of request bodies; a *spooled* body is a file in it, an *inline* body comes with its head |
//! | adopt | to turn a body into an entry of the journal |
//! | promise | an adopted entry whose record and body are durable; a `201` states it |
//! | entry | a file in the journal; its *room* (incoming, deferred, hold, settled, deleted) says how far it is |
//! | frame, group, segment | a record in the log; the frames that one fdatasync covers; a file of the log |
//! | base, change, fold | a frame with the whole state of an entry; one with news of it; the state that follows from all |
//! | step | a change of an entry: decided, marked and queued in one go, then synced, and only then told |
//! | announce, backlog | to say, behind the sync, that an entry has work for others; the committer's queue, made of that |
//! | commit, settle | to write an entry into the store; to record the proof that it is there |
//! | defer, hold | to wait before the next attempt of a commit; to wait for an admin |
//! | tombstone, evict | the base of a deleted entry; to remove the body of a settled one |
//! | poison | the state after a failed fsync: no promises until a restart |
//! | claim, fingerprint | the right to carry out a request with an `Idempotency-Key`; what that request is recognised by |
//! | peer, pass, owner | another node; the proof that a request comes from one; the node that made an id |
//! | slice, batch | the part of a file that nginx caches; the chunks that one question to MongoDB brings |
//!
//! # What is absent on purpose
//! - No byte of an upload passes through this process but those of small ones; none is kept in
//!   memory but batches of chunks on their way into GridFS, within a budget.
//! - No promise without an fsync, and none after an fsync has failed; unless `durability` is set
//!   to `os`, which is for measuring.
//! - No delete of a chunk on the way in: an attempt that failed leaves what it wrote.
//! - No database beside the journal: the state of an entry is the fold of its frames in the log.
//! - No answer that depends on MongoDB being up, but for files that are only there.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("points at which the process can be killed are for the proof alone");

pub mod accel;
pub mod bucket;
pub mod commit;
pub mod config;
pub mod delivery;
pub mod file;
pub mod form;
pub mod http;
pub mod intake;
pub mod journal;
pub mod linking;
pub mod message;
pub mod peers;
pub mod server;
pub mod spool;
pub mod store;
pub mod token;
pub mod upkeep;

#[cfg(test)]
mod testing;
