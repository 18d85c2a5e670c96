//! A relay before a server: its link can be cut or fall silent, and answers can be lost on it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// The pause after which a silent link is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It passes all bytes on.
    Whole,
    /// The server gets each request; a client gets no byte of the answer, and then the end. Requests that begin
    /// with one of these are passed on as before. It counts for connections that begin from now on.
    LosesAnswers { except: &'static [&'static str] },
    /// Bytes and new connections wait on it, as where packets are dropped.
    Silent,
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
    open: Vec<Weak<TcpStream>>,
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
        spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let (state, server) = (Arc::clone(&shared), server.clone());
                // Either end may have gone.
                spawn(move || pass_on(client, &server, &state).unwrap_or_default());
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
        open.iter()
            .filter_map(Weak::upgrade)
            .for_each(|stream| end(&stream));
    }

    /// The number of answers that were lost.
    pub fn lost(&self) -> usize {
        with(&self.state, |state| state.lost)
    }
}

fn with<T>(state: &Mutex<State>, act: impl FnOnce(&mut State) -> T) -> T {
    act(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The link, as soon as it is not silent.
fn loud(state: &Mutex<State>) -> Link {
    loop {
        let link = with(state, |state| state.link);
        if link != Link::Silent {
            return link;
        }
        sleep(PAUSE);
    }
}

fn pass_on(client: TcpStream, server: &str, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let link = loud(state);
    if link == Link::Cut {
        return Ok(());
    }
    let (client, server) = (Arc::new(client), Arc::new(TcpStream::connect(server)?));
    let is_cut = with(state, |state| {
        state.open.retain(|stream| stream.strong_count() > 0);
        state.open.extend([&client, &server].map(Arc::downgrade));
        state.link == Link::Cut
    });
    if is_cut {
        return Ok(());
    }
    let mut first = [0; 16 * 1024];
    let read = (&*client).read(&mut first)?;
    let begins = |start: &&str| first[..read].starts_with(start.as_bytes());
    let is_lost = matches!(link, Link::LosesAnswers { except } if !except.iter().any(begins));
    if read > 0 {
        loud(state);
        (&*server).write_all(&first[..read])?;
        let (from, to, shared) = (Arc::clone(&client), Arc::clone(&server), Arc::clone(state));
        spawn(move || pass(&from, &to, &shared).unwrap_or_default());
        if is_lost {
            // By the first byte of its answer the server has carried the request out.
            (&*server).read_exact(&mut [0]).unwrap_or_default();
            with(state, |state| state.lost += 1);
        } else {
            pass(&server, &client, state).unwrap_or_default();
        }
    }
    end(&client);
    end(&server);
    Ok(())
}

/// Passes bytes on until one end closes.
fn pass(mut from: &TcpStream, mut to: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes)?;
        loud(state);
        if length == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&bytes[..length])?;
    }
}

/// It may have ended already.
fn end(stream: &TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap_or_default();
}
