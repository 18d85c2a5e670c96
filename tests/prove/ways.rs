//! The ways to all files: every node serves each of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kit::{Answer, Client, Cluster, Site};

use crate::request::PATIENCE;

/// The longest time that any route may serve a file that is gone, or refuse to delete one.
pub(crate) const ROUTES: Duration = Duration::from_secs(10);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// A client of each node.
pub(crate) struct Ways {
    clients: Vec<Client>,
    next: AtomicUsize,
}

impl Ways {
    pub(crate) fn to(cluster: &Cluster) -> Self {
        let ports = cluster.nodes.iter().map(Site::port);
        Self {
            clients: ports
                .map(|port| Client::anew_each_time(port, PATIENCE))
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The client of one node after another.
    pub(crate) fn any(&self) -> &Client {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.clients[next % self.clients.len()]
    }

    /// The client of the node at this place.
    pub(crate) fn at(&self, place: usize) -> &Client {
        &self.clients[place]
    }

    /// Deletes a thing. A node may take a busy one for down, and says then that it should be asked again.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, String> {
        self.ask_while(503, "DELETE", path)
    }

    /// Asks for a thing that was deleted. Other nodes than the one that deleted it may serve it for a moment.
    pub(crate) fn ask_for_deleted(&self, path: &str) -> Result<Answer, String> {
        self.ask_while(200, "GET", path)
    }

    /// Asks one node after another for as long as the answer has this status. A single node is asked once.
    fn ask_while(&self, status: u16, method: &str, path: &str) -> Result<Answer, String> {
        let begun = Instant::now();
        loop {
            let answer = self.any().try_ask(method, path, &[]);
            let goes_on = answer.as_ref().is_ok_and(|answer| answer.status == status);
            if !goes_on || self.clients.len() == 1 || begun.elapsed() > ROUTES {
                return answer.map_err(|err| err.to_string());
            }
            sleep(PAUSE);
        }
    }
}
