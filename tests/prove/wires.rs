//! The wires between nodes. Each node reaches each other one by a relay of its own, which can be cut; clients
//! and MongoDB reach all nodes without one.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::faults::pause;
use crate::random::Random;

/// The pause after which a silent wire is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// How a wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Sound,
    /// Bytes wait on it, as where packets are dropped.
    Silent,
    /// It resets its connections and refuses new ones.
    Refusing,
}

/// A relay from one node to another.
#[derive(Debug, Clone)]
struct Relay {
    state: Arc<AtomicU8>,
    /// The connections of now, to be reset.
    streams: Arc<Mutex<Vec<Weak<TcpStream>>>>,
}

/// All relays of a cluster, by the places of both nodes.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    relays: Vec<((usize, usize), Relay)>,
}

impl Wires {
    /// Lays a wire from the node at one place to that at another, which listens at this port. Returns the
    /// address by which the first one reaches it.
    pub(crate) fn lay(&mut self, from: usize, to: usize, port: u16) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let relay = Relay {
            state: Arc::new(AtomicU8::new(Wire::Sound.number())),
            streams: Arc::default(),
        };
        self.relays.push(((from, to), relay.clone()));
        spawn(move || relay.serve(&listener, port));
        format!("http://{address}")
    }

    /// Cuts the node at this place off from some of the others for a while, in one direction or in both.
    pub(crate) fn part(&self, place: usize, nodes: usize, random: &mut Random) {
        let mut others: Vec<_> = (0..nodes).collect();
        others.swap_remove(place);
        if random.below(2) == 0 {
            others = vec![random.pick(&others)];
        }
        let wire = random.pick(&[Wire::Silent, Wire::Refusing]);
        let ways = random.pick(&[[true, true], [true, false], [false, true]]);
        eprintln!("prove: {wire:?} between {place} and {others:?}, {ways:?}");
        for wire in [wire, Wire::Sound] {
            if ways[0] {
                self.set(place, &others, wire);
            }
            for other in others.iter().filter(|_| ways[1]) {
                self.set(*other, &[place], wire);
            }
            if wire != Wire::Sound {
                pause(random, 8_000);
            }
        }
    }

    /// Changes the wires from the node at this place that lead to one of these.
    fn set(&self, from: usize, to: &[usize], wire: Wire) {
        for (_, relay) in self
            .relays
            .iter()
            .filter(|((one, other), _)| *one == from && to.contains(other))
        {
            relay.set(wire);
        }
    }
}

impl Wire {
    fn number(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Silent => 1,
            Self::Refusing => 2,
        }
    }
}

impl Relay {
    fn set(&self, wire: Wire) {
        self.state.store(wire.number(), Ordering::SeqCst);
        if wire == Wire::Refusing {
            let mut streams = self.streams.lock().expect("the connections");
            for stream in streams.drain(..).filter_map(|stream| stream.upgrade()) {
                // It may have ended.
                stream.shutdown(Shutdown::Both).unwrap_or_default();
            }
        }
    }

    fn is(&self, wire: Wire) -> bool {
        self.state.load(Ordering::SeqCst) == wire.number()
    }

    fn serve(&self, listener: &TcpListener, port: u16) {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for stream in listener.incoming().flatten() {
            let relay = self.clone();
            spawn(move || relay.connect(stream, to).unwrap_or_default());
        }
    }

    /// Passes bytes on in both directions until one end closes.
    fn connect(&self, near: TcpStream, to: SocketAddr) -> io::Result<()> {
        while self.is(Wire::Silent) {
            sleep(PAUSE);
        }
        if self.is(Wire::Refusing) {
            return Ok(());
        }
        let (near, far) = (Arc::new(near), Arc::new(TcpStream::connect(to)?));
        let mut streams = self.streams.lock().expect("the connections");
        streams.retain(|stream| stream.strong_count() > 0);
        streams.extend([&near, &far].map(Arc::downgrade));
        drop(streams);
        let (relay, back) = (self.clone(), [Arc::clone(&far), Arc::clone(&near)]);
        let back = spawn(move || relay.pass(&back[0], &back[1]));
        self.pass(&near, &far)?;
        back.join().unwrap_or(Ok(()))
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut bytes)?;
            while self.is(Wire::Silent) {
                sleep(PAUSE);
            }
            if length == 0 {
                return to.shutdown(Shutdown::Write);
            }
            to.write_all(&bytes[..length])?;
        }
    }
}
