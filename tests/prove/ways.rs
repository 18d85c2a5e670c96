//! The ways to all files: every node serves each of them.

use std::fmt::Display;
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

    /// Deletes a thing.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, String> {
        self.ask_while(&[503], |client| client.try_ask("DELETE", path, &[]))
    }

    /// Asks for a thing that was deleted. Other nodes than the one that deleted it may serve it for a moment.
    pub(crate) fn ask_for_deleted(&self, path: &str) -> Result<Answer, String> {
        self.ask_while(&[200, 503], |client| client.try_ask("GET", path, &[]))
    }

    /// Asks until nodes are sure, and none is at work under the key.
    pub(crate) fn ask_until_sure<E: Display>(
        &self,
        ask: impl Fn(&Client) -> Result<Answer, E>,
    ) -> Result<Answer, String> {
        self.ask_while(&[409, 503], ask)
    }

    /// Asks one node after another for as long as the answer has one of these statuses: a node may take a busy one for
    /// down, and says then that it should be asked again. A single node is asked once.
    fn ask_while<E: Display>(
        &self,
        statuses: &[u16],
        ask: impl Fn(&Client) -> Result<Answer, E>,
    ) -> Result<Answer, String> {
        let begun = Instant::now();
        loop {
            let answer = ask(self.any()).map_err(|err| err.to_string());
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let is_last = self.clients.len() == 1 || begun.elapsed() > ROUTES;
            if is_last || !statuses.contains(&status) {
                return answer;
            }
            sleep(PAUSE);
        }
    }
}
