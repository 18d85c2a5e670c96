//! The kinds of requests that make something, and may have an idempotency key.

use kit::{Answer, Client, noise};

use super::TEXT;
use crate::upload_routing::{TUS, TYPE};

const BEGINS: (&str, &str) = ("Upload-Complete", "?0");
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A kind of request that may have a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: fn() -> Vec<u8>,
}

const MESSAGE: &[u8] = br#"{"message":{"a":1},"to":["bob"],"from":"alice"}"#;

fn form() -> Vec<u8> {
    let part = |content: &[u8]| {
        let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n";
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    [
        part(b"first"),
        part(&noise(2, 100_000)),
        b"--b--\r\n".to_vec(),
    ]
    .concat()
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind {
        name: "small",
        path: "/files",
        headers: &[TEXT],
        body: || b"small".to_vec(),
    },
    Kind {
        name: "large",
        path: "/files",
        headers: &[TEXT],
        body: || noise(1, 300_000),
    },
    Kind {
        name: "form",
        path: "/files",
        headers: &[FORM],
        body: form,
    },
    Kind {
        name: "message",
        path: "/messages",
        headers: &[JSON],
        body: || MESSAGE.to_vec(),
    },
    Kind {
        name: "tus",
        path: "/uploads",
        headers: &[TUS, ("Upload-Length", "10")],
        body: Vec::new,
    },
    Kind {
        name: "draft",
        path: "/files",
        headers: &[BEGINS, ("Upload-Length", "10")],
        body: Vec::new,
    },
];

/// Beginnings of uploads that have all bytes. An empty last piece completes them.
pub(crate) const WHOLE_BEGINNINGS: [Kind; 4] = [
    Kind {
        name: "tus",
        path: "/uploads",
        headers: &[TUS, TYPE, ("Upload-Length", "10")],
        body: || noise(3, 10),
    },
    Kind {
        name: "draft",
        path: "/files",
        headers: &[BEGINS, TEXT],
        body: || noise(4, 300_000),
    },
    Kind {
        name: "form",
        path: "/files",
        headers: &[BEGINS, FORM],
        body: form,
    },
    Kind {
        name: "message",
        path: "/messages",
        headers: &[BEGINS, JSON],
        body: || MESSAGE.to_vec(),
    },
];

impl Kind {
    pub(crate) fn send(&self, client: &Client, key: &str) -> Answer {
        let key = self.key(key);
        let headers = [self.headers, &[("Idempotency-Key", &key)]].concat();
        client.post(self.path, &headers, &(self.body)())
    }

    /// The key of a request of this kind.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{key}-{}", self.name)
    }
}
