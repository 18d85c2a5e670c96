//! One upload as it goes over the wire. It can be sent any number of times, and is always the same.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use kit::{Answer, Client, noise};

use crate::random::Random;

/// This is longer than any answer of a running sidecar takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A file, or a form with several files.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The key and the length of each file.
    pub(crate) files: Vec<(u64, usize)>,
    /// Whether it has an Idempotency-Key, which is the key of its first file.
    pub(crate) is_keyed: bool,
}

impl Request {
    /// The type of forms.
    pub(crate) const FORM: &str = "multipart/form-data; boundary=prove-x";

    /// Makes the upload of a single file under its key.
    pub(crate) fn keyed(key: u64, length: usize) -> Self {
        Self {
            files: vec![(key, length)],
            is_keyed: true,
        }
    }

    /// Sends the upload; `Err` tells why no answer comes.
    pub(crate) fn send(&self, client: &Client) -> Result<Answer, String> {
        let (headers, body) = self.head_and_body();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = client.try_post("/files", &headers, &body);
        answer.map_err(|err| err.to_string())
    }

    /// Sends the upload and hangs up at once.
    pub(crate) fn send_and_leave(&self, port: u16) -> io::Result<()> {
        let (headers, body) = self.head_and_body();
        hang_up(
            port,
            "POST /files",
            &headers,
            &body,
            (body.len(), Duration::ZERO),
        )
    }

    fn head_and_body(&self) -> (Vec<(&'static str, String)>, Vec<u8>) {
        let (first, length) = self.files[0];
        let mut headers = Vec::new();
        if self.is_keyed {
            headers.push(("Idempotency-Key", format!("\"prove-{first}\"")));
        }
        let body = if self.files.len() == 1 {
            let disposition = format!("attachment; filename=\"{first}\"");
            headers.push(("Content-Type", "application/octet-stream".to_owned()));
            headers.push(("Content-Disposition", disposition));
            noise(first, length)
        } else {
            headers.push(("Content-Type", Self::FORM.to_owned()));
            self.form()
        };
        (headers, body)
    }

    /// The body of several files.
    pub(crate) fn form(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, length) in &self.files {
            let head = format!(
                "--prove-x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{key}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(&noise(*key, *length));
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--prove-x--\r\n");
        body
    }

    /// Returns the ids in a 201, in the order of its files.
    pub(crate) fn ids(answer: &Answer) -> Vec<String> {
        let json = answer.json();
        let id = |file: &serde_json::Value| file["id"].as_str().expect("an id").to_owned();
        json["files"]
            .as_array()
            .map_or_else(|| vec![id(&json)], |files| files.iter().map(id).collect())
    }
}

/// The time that a client stays before it hangs up.
pub(crate) fn stay(random: &mut Random) -> Duration {
    Duration::from_millis(random.pick(&[0, 20, 100, 300]))
}

/// Sends the beginning of a request, with `sent` bytes of its body, stays for a moment, and hangs up. nginx asks before it
/// reads a body: of a client that does not stay it may keep nothing.
pub(crate) fn hang_up(
    port: u16,
    line: &str,
    fields: &[(&str, String)],
    body: &[u8],
    (sent, stay): (usize, Duration),
) -> io::Result<()> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let (fields, length) = (fields.concat(), body.len());
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(&body[..sent])?;
    sleep(stay);
    Ok(())
}
