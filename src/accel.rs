//! The names and addresses that nginx and the sidecar share: header names in, internal URIs out.
//!
//! `nginx.conf.d/gridspool/` uses each of them too. This room must never know what is behind the URIs.

use std::fmt::Write as _;

use md5::Digest as _;

use crate::file::{FileId, FileKey, FileMeta};

/// Names the spool file of a request's body; nginx sets it on every request, empty without a body.
pub const BODY_FILE: &str = "x-gridspool-body-file";

/// The body's length in bytes as nginx counted it, also for a chunked one.
pub const BODY_LENGTH: &str = "x-gridspool-body-length";

/// The longest body, in bytes, that may come with its head instead of a spool file: nginx keeps it in
/// memory.
pub const INLINE_BODY_BYTES: usize = 32 * 1024;

/// The client's address, set by nginx.
pub const CLIENT_ADDRESS: &str = "x-real-ip";

/// The whole target of the client's request, with the query. nginx asks about an upload by another
/// target.
pub const TARGET: &str = "x-gridspool-target";

/// The method of the upload about which nginx asks.
pub const METHOD: &str = "x-gridspool-method";

/// The name that nginx gives to a request to a resumable upload, to its question before the body, and to
/// the salvage of the body.
pub const REQUEST: &str = "x-gridspool-request";

/// The seconds since the request began, as nginx counted them: `0.004`.
pub const TOOK: &str = "x-gridspool-took";

/// The protocol of the client's request, such as `HTTP/1.1`.
pub const PROTOCOL: &str = "x-gridspool-protocol";

/// Says that another node has sent the request on.
pub const SENT_ON: &str = "x-gridspool-hop";

/// The signed statement of that node about the client's address. nginx takes it from the sidecar's answer.
pub const SENT_ON_FOR: &str = "x-gridspool-client";

/// nginx asks here before it reads the body of an upload.
pub const ADMISSION: &str = "/_gridspool/admission";

/// nginx asks here to credit the bytes of an append that broke off.
pub const SALVAGE: &str = "/_gridspool/salvage";

/// A balancer asks here before it sends an upload.
pub const ROOM_FOR_UPLOAD: &str = "/_gridspool/room";

/// The number of the node that has room.
pub const NODE: &str = "x-gridspool-node";

/// A token that comes with such an answer, and with the upload that follows it.
pub const ROOM: &str = "x-gridspool-room";

/// Tells nginx which of its locations refuses the upload; see [`refusal_location`].
pub const REFUSAL: &str = "x-gridspool-refusal";

/// The body of the answer of that location.
pub const PROBLEM: &str = "x-gridspool-problem";

/// The location that answers with this status.
pub fn refusal_location(status: u16) -> String {
    format!("@gridspool_refused_{status}")
}

/// Tells nginx to answer from an internal location.
pub const REDIRECT: &str = "x-accel-redirect";

/// The file's `Content-Disposition`, used only for bytes that nginx sends.
pub const DISPOSITION: &str = "x-gridspool-disposition";

/// The file's `Cache-Control`, used in the same way.
pub const CACHING: &str = "x-gridspool-caching";

/// With this query, nginx sends the whole file of an address below [`STORE`], even if a range is
/// asked for.
pub const WHOLE: &str = "whole=1";

/// With this query, nginx sends the whole file of an address below [`STORE`] without its cache, and
/// evaluates no condition: the sidecar has done so.
pub const JUDGED: &str = "judged=1";

/// The internal location over the journal's directory.
pub const JOURNAL: &str = "/_gridspool/journal";

/// The internal location for slices that come from the store.
pub const STORE: &str = "/_gridspool/store";

/// The internal location for slices of files of at most [`SMALL_FILE_BYTES`]: nginx reads those and
/// sends them together with their heads. It is below [`STORE`], so that an nginx that does not know
/// it serves them too.
pub const SMALL_STORE: &str = "/_gridspool/store/small";

/// The longest file, in bytes, that is sent from there.
pub const SMALL_FILE_BYTES: u64 = 16 * 1024;

/// The internal location for uploads that are read while they grow: nginx passes each piece on at once.
pub const LIVE: &str = "/_gridspool/live";

/// Tells nginx to pass an answer on as it comes.
pub const BUFFERING: &str = "x-accel-buffering";

/// The address at which nginx reads an upload while it grows.
pub fn live_uri(id: FileId) -> String {
    format!("{LIVE}/{id}")
}

/// The internal location that leads to other nodes. The number of the node that follows is for nginx's
/// log.
pub const PEER: &str = "/_gridspool/peer";

/// The same for uploads that may still grow.
pub const PEER_LIVE: &str = "/_gridspool/peer-live";

/// Tells nginx where another node is: `IP:PORT`, and the path there. Without a path the request goes there
/// as it is. nginx reads this in the sidecar's answers alone.
pub const PEER_ADDRESS: &str = "x-gridspool-peer";

/// The location from which nginx sends a request for a resumable upload, as it is, to another node.
pub const UPLOAD_AT_PEER: &str = "@gridspool_upload_at_peer";

/// The same for a body that nginx asks about before it reads it.
pub const BODY_TO_PEER: &str = "@gridspool_body_to_peer";

