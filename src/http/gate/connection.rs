//! The connection below the requests: it answers heads that cannot be read.
//!
//! actix refuses some heads that nginx passes on, such as heads with control characters or with a
//! hundred fields. It answers them before any handler, without a body, and closes the connection
//! without a header that says so: nginx would keep the connection and lose the next upload in it.
//! So this file replaces such an answer on its way out. It must never know what a request asks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::Problem;

/// A connection on which every answer is one of ours.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// Whether something was read since the last write. Only then the next write begins an answer, so bytes
    /// in the midst of a file are never replaced.
    is_asked: bool,
}

impl<S> Connection<S> {
    /// Wraps a stream, and replaces answers that leave by it.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            is_asked: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.is_asked |= buffer.filled().len() > before;
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let own = self.is_asked.then(|| instead_of(bytes)).flatten();
        let own = own.map(|problem| {
            log::debug!("a head could not be read: {problem}");
            problem.to_wire()
        });
        let leaving = own.as_deref().map_or(bytes, str::as_bytes);
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, leaving))?;
        self.is_asked = false;
        Poll::Ready(match own {
            None => Ok(written),
            Some(own) if written == own.len() => Ok(bytes.len()),
            // The answer is a line or two, and the first bytes since nginx's request: they fit into
            // the socket.
            Some(_) => Err(io::ErrorKind::WriteZero.into()),
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The beginning of the answers that actix gives by itself. Our answers all have a body.
const UNREADABLE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n";
const TOO_LONG: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n";

/// The problem that takes the place of such an answer.
fn instead_of(answer: &[u8]) -> Option<Problem> {
    if answer.starts_with(UNREADABLE) {
        Some(Problem::unreadable_head())
    } else if answer.starts_with(TOO_LONG) {
        Some(Problem::too_long_a_head())
    } else {
        None
    }
}

impl Problem {
    fn unreadable_head() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request could not be read.",
        )
    }

    fn too_long_a_head() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too-many-fields",
            "The request has more header fields than this server takes.",
        )
    }

    /// The whole answer as it stands on the wire, the last on its connection.
    fn to_wire(&self) -> String {
        let body = self.body();
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            self.status_code(),
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Returns the bytes that nginx gets when this answer follows a head, and when it leaves again
    /// without a head.
    async fn told(answer: &[u8]) -> (String, String) {
        let (ours, mut nginx) = tokio::io::duplex(1024);
        let mut connection = Connection::over(ours);
        nginx.write_all(b"a head").await.unwrap();
        connection.read_exact(&mut [0; 6]).await.unwrap();
        let mut texts = [String::new(), String::new()];
        for text in &mut texts {
            connection.write_all(answer).await.unwrap();
            let mut bytes = [0; 1024];
            let length = nginx.read(&mut bytes).await.unwrap();
            *text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        }
        texts.into()
    }

    #[tokio::test]
    async fn an_answer_of_actix_itself_is_replaced_and_a_file_that_looks_like_one_is_not() {
        for (answer, code) in [(UNREADABLE, "bad-request"), (TOO_LONG, "too-many-fields")] {
            let (answered, sent) = told(answer).await;
            assert!(answered.contains("connection: close\r\n"), "{answered}");
            assert!(answered.contains(code), "{answered}");
            assert_eq!(sent.as_bytes(), answer);
        }
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
        ] {
            assert_eq!(told(answer).await.0.as_bytes(), answer);
        }
    }
}
