//! Answers of servers: reads them, and checks the rules for each kind.

use std::io::Read;

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads a whole answer from the wire; `None` if the bytes are no answer.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        let end = wire.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let (head, body) = wire.split_at(end + 4);
        let (first, headers) = str::from_utf8(head).ok()?.split_once("\r\n")?;
        let status = first.strip_prefix("HTTP/")?.split(' ').nth(1)?;
        Some(Self {
            status: status.parse().ok()?,
            headers: headers_of(headers),
            body: body.to_vec(),
        })
    }

    /// A header as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a text"))
    }

    /// Returns all headers, except those about the moment and the connection, and the digest, which
    /// is known only after the commit.
    pub fn lasting_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in ["date", "connection", "repr-digest"] {
            headers.remove(name);
        }
        headers
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|err| panic!("{err}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts that a browser that shows this answer runs nothing of it.
    pub fn assert_harmless(&self) {
        let kind = self.header("content-type").split('/').next();
        let policy = match (self.status, kind) {
            // The policy in the answer applies.
            (304, _) => None,
            (_, Some("audio" | "video")) => Some("default-src 'none'; media-src 'self'"),
            _ => Some("default-src 'none'; sandbox"),
        };
        let policies: Vec<_> = self
            .headers
            .get_all("content-security-policy")
            .iter()
            .collect();
        assert_eq!(policies, policy.into_iter().collect::<Vec<_>>(), "{self:?}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-site"),
            ("vary", "Origin"),
        ] {
            let values: Vec<_> = self.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name} of {self:?}");
        }
    }

    /// Asserts that this is a refusal by RFC 9457.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        // A client that saves answers must not save this one under the name of a file, nor cache it.
        for name in [
            "content-disposition",
            "etag",
            "last-modified",
            "accept-ranges",
        ] {
            assert!(!self.headers.contains_key(name), "{name} of {self:?}");
        }
        let caching = self.header("cache-control");
        assert!(matches!(caching, "" | "no-store"), "{self:?}");
        let json = self.json();
        let registry = match code {
            "mismatching-upload-offset" | "inconsistent-upload-length" => {
                "https://iana.org/assignments/http-problem-types#"
            }
            _ => "urn:gridspool:problem:",
        };
        assert_eq!(json["type"], format!("{registry}{code}"));
        assert_eq!(json["status"], status);
        assert!(!json["title"].as_str().expect("a title").is_empty());
        assert!(!json["detail"].as_str().expect("a detail").is_empty());
        self.assert_harmless();
    }
}

/// Reads a stream until it ends or breaks off.
pub fn read_to_end(mut stream: impl Read) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => wire.extend_from_slice(&buffer[..read]),
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither an answer nor an end after {wire:?}")
            }
            Ok(0) | Err(_) => return wire,
        }
    }
}

/// The headers in lines of `Name: value`; other lines are skipped.
pub(crate) fn headers_of(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = HeaderValue::from_str(value.trim()).expect("a value");
        headers.append(name, value);
    }
    headers
}