/// The address from which nginx sends a journal body. `room` is the directory of all bodies.
pub fn journal_uri(room: &str, id: FileId) -> String {
    format!("{JOURNAL}/{room}/{id}")
}

/// The address at which nginx gets slices of a committed file. It contains the entity tag, so that a
/// file which another driver replaced under the same id is never answered from the cached slices of the
/// old one.
pub fn store_uri(key: &FileKey, meta: &FileMeta) -> String {
    let location = if meta.length <= SMALL_FILE_BYTES {
        SMALL_STORE
    } else {
        STORE
    };
    format!("{location}/{}/{}", key.to_segment(), version(meta))
}

/// Bytes in a slice of a committed file; `slices.conf` has the same number.
pub const SLICE_BYTES: u64 = 2040 * 1024;

/// Digits of an MD5 digest.
const DIGEST_DIGITS: usize = 32;

/// Digits in the names of the first directories of nginx's cache, and of those in them (`levels=1:2`).
const FIRST_LEVEL_DIGITS: usize = 1;
const SECOND_LEVEL_DIGITS: usize = 2;

/// The slices of one content in nginx's cache.
#[derive(Debug, Clone)]
pub struct Slices {
    uri: String,
    length: u64,
}

impl Slices {
    /// All slices of this file.
    pub fn of(key: &FileKey, meta: &FileMeta) -> Self {
        Self {
            uri: store_uri(key, meta),
            length: meta.length,
        }
    }

    /// The file names of the slices below nginx's cache directory: the digest of a slice's key, in two
    /// levels of directories that are named by its last digits (`levels=1:2`).
    pub fn names(&self) -> impl Iterator<Item = String> {
        (0..self.length.div_ceil(SLICE_BYTES)).map(|slice| {
            let begin = slice * SLICE_BYTES;
            let key = format!("{}bytes={begin}-{}", self.uri, begin + SLICE_BYTES - 1);
            let mut digits = String::new();
            for byte in md5::Md5::digest(key) {
                // Writing to a string cannot fail.
                write!(digits, "{byte:02x}").unwrap_or_default();
            }
            let (rest, last) = digits.split_at(DIGEST_DIGITS - FIRST_LEVEL_DIGITS);
            let (_, middle) = rest.split_at(rest.len() - SECOND_LEVEL_DIGITS);
            format!("{last}/{middle}/{digits}")
        })
    }
}

/// The content to which a file of nginx's cache belongs, read from its head; `None` if it is not a
/// slice of [`STORE`].
pub fn content_in(head: &[u8]) -> Option<(FileKey, String)> {
    const MARK: &[u8] = b"\nKEY: ";
    let at = head.windows(MARK.len()).position(|bytes| bytes == MARK)?;
    let key = head
        .get(at + MARK.len()..)?
        .split(|&byte| byte == b'\n')
        .next()?;
    let path = str::from_utf8(key).ok()?.strip_prefix(STORE)?;
    let mut segments = path.rsplit('/');
    let version = segments.next()?.split("bytes=").next()?;
    let key = FileKey::from_segment(segments.next()?)?;
    Some((key, version.to_owned()))
}

/// The part of [`store_uri`] that tells apart the contents of one key.
pub fn version(meta: &FileMeta) -> String {
    meta.etag().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_nginx_are_as_long_as_this_says_and_nobody_waits_for_its_second_look_at_a_lock() {
        let conf = include_str!("../nginx.conf.d/gridspool/slices.conf");
        let value = |directive: &str| {
            let line = conf.lines().find_map(|line| line.strip_prefix(directive));
            line.and_then(|line| line.trim().strip_suffix(';'))
        };
        let kibibytes = value("slice ").and_then(|text| text.strip_suffix('k'));
        let kibibytes = kibibytes.and_then(|text| text.parse::<u64>().ok());
        assert_eq!(kibibytes.map(|number| number * 1024), Some(SLICE_BYTES));
        let timeout = value("proxy_cache_lock_timeout ").and_then(|text| text.strip_suffix("ms"));
        let timeout = timeout.and_then(|text| text.parse::<u64>().ok());
        assert!(timeout.is_some_and(|milliseconds| milliseconds <= 10));
    }

    #[test]
    fn clients_that_resume_are_told_the_length_that_nginx_takes() {
        let body = include_str!("../nginx.conf.d/gridspool/body.conf");
        let gibibytes = body.lines().find_map(|line| {
            let value = line.strip_prefix("client_max_body_size ")?;
            value.strip_suffix("g;")?.parse::<u64>().ok()
        });
        let told = format!("\"max-size={}\"", gibibytes.unwrap() << 30);
        assert!(include_str!("../nginx.conf.d/gridspool.conf").contains(&told));
    }

    #[test]
    fn small_files_have_a_location_of_their_own_below_that_of_all_others() {
        let uri = |length| {
            let meta = FileMeta {
                length,
                ..FileMeta::sample()
            };
            store_uri(&FileKey::from_text("x"), &meta)
        };
        let is_small = |length| uri(length).starts_with(SMALL_STORE);
        assert!(is_small(SMALL_FILE_BYTES));
        assert!(!is_small(SMALL_FILE_BYTES + 1));
        assert!(SMALL_STORE.starts_with(STORE));
    }
}
