//! Uploads that stop within their body.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::{Site, wait_until};

/// An upload that nginx has spooled in part. Dropping it hangs up.
#[derive(Debug)]
pub struct HalfUpload {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Site {
    /// Sends half of an upload, and waits until nginx has begun to spool it. No other upload may be
    /// running.
    pub fn half_upload(&self, body: &[u8]) -> HalfUpload {
        let spooled = self.names("spool").len();
        let url = self.url();
        let address = url.strip_prefix("http://").expect("a URL");
        let mut stream = TcpStream::connect(address).expect("a connection");
        let length = body.len();
        let head = format!(
            "POST /files HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
        );
        let (first, rest) = body.split_at(length / 2);
        stream.write_all(head.as_bytes()).expect("send the head");
        stream.write_all(first).expect("send half of the body");
        wait_until("nginx spools the body", || {
            self.names("spool").len() > spooled
        });
        HalfUpload {
            stream,
            rest: rest.to_vec(),
        }
    }
}

impl HalfUpload {
    /// Sends the rest; returns the answer as it came over the wire, or `None` without one.
    pub fn finish(mut self) -> Option<String> {
        self.stream.write_all(&self.rest).ok()?;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }
}
