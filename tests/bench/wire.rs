//! HTTP/1.1 on one kept connection, with as little work as possible: the generator shares the cores
//! with the servers.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::block::Body;

/// Bodies up to this length are copied behind the head, so that one call sends both.
const SMALL: u64 = 64 * 1024;
const BUFFER: usize = 256 * 1024;

const TUS: &str = "Tus-Resumable: 1.0.0\r\n";

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    head: Vec<u8>,
    body: Option<Body>,
    tail: Vec<u8>,
    /// The body that the answer must have, if it is compared.
    expected: Option<Body>,
}

impl Request {
    pub(crate) fn put(path: &str, body: Body) -> Self {
        Self::with_body("PUT", path, "application/octet-stream", b"", body, b"")
    }

    /// Makes a form of one file.
    pub(crate) fn form(path: &str, body: Body) -> Self {
        const BEFORE: &[u8] = b"--benchboundary\r\nContent-Disposition: form-data; name=\"file\"; \
            filename=\"file.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n";
        const AFTER: &[u8] = b"\r\n--benchboundary--\r\n";
        let media_type = "multipart/form-data; boundary=benchboundary";
        Self::with_body("POST", path, media_type, BEFORE, body, AFTER)
    }

    /// Makes a form. `before` holds all of it up to the last file's body, with that file's head at
    /// its end.
    pub(crate) fn multipart(path: &str, before: &[u8], body: Body) -> Self {
        let media_type = "multipart/form-data; boundary=benchboundary";
        Self::with_body(
            "POST",
            path,
            media_type,
            before,
            body,
            b"\r\n--benchboundary--\r\n",
        )
    }

    fn with_body(
        method: &str,
        path: &str,
        media_type: &str,
        before: &[u8],
        body: Body,
        after: &[u8],
    ) -> Self {
        let around = u64::try_from(before.len() + after.len()).expect("small");
        let length = body.length + around;
        let fields = format!("Content-Type: {media_type}\r\nContent-Length: {length}\r\n");
        let mut request = Self::bare(method, path, &fields);
        request.head.extend_from_slice(before);
        Self {
            body: Some(body),
            tail: after.to_vec(),
            ..request
        }
    }

    /// Begins a resumable upload of this length, by tus.
    pub(crate) fn begin_upload(length: u64) -> Self {
        let fields = format!("{TUS}Upload-Length: {length}\r\nContent-Length: 0\r\n");
        Self::bare("POST", "/uploads", &fields)
    }

    /// Appends a body to an upload.
    pub(crate) fn append(upload: &str, offset: u64, body: Body) -> Self {
        let length = body.length;
        let fields = format!(
            "{TUS}Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n"
        );
        Self {
            body: Some(body),
            ..Self::bare("PATCH", upload, &fields)
        }
    }

    /// Asks for the offset of an upload.
    pub(crate) fn offset(upload: &str) -> Self {
        Self::bare("HEAD", upload, TUS)
    }

    /// Makes a request of these header fields, each with its line end.
    fn bare(method: &str, path: &str, fields: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{fields}\r\n");
        Self {
            head: head.into_bytes(),
            body: None,
            tail: Vec::new(),
            expected: None,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::bare("GET", path, "")
    }

    pub(crate) fn get_range(path: &str, first: u64, length: u64) -> Self {
        let last = first + length - 1;
        Self::bare("GET", path, &format!("Range: bytes={first}-{last}\r\n"))
    }

    /// Returns the same request under an idempotency key.
    pub(crate) fn under_key(mut self, key: &str) -> Self {
        let line = self.head.windows(2).position(|two| two == b"\r\n");
        let end = line.expect("a request line");
        let field = format!("\r\nIdempotency-Key: {key}");
        self.head.splice(end..end, field.into_bytes());
        self
    }

    /// Returns the same request; its answer is compared with `body`, byte for byte.
    pub(crate) fn expecting(mut self, body: Body) -> Self {
        self.expected = Some(body);
        self
    }

    /// Returns the head alone, for slow clients.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns bytes of the body from here on, at most `length` of them; an empty slice without any.
    pub(crate) fn piece(&self, from: u64, length: u64) -> &'static [u8] {
        self.body.map_or(&[], |body| body.part(from, length).at(0))
    }

    /// Returns the bytes of the file that the request uploads.
    pub(crate) fn body_length(&self) -> u64 {
        self.body.map_or(0, |body| body.length)
    }
}

