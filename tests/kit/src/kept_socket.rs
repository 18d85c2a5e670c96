//! The socket that a service manager keeps open while the sidecar is started anew.

use std::os::unix::net::UnixListener;

use crate::Site;

impl Site {
    /// From its next start on, the sidecar inherits the socket for nginx.
    pub fn keep_socket_open(&mut self) {
        // Systemd passes it as the third handle, and the sidecar's own number beside it.
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        self.reconfigure(|builder| builder.wrap(&["bash", "-c", script, "bash"]));
        std::fs::remove_file(self.socket()).expect("a socket that nobody answers on");
        let socket = UnixListener::bind(self.socket()).expect("a socket");
        // Older versions of systemd ask for this queue.
        rustix::net::listen(&socket, 128).expect("a queue");
        self.inherited = Some(socket);
    }
}
