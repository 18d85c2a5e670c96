//! Clients: they upload, read what they were promised, and delete some of it, whatever happens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::ledger::{Ledger, State};
use crate::random::Random;
use crate::stage::Tally;
use crate::support::{Answer, Client, noise};

/// Longer than any answer takes whose sidecar is alive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The boundary between the log and files, and that of a chunk.
const LOGGED: u64 = 65_536;
const CHUNK: u64 = 255 * 1024;

/// What the clients share.
pub(crate) struct Load<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) tally: &'a Tally,
    pub(crate) port: u16,
    pub(crate) is_over: &'a AtomicBool,
    /// Odd while something is wrong that clients may notice. As long as it is even and stays what
    /// it is, every upload must be promised.
    pub(crate) calm: &'a AtomicU64,
    pub(crate) next_key: &'a AtomicU64,
}

impl Load<'_> {
    /// One client, until it is over.
    pub(crate) fn run(&self, seed: u64) {
        let mut random = Random::new(seed);
        let client = Client::with_patience(self.port, Some(PATIENCE));
        let mut mine: Vec<(u64, usize, String)> = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            match random.below(20) {
                0 | 1 => self.form(&client, &mut random, &mut mine),
                2..=4 if !mine.is_empty() => {
                    let newest = mine.len() - 1;
                    self.delete(&client, mine.remove(newest));
                }
                5..=8 if !mine.is_empty() => {
                    let count = u64::try_from(mine.len()).expect("a small number");
                    let which = usize::try_from(random.below(count)).expect("a small number");
                    self.read(&client, &mine[which]);
                }
                _ => self.upload(&client, &mut random, &mut mine),
            }
        }
    }

    fn upload(&self, client: &Client, random: &mut Random, mine: &mut Vec<(u64, usize, String)>) {
        let (key, length) = (self.key(), length(random));
        self.ledger.send(key, length);
        self.tally.uploads.fetch_add(1, Ordering::Relaxed);
        let disposition = format!("attachment; filename=\"{key}\"");
        let headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", disposition.as_str()),
        ];
        let before = self.calm.load(Ordering::SeqCst);
        let answer = client.try_post("/files", &headers, &noise(key, length));
        if let Some(answer) = self.promised(answer.ok(), before) {
            let id = answer.json()["id"].as_str().expect("an id").to_owned();
            self.enter(key, length, id, mine);
        }
    }

    /// Two or three files in one body: all of them are promised, or none.
    fn form(&self, client: &Client, random: &mut Random, mine: &mut Vec<(u64, usize, String)>) {
        let files: Vec<_> = (0..2 + random.below(2))
            .map(|_| (self.key(), length(random)))
            .collect();
        let mut body = Vec::new();
        for (key, length) in &files {
            self.ledger.send(*key, *length);
            let head = format!(
                "--prove-x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{key}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(&noise(*key, *length));
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--prove-x--\r\n");
        self.tally.uploads.fetch_add(1, Ordering::Relaxed);
        let headers = [("Content-Type", "multipart/form-data; boundary=prove-x")];
        let before = self.calm.load(Ordering::SeqCst);
        let answer = client.try_post("/files", &headers, &body);
        if let Some(answer) = self.promised(answer.ok(), before) {
            let json = answer.json();
            for ((key, length), file) in files.into_iter().zip(json["files"].as_array().unwrap()) {
                let id = file["id"].as_str().expect("an id").to_owned();
                self.enter(key, length, id, mine);
            }
        }
    }

    /// The answer, if it is a promise.
    fn promised(&self, answer: Option<Answer>, before: u64) -> Option<Answer> {
        let Some(answer) = answer.filter(|answer| answer.status == 201) else {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            if before.is_multiple_of(2) && self.calm.load(Ordering::SeqCst) == before {
                self.tally.violate("an upload was refused without a fault");
            }
            return None;
        };
        Some(answer)
    }

    fn enter(&self, key: u64, length: usize, id: String, mine: &mut Vec<(u64, usize, String)>) {
        self.ledger.set(key, State::Promised(id.clone()));
        self.tally.promises.fetch_add(1, Ordering::Relaxed);
        mine.push((key, length, id));
    }

    /// A promised file is never absent, and never another.
    fn read(&self, client: &Client, (key, length, id): &(u64, usize, String)) {
        let Ok(answer) = client.try_ask("GET", &format!("/files/{id}"), &[]) else {
            return;
        };
        match answer.status {
            200 if answer.body != noise(*key, *length) => {
                self.tally
                    .violate(&format!("{key} {id} came back with other bytes"));
            }
            404 | 410 => self
                .tally
                .violate(&format!("{key} {id} was not found: {answer:?}")),
            200 => {
                self.tally.reads.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn delete(&self, client: &Client, (key, _, id): (u64, usize, String)) {
        self.ledger.set(key, State::Deleting(id.clone()));
        let path = format!("/files/{id}");
        match client.try_ask("DELETE", &path, &[]) {
            Ok(answer) if answer.status == 204 => {
                self.ledger.set(key, State::Deleted(id.clone()));
                self.tally.deletes.fetch_add(1, Ordering::Relaxed);
                if let Ok(answer) = client.try_ask("GET", &path, &[])
                    && answer.status == 200
                {
                    self.tally
                        .violate(&format!("{key} {id} is there after its delete"));
                }
            }
            Ok(answer) if answer.status == 404 => {
                self.tally
                    .violate(&format!("{key} {id} was promised and cannot be deleted"));
            }
            _ => {}
        }
    }

    fn key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }
}

/// From nothing to several chunks, and often just at a boundary.
fn length(random: &mut Random) -> usize {
    let length = match random.below(20) {
        0 => 0,
        1..=6 => 1 + random.below(2_000),
        7..=10 => 1 + random.below(LOGGED),
        11 | 12 => LOGGED - 1 + random.below(3),
        13 | 14 => CHUNK - 1 + random.below(3),
        15..=18 => LOGGED + random.below(3 * CHUNK),
        _ => random.below(3_000_000),
    };
    usize::try_from(length).expect("a small number")
}