/// The parts of an answer that the benchmark looks at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// The offset of a resumable upload.
    pub(crate) offset: Option<u64>,
    pub(crate) length: u64,
    pub(crate) first_byte: Instant,
    pub(crate) is_as_expected: bool,
    /// The server closes the connection after this answer, as nginx does after its
    /// `keepalive_requests`.
    pub(crate) is_last: bool,
}

/// A connection that is kept between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
        })
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(request).await?;
        self.receive(request.expected).await
    }

    async fn send(&mut self, request: &Request) -> io::Result<()> {
        let Some(body) = request.body else {
            return self.stream.write_all(&request.head).await;
        };
        let mut sent = 0;
        if body.length <= SMALL {
            let mut whole = request.head.clone();
            while sent < body.length {
                let piece = body.at(sent);
                whole.extend_from_slice(piece);
                sent += u64::try_from(piece.len()).expect("small");
            }
            whole.extend_from_slice(&request.tail);
            return self.stream.write_all(&whole).await;
        }
        self.stream.write_all(&request.head).await?;
        while sent < body.length {
            let piece = body.at(sent);
            self.stream.write_all(piece).await?;
            sent += u64::try_from(piece.len()).expect("small");
        }
        self.stream.write_all(&request.tail).await
    }

    /// Sends raw bytes, for slow clients.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn receive(&mut self, expected: Option<Body>) -> io::Result<Answer> {
        let mut filled = 0;
        let mut first_byte = None;
        let end = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            first_byte.get_or_insert_with(Instant::now);
            filled += read;
            if let Some(end) = end_of_head(&self.buffer[..filled]) {
                break end;
            }
        };
        let Head {
            status,
            location,
            offset,
            length,
            is_last,
        } = parse(&self.buffer[..end])?;
        let mut is_as_expected = expected.is_none_or(|body| body.length == length);
        let mut taken = 0;
        let mut bytes = end..filled;
        loop {
            let piece = &self.buffer[bytes.clone()];
            if let Some(body) = expected.filter(|_| is_as_expected) {
                is_as_expected = body.has(taken, piece);
            }
            taken += u64::try_from(piece.len()).expect("small");
            if taken >= length {
                break;
            }
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = 0..read;
        }
        Ok(Answer {
            status,
            location,
            offset,
            length,
            first_byte: first_byte.expect("something was read"),
            is_as_expected,
            is_last,
        })
    }
}

/// A client with one connection at a time. It opens a new one when the server ends the old one.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Connection,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The error of the connection, in words.
    pub(crate) async fn of(address: SocketAddr) -> Result<Self, String> {
        let connection = Connection::open(address).await.map_err(in_words)?;
        Ok(Self {
            address,
            connection,
        })
    }

    /// Sends a request; returns the path that the answer's `Location` names, if there is one.
    ///
    /// # Errors
    /// A text, if the status is no 2xx, the body is not the expected one, or there is no answer.
    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<Option<String>, String> {
        self.ask(request).await.map(|answer| answer.location)
    }

    /// Does the same, and returns the whole answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        let answer = self.connection.exchange(request).await.map_err(in_words)?;
        if answer.is_last {
            *self = Self::of(self.address).await?;
        }
        match answer.status {
            200..300 if answer.is_as_expected => Ok(answer),
            200..300 => Err("not what was uploaded".to_owned()),
            status => Err(format!("status {status}")),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
fn in_words(err: io::Error) -> String {
    format!("connection: {err}")
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let found = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(found + 4)
}

/// The parts of an answer's head that the benchmark looks at.
struct Head {
    status: u16,
    location: Option<String>,
    offset: Option<u64>,
    length: u64,
    is_last: bool,
}

/// Parses the head of an answer. A head without a length is an error.
fn parse(head: &[u8]) -> io::Result<Head> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let head = str::from_utf8(head).map_err(|_| wrong("a head that is no text"))?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let header = |wanted: &str| {
        let named = head.lines().filter_map(|line| line.split_once(':'));
        let mut values = named.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map(|(_, value)| value.trim())
    };
    let number = |name| header(name).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| wrong("no status"))?;
    // This status has no body.
    let length = number("content-length").or((status == 204).then_some(0));
    Ok(Head {
        status,
        location: header("location").map(str::to_owned),
        offset: number("upload-offset"),
        length: length.ok_or_else(|| wrong("no content-length"))?,
        is_last: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    })
}
