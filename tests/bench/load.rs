//! The load generator. It sends requests over a fixed number of kept connections, on two threads.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::stats::{self, Sample, float};
use crate::wire::{Connection, Request};

const THREADS: usize = 2;

/// The generator stops after this many failures, because the rest would fail, too.
const FAILURES: u64 = 50;

const DIFFERENT: &str = "not what was uploaded";

/// The point at which a load stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// No request begins after this many seconds.
    Seconds(f64),
    /// The generator sends this many requests in all.
    Count(u64),
}

/// A load. `requests` makes the request of a number, counted from 0.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) limit: Limit,
    pub(crate) requests: &'a (dyn Fn(u64) -> Request + Sync),
}

/// The results of a load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) first_bytes: Vec<Duration>,
    pub(crate) bytes: u64,
    pub(crate) failures: u64,
    pub(crate) failure: Option<String>,
    /// The `Location` of each answer, with the number of its request.
    pub(crate) places: Vec<(u64, String)>,
}

impl Outcome {
    fn take(&mut self, part: Self) {
        self.latencies.extend(part.latencies);
        self.first_bytes.extend(part.first_bytes);
        self.bytes += part.bytes;
        self.failures += part.failures;
        self.failure = self.failure.take().or(part.failure);
        self.places.extend(part.places);
    }

    fn fail(&mut self, failure: &str) {
        self.failures += 1;
        self.failure.get_or_insert_with(|| failure.to_owned());
    }

    /// Returns rates and latencies for the report.
    pub(crate) fn sample(&self) -> Sample {
        let done = float(self.latencies.len());
        let mut sample = Sample::default();
        sample.set("requests", done);
        sample.set("failures", float(self.failures));
        sample.set("seconds", self.seconds);
        sample.set("rate", done / self.seconds);
        sample.set("mib", float(self.bytes) / stats::MIB / self.seconds);
        sample.set_latencies(&self.latencies);
        sample
    }
}

struct Shared<'a> {
    load: Load<'a>,
    next: AtomicU64,
    failures: AtomicU64,
    begun: Instant,
}

impl Load<'_> {
    /// Runs the load to its limit.
    ///
    /// # Errors
    /// The first failure, if no request succeeded or if that failure is an answer that differs from
    /// its upload.
    pub(crate) fn run(&self) -> Result<Outcome, String> {
        let shared = Shared {
            load: *self,
            next: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            begun: Instant::now(),
        };
        let mut whole = Outcome::default();
        std::thread::scope(|scope| {
            let shared = &shared;
            let threads = THREADS.min(self.connections);
            let share = |thread| (self.connections + thread) / threads;
            let running: Vec<_> = (0..threads)
                .map(share)
                .map(|share| scope.spawn(move || shared.work(share)))
                .collect();
            for thread in running {
                whole.take(thread.join().expect("a thread of the generator"));
            }
        });
        whole.seconds = shared.begun.elapsed().as_secs_f64();
        whole.places.sort();
        match &whole.failure {
            Some(failure) if whole.latencies.is_empty() || failure.starts_with(DIFFERENT) => {
                Err(failure.clone())
            }
            _ => Ok(whole),
        }
    }
}

impl Shared<'_> {
    /// Runs one thread's connections.
    fn work(&self, connections: usize) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let all = (0..connections).map(|_| self.one_connection());
        let mut whole = Outcome::default();
        for part in runtime.block_on(join_all(all)) {
            whole.take(part);
        }
        whole
    }

    /// Returns the number of the next request, or `None` if the load must stop.
    fn next(&self) -> Option<u64> {
        if self.failures.load(Ordering::Relaxed) >= FAILURES {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let goes_on = match self.load.limit {
            Limit::Seconds(seconds) => self.begun.elapsed().as_secs_f64() < seconds,
            Limit::Count(count) => number < count,
        };
        goes_on.then_some(number)
    }

    async fn one_connection(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = None;
        while let Some(number) = self.next() {
            if let Err(err) = self
                .one_request(&mut connection, number, &mut outcome)
                .await
            {
                // The state of the connection is unknown, so the next request gets a new one.
                connection = None;
                outcome.fail(&format!("connection: {err}"));
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    async fn one_request(
        &self,
        connection: &mut Option<Connection>,
        number: u64,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(self.load.address).await?,
        };
        let request = (self.load.requests)(number);
        let begun = Instant::now();
        let answer = open.exchange(&request).await?;
        let latency = begun.elapsed();
        *connection = (!answer.is_last).then_some(open);
        if !(200..300).contains(&answer.status) {
            outcome.fail(&format!("status {}", answer.status));
            self.failures.fetch_add(1, Ordering::Relaxed);
        } else if !answer.is_as_expected {
            outcome.fail(DIFFERENT);
        } else {
            outcome.latencies.push(latency);
            outcome.first_bytes.push(answer.first_byte - begun);
            outcome.bytes += request.body_length().max(answer.length);
            outcome
                .places
                .extend(answer.location.map(|place| (number, place)));
        }
        Ok(())
    }
}
