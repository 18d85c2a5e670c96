//! Requests that are written byte by byte, in ways that no ordinary client uses.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Site;
use crate::answer::{Answer, read_to_end};

/// A connection without a byte for this long fails the test.
const SILENCE: Duration = Duration::from_mins(1);

impl Site {
    /// A connection to nginx.
    pub fn connect(&self) -> TcpStream {
        let url = self.url();
        let address = url.strip_prefix("http://").expect("a URL");
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(SILENCE)).expect("a time-out");
        stream
    }

    /// Sends bytes to nginx; returns everything that comes back until nginx closes.
    pub fn wire(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // A refusal may come, and the connection may end, before everything is sent.
        stream.write_all(request).unwrap_or_default();
        read_to_end(stream)
    }

    /// Sends a request to nginx; it should say `Connection: close`.
    pub fn raw(&self, request: &[u8]) -> Answer {
        Answer::from_wire(&self.wire(request)).expect("an answer of nginx")
    }

    /// Sends only the head of a request. nginx waits for the body of a refused request; the caller
    /// need not wait for that.
    pub fn head_alone(&self, head: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(head).expect("a head");
        stream.shutdown(Shutdown::Write).expect("an end");
        Answer::from_wire(&read_to_end(stream)).expect("an answer of nginx")
    }

    /// Sends a request directly to the sidecar, which only nginx can do if the modes are right.
    pub fn raw_to_sidecar(&self, request: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).expect("a connection");
        stream.set_read_timeout(Some(SILENCE)).expect("a time-out");
        stream.write_all(request).unwrap_or_default();
        Answer::from_wire(&read_to_end(stream)).expect("an answer of the sidecar")
    }
}
