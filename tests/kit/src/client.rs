//! An HTTP/1.1 client that accepts any answer.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::http::{Request, Response};
use ureq::typestate::{AgentScope, WithBody};
use ureq::{Agent, Body, RequestBuilder, SendBody};

use crate::Answer;

/// The buffers of a client that does not keep its connections, in bytes: the longest head, and more.
const BUFFER: usize = 16 * 1024;

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug, Clone)]
pub struct Client {
    pub agent: Agent,
    pub base: String,
}

/// A 201, read.
#[derive(Debug, Clone)]
pub struct Uploaded {
    pub id: String,
    /// `/files/{id}`.
    pub path: String,
    pub etag: String,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self::of(format!("http://127.0.0.1:{port}"), None)
    }

    /// A client of `http://HOST:PORT` that waits no longer than this for a whole answer.
    pub fn of(base: String, patience: Option<Duration>) -> Self {
        let agent = Self::settings(patience).build().new_agent();
        Self { agent, base }
    }

    /// Returns settings with which a client accepts every answer.
    pub fn settings(patience: Option<Duration>) -> ConfigBuilder<AgentScope> {
        Agent::config_builder()
            .timeout_global(patience)
            .http_status_as_error(false)
            .max_redirects(0)
    }

    /// A client with a new connection for each request. A kept connection may be closed while the next
    /// request is on its way (RFC 9112 §9.6), for example by a worker of nginx that ends after a
    /// reload: an upload without an answer would prove nothing.
    pub fn anew_each_time(port: u16, patience: Duration) -> Self {
        // A build for tests takes its time to fill larger buffers.
        let settings = Self::settings(Some(patience))
            .max_idle_connections(0)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER);
        Self {
            agent: settings.build().new_agent(),
            ..Self::new(port)
        }
    }

    /// Returns the same client, but with this bound on the wait for a whole answer.
    pub fn hurried(&self, patience: Duration) -> Self {
        Self::of(self.base.clone(), Some(patience))
    }

    /// GET; `None` without an answer.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        let answer = self.agent.get(self.url(path)).call().ok()?;
        read(answer).ok()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: Headers<'_>) -> Answer {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call().expect("an answer")).expect("a whole body")
    }

    /// A request without a body, by any method.
    pub fn ask(&self, method: &str, path: &str, headers: Headers<'_>) -> Answer {
        self.try_ask(method, path, headers).expect("an answer")
    }

    /// A request without a body that may get no whole answer.
    pub fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.agent.run(request.body(()).expect("a request"))?)
    }

    /// GET of an answer that may break off. Returns the status, the bytes that came, and whether these were
    /// all.
    pub fn try_read(
        &self,
        path: &str,
        headers: Headers<'_>,
    ) -> Result<(u16, Vec<u8>, bool), ureq::Error> {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.call()?;
        let mut bytes = Vec::new();
        let end = answer.body_mut().as_reader().read_to_end(&mut bytes);
        Ok((answer.status().as_u16(), bytes, end.is_ok()))
    }

    pub fn head(&self, path: &str) -> Answer {
        read(self.agent.head(self.url(path)).call().expect("an answer")).expect("a body")
    }

    pub fn delete(&self, path: &str) -> Answer {
        read(self.agent.delete(self.url(path)).call().expect("an answer")).expect("a body")
    }

    /// POST with a body of known length.
    pub fn post(&self, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
        self.try_post(path, headers, body).expect("an answer")
    }

    /// POST that may get no answer at all.
    pub fn try_post(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        send(self.agent.post(self.url(path)), headers, body)
    }

    /// PATCH with a body of known length.
    pub fn patch(&self, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
        self.try_patch(path, headers, body).expect("an answer")
    }

    /// PATCH that may get no answer at all.
    pub fn try_patch(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        send(self.agent.patch(self.url(path)), headers, body)
    }

    /// PUT with a body of known length.
    pub fn put(&self, path: &str, body: &[u8]) -> Answer {
        read(
            self.agent
                .put(self.url(path))
                .send(body)
                .expect("an answer"),
        )
        .expect("a body")
    }

    /// PUT with headers and a body of known length.
    pub fn put_with(&self, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
        self.try_put(path, headers, body).expect("an answer")
    }

    /// PUT that may get no answer at all.
    pub fn try_put(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        send(self.agent.put(self.url(path)), headers, body)
    }

    /// POST with a chunked body.
    pub fn post_chunked(&self, path: &str, mut body: &[u8]) -> Answer {
        let body = SendBody::from_reader(&mut body);
        read(
            self.agent
                .post(self.url(path))
                .send(body)
                .expect("an answer"),
        )
        .expect("a body")
    }

    /// Uploads by POST and expects a 201.
    pub fn upload(&self, body: &[u8]) -> Uploaded {
        let headers = [("Content-Type", "application/octet-stream")];
        Uploaded::read(&self.post("/files", &headers, body))
    }

    /// Sends a form of a text and of empty files.
    pub fn post_form(&self, bearer: Option<&str>, files: usize, text_bytes: usize) -> Answer {
        let part = "--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n\r\n";
        let text = "t".repeat(text_bytes);
        let text = format!("--b\r\nContent-Disposition: form-data; name=t\r\n\r\n{text}\r\n");
        let body = format!("{text}{}--b--", part.repeat(files));
        let authorization = bearer.map(|bearer| ("Authorization", bearer));
        let mut headers = vec![("Content-Type", "multipart/form-data; boundary=b")];
        headers.extend(authorization);
        self.post("/files", &headers, body.as_bytes())
    }

    /// Uploads a form of two files and expects a 201; returns their addresses.
    pub fn upload_form(&self, contents: [&[u8]; 2]) -> Vec<String> {
        let mut body = Vec::new();
        for content in contents {
            let head = "--b\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\n";
            for piece in [head.as_bytes(), content, b"\r\n"] {
                body.extend_from_slice(piece);
            }
        }
        body.extend_from_slice(b"--b--\r\n");
        let headers = [("Content-Type", "multipart/form-data; boundary=b")];
        let answer = self.post("/files", &headers, &body);
        assert_eq!(answer.status, 201);
        let json = answer.json();
        let files = json["files"].as_array().expect("a list").iter();
        files.map(|file| Uploaded::of(file).path).collect()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Uploaded {
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(
            answer.status,
            201,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let uploaded = Self {
            etag: answer.header("ETag").to_owned(),
            ..Self::of(&answer.json())
        };
        assert_eq!(answer.header("Location"), uploaded.path);
        uploaded
    }

    /// The words of an answer about one file.
    pub fn of(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        Self {
            id: text("id"),
            path: text("url"),
            etag: String::new(),
        }
    }
}

fn send(
    mut request: RequestBuilder<WithBody>,
    headers: Headers<'_>,
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send(body)?)
}

fn read(mut answer: Response<Body>) -> Result<Answer, ureq::Error> {
    let body = answer
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_vec()?;
    Ok(Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body,
    })
}
