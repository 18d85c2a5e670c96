//! A relay before a server: its link can be cut, and answers can be lost on it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What a relay does with connections that begin from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It passes all bytes on.
    Whole,
    /// The server gets each request; a client gets no byte of the answer, and then the end. Requests that begin
    /// with one of these are passed on as before.
    LosesAnswers { except: &'static [&'static str] },
    /// It closes each connection at once. Those that were open end, too.
    Cut,
}

/// Its thread ends with the process.
#[derive(Debug)]
pub struct Relay {
    /// `HOST:PORT` for the clients.
    pub address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    link: Link,
    open: Vec<TcpStream>,
    lost: usize,
}

impl Relay {
    /// A relay before the server at this `HOST:PORT`.
    pub fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State {
            link: Link::Whole,
            open: Vec::new(),
            lost: 0,
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let link = with(&shared, |state| state.link);
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                if link != Link::Cut {
                    let state = Arc::clone(&shared);
                    std::thread::spawn(move || pass_on(client, server, link, &state));
                }
            }
        });
        Self { address, state }
    }

    pub fn set(&self, link: Link) {
        let open = with(&self.state, |state| {
            state.link = link;
            if link == Link::Cut {
                std::mem::take(&mut state.open)
            } else {
                Vec::new()
            }
        });
        open.iter().for_each(end);
    }

    /// The number of answers that were lost.
    pub fn lost(&self) -> usize {
        with(&self.state, |state| state.lost)
    }
}

fn with<T>(state: &Mutex<State>, act: impl FnOnce(&mut State) -> T) -> T {
    act(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, link: Link, state: &Mutex<State>) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a file handle");
    let is_cut = with(state, |state| {
        state.open.extend([copy(&client), copy(&server)]);
        state.link == Link::Cut
    });
    let mut first = [0; 16 * 1024];
    let read = client.read(&mut first).unwrap_or(0);
    let begins = |start: &&str| first[..read].starts_with(start.as_bytes());
    let is_lost = matches!(link, Link::LosesAnswers { except } if !except.iter().any(begins));
    if read > 0 && !is_cut && server.write_all(&first[..read]).is_ok() {
        let (mut from, mut to) = (copy(&client), copy(&server));
        std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).unwrap_or_default();
            to.shutdown(Shutdown::Write).unwrap_or_default();
        });
        if is_lost {
            // By the first byte of its answer the server has carried the request out.
            server.read_exact(&mut [0]).unwrap_or_default();
            with(state, |state| state.lost += 1);
        } else {
            std::io::copy(&mut server, &mut client).unwrap_or_default();
        }
    }
    [client, server].iter().for_each(end);
}

/// It may have ended already.
fn end(stream: &TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap_or_default();
}
