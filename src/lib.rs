//! gridspool: an upload and download sidecar for nginx that makes MongoDB GridFS fit for a busy
//! messaging platform.
//!
//! nginx does the slow byte work with the client, and GridFS keeps the files. This crate stands between
//! them. It holds no client's connection open while bytes trickle, and no file in memory.
//!
//! # The map
//! A module names only what stands to its left.
//!
//! ```text
//! file, config, blocking, courier, watchdog < message < spool, form, accel, store, token < journal, peers < linking < commit, delivery, intake, rescue < bucket, http < server, upkeep < main
//! ```
//!
//! | module | is | must never know |
//! |---|---|---|
//! | [`mod@file`] | ids, names, types, descriptions | disk, network, database |
//! | [`config`] | every setting, once | anything that runs |
//! | [`message`] | a message, its parts, and what senders say of them | disk, network, database |
//! | [`spool`] | the body of an upload; the proof that a header names a spool file | the journal |
//! | [`form`] | where the parts of a form are in its body | HTTP |
//! | [`accel`] | the header names and addresses that nginx and the sidecar share | the bytes behind them |
//! | [`store`] | the port through which promises leave the journal, and the proof that they arrived | which database it is |
//! | [`token`] | the rights of a bearer, and their proof | HTTP, the journal |
//! | [`journal`] | the promise on disk; synchronous | HTTP, MongoDB |
//! | [`peers`] | the other nodes, and how they know each other | where files are |
//! | [`linking`] | the links between files and messages, on every node | HTTP, MongoDB |
//! | [`commit`] | moving promises into the store, at its pace | HTTP, MongoDB |
//! | [`delivery`] | where a file is now | HTTP, MongoDB |
//! | [`intake`] | the rules that all upload protocols share: quota, room, digests, keys, types, adopting | HTTP, any protocol |
//! | [`rescue`] | the journal of a dead node, taken over | HTTP, MongoDB |
//! | [`bucket`] | the store in GridFS: the only MongoDB code | HTTP, the journal |
//! | [`http`] | the edge towards nginx: routes, and the grammars of heads; the only actix code | MongoDB |
//! | [`blocking`] | work that blocks, on threads of its own | what the work is |
//! | [`courier`] | answers for the tasks of a thread, told together | what they are |
//! | [`watchdog`] | the threads of this process, watched | what they do |
//! | [`server`] | the wiring, and the order of start and stop | the insides of the other modules |
//! | [`upkeep`] | the check of every file, and the removal of chunks without a file | HTTP, a sidecar's insides |
//!
//! # The life of an upload
//! 1. nginx asks the sidecar for permission before it reads the body: token, size, type, rate, room.
//!    It then spools the whole body to a file, and sends only the head, with the file's path in a
//!    header that it sets itself. nginx reads a small body into memory and sends it with the head: that
//!    costs less than the question, and [`http`] then checks the same itself.
//! 2. [`http`] reads the head, and hands it to [`intake`]: [`spool::Spool::claim`] proves that the path is
//!    a fresh spool file, and [`form::Parts`] finds the files of a form in it. [`intake`] checks digests,
//!    type, quota and key.
//! 3. [`journal::Journal::adopt`] writes a record into the log, and a small body with it: all uploads that
//!    wait share one fdatasync. It first links any other body into the journal, and fsyncs the body and
//!    its directory; one fsync of that directory serves all uploads that were there when it began. The
//!    result is a [`journal::Adopted`].
//! 4. [`http`] renders a 201 from that value, and from nothing else. nginx unlinks its own name of the file.
//!    A repeated upload with the same key gets the [`journal::Adopted`] of the first time.
//! 5. The journal announces the entry ([`journal::Announcement`]). [`commit::Committer`] takes it when it
//!    is due, and takes small entries in groups. It gives way to clients that wait for the same
//!    processors. [`bucket`] writes the chunks first and then the file's document, each with a majority.
//!    A repetition does no harm, and a later attempt goes on where this one ends.
//! 6. [`bucket`] reads back the copy that a majority holds, and compares it. The proof is a
//!    [`store::Committed`].
//! 7. [`journal::Journal::settle`] accepts only that proof. The body stays for a grace time.
//!
//! # The life of a download
//! 1. nginx sends the head of the request.
//! 2. [`delivery::Delivery::find`] looks into the journal, and then into the store, unless it did so a
//!    moment ago. One lookup serves all requests of the same time. The bytes of a small file come with
//!    its description. If neither has the file, the node that made its id may have it on its disk: nginx
//!    is sent there, as [`peers`] tells.
//! 3. [`http`] itself answers 304, 404, 412, 416, HEAD, empty files, and small files in memory. For any
//!    other answer it sends nginx to an internal location, with the type and name of the file. If there
//!    are several requests for one slice, the first goes at once, and the others when nginx has the slice.
//! 4. nginx sends a body in the journal with sendfile, and a part of a form like a committed file.
//! 5. nginx sends a committed file from its cache, slice by slice. [`http`] streams a missing slice from
//!    GridFS, chunk by chunk, and checks each chunk. All requests for a slice at the same time share one
//!    read of it. A chunk that is longer than a slice waits for the next slice in a file without a name.
//! 6. An upload that may still grow is read by `?live` alone. [`delivery::LiveUploads`] waits for the
//!    journal's announcements of more bytes, without a thread, and reads them in small pieces; nginx passes
//!    each piece on at once.
//! 7. Both routes give the same entity tag, so a download may begin on one and end on the other.
//!
//! # Glossary
//! | word | meaning |
//! |---|---|
//! | spool | nginx's directory of request bodies; a *spooled* body is a file in it, an *inline* body comes with its head |
//! | adopt | to turn a body into an entry of the journal |
//! | promise | an adopted entry with a durable record and a durable body; a `201` states it |
//! | entry | a file in the journal; its *room* (incoming, deferred, hold, settled, deleted) is its state |
//! | frame, group, segment | a record in the log; the frames that one fdatasync covers; a file of the log |
//! | base, change, fold | a frame with the whole state of an entry; a frame with its news; the state that follows from all its frames |
//! | step | a change of an entry: decided, marked and queued in one go, then synced, and only then told |
//! | announce, backlog | to report, after the sync, that an entry has work for others; the committer's queue of that work |
//! | commit, settle | to write an entry into the store; to record the proof that it is there |
//! | defer, hold | to wait before the next attempt of a commit; to wait for an admin |
//! | tombstone, evict | the base of a deleted entry; to remove the body of a settled one |
//! | poison | the state after a failed fsync: no promises until a restart |
//! | claim, fingerprint | the right to carry out a request with an `Idempotency-Key`; the digests that recognise that request |
//! | witness, vote, attempt | a node that keeps, for all nodes, who may carry a keyed request out; its word; one try to do so |
//! | peer, pass, owner | another node; the proof that a request comes from one; the node that made an id |
//! | slice, batch | the part of a file that nginx caches; the chunks that one question to MongoDB brings |
//!
//! # Absent on purpose
//! - No bytes of an upload pass through this process, except those of small uploads, and those that are read
//!   before the upload is complete. No bytes stay in
//!   memory, except batches of chunks on their way into GridFS, within a budget.
//! - No promise without an fsync, and none after an fsync has failed, unless `durability` is `os`, which is
//!   for measuring.
//! - No delete of a chunk on the way in: an attempt that failed leaves what it wrote.
//! - No database beside the journal: the state of an entry is the fold of its frames in the log.
//! - No answer depends on MongoDB, except for files that only MongoDB has.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("points at which the process can be killed are for the proof alone");

pub mod accel;
pub mod blocking;
pub mod bucket;
pub mod commit;
pub mod config;
pub mod courier;
pub mod delivery;
pub mod file;
pub mod form;
pub mod http;
pub mod intake;
pub mod journal;
pub mod linking;
pub mod message;
pub mod peers;
pub mod rescue;
pub mod server;
pub mod spool;
pub mod store;
pub mod token;
pub mod upkeep;
pub mod watchdog;

#[cfg(test)]
mod testing;
