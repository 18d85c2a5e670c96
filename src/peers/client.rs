//! Sends questions to other nodes by HTTP. The client has a thread of its own: its connections cannot leave
//! the thread that opened them, and no question holds a thread while it waits for an answer.

use std::time::Duration;

use awc::http::Method;
use awc::{Client as HttpClient, Connector};
use bytes::Bytes;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout_at};

/// A node of the same network answers a connect within this time, or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A question with all that its way needs.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    /// Names and values. A value need not be ASCII.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// The whole answer has arrived by then, or counts as lost.
    pub(super) deadline: Instant,
    /// The longest body of the answer, in bytes.
    pub(super) longest: usize,
    /// The place among the questions to that node. It is free again when the question ends.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// The status and the body of an answer, or the cause of its absence.
pub(super) type Answer<T = String> = Result<(u16, T), String>;

/// Shared by reference. Its thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Client {
    requests: mpsc::UnboundedSender<(Request, oneshot::Sender<Answer<Bytes>>)>,
}

impl Client {
    pub(super) fn start() -> Self {
        let (requests, coming) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => LocalSet::new().block_on(&runtime, answer_all(coming)),
                Err(err) => log::error!("other nodes cannot be asked: {err}"),
            }
        });
        Self { requests }
    }

    /// Asks another node. Dropping the future takes a question back that only reads, and no other.
    pub(super) async fn ask(&self, request: Request) -> Answer<Bytes> {
        let (answer, answered) = oneshot::channel();
        let lost = || "the question was lost".to_owned();
        self.requests.send((request, answer)).map_err(|_| lost())?;
        answered.await.map_err(|_| lost())?
    }
}

async fn answer_all(
    mut coming: mpsc::UnboundedReceiver<(Request, oneshot::Sender<Answer<Bytes>>)>,
) {
    // Places bound the questions to each node. A bound on all would let one node starve the others.
    let connector = Connector::new().timeout(CONNECT_TIMEOUT).limit(0);
    let client = HttpClient::builder()
        .connector(connector)
        .disable_redirects()
        .disable_timeout()
        .no_default_headers()
        .finish();
    while let Some((request, mut answer)) = coming.recv().await {
        let client = client.clone();
        spawn_local(async move {
            let only_reads = request.method.is_safe();
            let asked = async {
                let deadline = request.deadline;
                let asked = timeout_at(deadline, send(&client, request)).await;
                asked.unwrap_or_else(|_| Err("does not answer in time".to_owned()))
            };
            let answered = tokio::select! {
                answered = asked => answered,
                () = answer.closed(), if only_reads => return,
            };
            // Nobody may wait for it any longer.
            drop(answer.send(answered));
        });
    }
}

async fn send(client: &HttpClient, request: Request) -> Answer<Bytes> {
    let Request {
        method,
        url,
        headers,
        longest,
        place: _place,
        ..
    } = request;
    let request = headers
        .into_iter()
        .fold(client.request(method, url), |request, (name, value)| {
            request.append_header((name.as_str(), value))
        });
    let mut answer = request.send().await.map_err(|err| err.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.body().limit(longest).await;
    let body = body.map_err(|err| format!("breaks its answer off: {err}"))?;
    Ok((status, body))
}

/// The answer, if its body is text.
pub(super) fn text((status, body): (u16, Bytes)) -> Answer {
    let text = String::from_utf8(body.into()).map_err(|_| "answers with no text".to_owned())?;
    Ok((status, text))
}
