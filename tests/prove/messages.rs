//! Clients that send messages, read them and delete some, and a reader that follows a receiver's
//! list all the while.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::{Answer, Client, noise};
use serde_json::{Value, json};

use crate::ledger::{Ledger, Message, State};
use crate::load::{Load, below, length};
use crate::random::Random;
use crate::request::Request;

/// Receivers, each with a list of its own.
pub(crate) const RECEIVERS: usize = 2;

/// The number of messages of a page.
const PAGE: usize = 7;

/// The pause between two pages after a reader has read everything.
const REST: Duration = Duration::from_millis(200);

/// The messages of one client.
#[derive(Default)]
pub(crate) struct Own {
    /// The messages that it may read and delete.
    promised: Vec<Message>,
    unanswered: Vec<Message>,
}

impl Message {
    /// A message with these parts, to any receiver.
    pub(crate) fn new(key: u64, parts: Vec<(u64, usize)>, random: &mut Random) -> Self {
        Self {
            parts,
            key,
            to: below(random, RECEIVERS),
            source: None,
            state: State::Unknown,
            part_ids: Vec::new(),
        }
    }

    /// Sends the message; `Err` tells why no answer comes. It can be sent again at any time,
    /// because its key is the id that its sender gave it.
    pub(crate) fn send(&self, client: &Client) -> Result<Answer, String> {
        let (key, to) = (self.key, self.to);
        if let Some(source) = &self.source {
            let numbers = 1..=self.parts.len();
            let parts = numbers.map(|part| json!({ "message": source, "part": part }));
            let body = json!({
                "id": format!("prove-{key}"), "to": format!("receiver-{to}"),
                "message": { "key": key }, "parts": parts.collect::<Vec<_>>(),
            });
            let kind = ("Content-Type", "application/json");
            let answer = client.try_post("/messages", &[kind], body.to_string().as_bytes());
            return answer.map_err(|err| err.to_string());
        }
        let kind = ("Content-Type", Request::FORM);
        let answer = client.try_post("/messages", &[kind], &self.form());
        answer.map_err(|err| err.to_string())
    }

    /// The body of a message that forwards nothing.
    pub(crate) fn form(&self) -> Vec<u8> {
        let (key, to) = (self.key, self.to);
        let mut body = Vec::new();
        let mut add = |head: &str, bytes: &[u8]| {
            let head = format!("--prove-x\r\nContent-Disposition: form-data; {head}\r\n\r\n");
            body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
        };
        add("name=\"id\"", format!("prove-{key}").as_bytes());
        add("name=\"to\"", format!("receiver-{to}").as_bytes());
        let package = json!({ "key": key }).to_string();
        let head = "name=\"message\"\r\nContent-Type: application/json";
        add(head, package.as_bytes());
        for (part, length) in &self.parts {
            let head = format!("name=\"f\"; filename=\"{part}\"");
            add(&head, &noise(*part, *length));
        }
        body.extend_from_slice(b"--prove-x--\r\n");
        body
    }

    /// Returns the message with the ids of a 201.
    pub(crate) fn promised(&self, answer: &Answer) -> Self {
        let told = answer.json();
        let parts = told["parts"].as_array().cloned().unwrap_or_default();
        Self {
            state: State::Promised(id_of(&told)),
            part_ids: parts.iter().map(id_of).collect(),
            ..self.clone()
        }
    }

    /// Returns whether this refusal is right: the message forwards something that does not exist
    /// any more, or MongoDB cannot be asked for it now.
    pub(crate) fn is_excused(&self, ledger: &Ledger, status: u16) -> bool {
        let source = self.source.as_ref();
        source.is_some_and(|source| match status {
            503 => true,
            404 | 409 => !ledger.is_promised(source),
            _ => false,
        })
    }

    /// Reads the whole message as its receiver does, and returns its fault; `None` if it has none,
    /// or if there is no answer.
    pub(crate) fn fault(&self, client: &Client) -> Option<String> {
        let id = self.state.id()?;
        let path = format!("/messages/{id}");
        let told = client.try_ask("GET", &path, &[]).ok()?;
        match told.status {
            200 => {}
            404 | 410 => return Some(format!("not found: {told:?}")),
            _ => return None,
        }
        let told = told.json();
        let parts = told["parts"].as_array().cloned().unwrap_or_default();
        let ids: Vec<_> = parts.iter().map(id_of).collect();
        if told["message"]["key"] != self.key || ids != self.part_ids {
            return Some(format!("it is another: {told}"));
        }
        for ((key, length), number) in self.parts.iter().zip(1..) {
            let part = client
                .try_ask("GET", &format!("{path}/{number}"), &[])
                .ok()?;
            match part.status {
                200 if part.body != noise(*key, *length) => {
                    return Some(format!("part {number} has other bytes"));
                }
                404 | 410 => return Some(format!("part {number} was not found")),
                _ => {}
            }
        }
        None
    }
}

fn id_of(told: &Value) -> String {
    told["id"].as_str().unwrap_or_default().to_owned()
}

impl Load<'_> {
    /// Does one act of a client with its messages.
    pub(crate) fn act(&self, client: &Client, random: &mut Random, own: &mut Own) {
        match random.below(8) {
            0 | 1 if !own.promised.is_empty() => {
                let message = &own.promised[own.promised.len() - 1];
                if let Some(fault) = message.fault(client) {
                    self.tally.violate(&format!("{message:?}: {fault}"));
                }
                self.tally.reads.fetch_add(1, Ordering::Relaxed);
            }
            2 if !own.promised.is_empty() => {
                let last = own.promised.len() - 1;
                // The newest messages wait for their commit; those before are usually committed.
                let back = usize::try_from(random.below(2) * random.below(40));
                let back = back.expect("a small number");
                let message = own.promised.remove(last.saturating_sub(back));
                self.withdraw(client, &message);
            }
            3 if !own.unanswered.is_empty() => {
                let message = own.unanswered.swap_remove(0);
                self.send_message(client, message, own, true);
            }
            4 if !own.promised.is_empty() => {
                let message = &own.promised[0];
                if let Ok(answer) = message.send(client)
                    && answer.status == 201
                    && message.promised(&answer) != *message
                {
                    let words = format!("{message:?} was sent again, and now {answer:?}");
                    self.tally.violate(&words);
                }
                self.tally.repeats.fetch_add(1, Ordering::Relaxed);
            }
            5 if own.promised.iter().any(|message| !message.parts.is_empty()) => {
                let mut latest = own.promised.iter().rev();
                let source = latest.find(|message| !message.parts.is_empty());
                let source = source.expect("there is one");
                let message = Message {
                    key: self.key(),
                    to: (source.to + 1) % RECEIVERS,
                    source: source.state.id().map(str::to_owned),
                    state: State::Unknown,
                    ..source.clone()
                };
                self.ledger.set_message(message.clone());
                self.send_message(client, message, own, false);
            }
            _ => {
                let parts = (0..random.below(4)).map(|_| (self.key(), length(random)));
                let message = Message::new(self.key(), parts.collect(), random);
                self.ledger.set_message(message.clone());
                self.send_message(client, message, own, false);
            }
        }
    }

    fn send_message(&self, client: &Client, message: Message, own: &mut Own, is_again: bool) {
        self.tally.uploads.fetch_add(1, Ordering::Relaxed);
        let before = self.calm.load(Ordering::SeqCst);
        let answer = message.send(client);
        let status = answer.as_ref().map(|answer| answer.status);
        let Some(answer) = answer.as_ref().ok().filter(|answer| answer.status == 201) else {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
            let is_calm = before.is_multiple_of(2) && self.calm.load(Ordering::SeqCst) == before;
            let is_excused = status
                .as_ref()
                .is_ok_and(|status| message.is_excused(self.ledger, *status));
            // The first request may still be running.
            if is_calm && !is_excused && !(is_again && status == Ok(409)) {
                let words = format!("{message:?} was refused without a fault: {status:?}");
                self.tally.violate(&words);
            }
            own.unanswered.push(message);
            std::thread::sleep(REST);
            return;
        };
        let sent = message;
        let message = sent.promised(answer);
        let is_other = message.source.is_some() && message.part_ids != sent.part_ids;
        if is_other || message.part_ids.len() != message.parts.len() {
            self.tally.violate(&format!("{message:?}: {answer:?}"));
        }
        self.ledger.set_message(message.clone());
        self.tally
            .promises
            .fetch_add(1 + message.parts.len(), Ordering::Relaxed);
        own.promised.push(message);
    }

    fn withdraw(&self, client: &Client, message: &Message) {
        let id = message.state.id().expect("it was promised").to_owned();
        let with = |state| Message {
            state,
            ..message.clone()
        };
        self.ledger.set_message(with(State::Deleting(id.clone())));
        let path = format!("/messages/{id}");
        match client.try_ask("DELETE", &path, &[]) {
            Ok(answer) if answer.status == 204 => {
                self.ledger.set_message(with(State::Deleted(id)));
                self.tally.deletes.fetch_add(1, Ordering::Relaxed);
                // As in `Load::delete`.
                if self.ports.len() == 1
                    && let Ok(answer) = client.try_ask("GET", &path, &[])
                    && answer.status == 200
                {
                    let words = format!("{message:?} is there after its delete");
                    self.tally.violate(&words);
                }
            }
            Ok(answer) if answer.status == 404 => {
                let words = format!("{message:?} was promised and cannot be deleted");
                self.tally.violate(&words);
            }
            _ => {}
        }
    }
}

/// A reader that follows a list. In the end it sees all of the list, and sees nothing twice.
#[derive(Debug)]
pub(crate) struct Follower {
    receiver: usize,
    cursor: String,
    seen: HashSet<String>,
}

/// A page of a list.
struct Page {
    ids: Vec<String>,
    next: String,
}

impl Follower {
    pub(crate) fn of(receiver: usize) -> Self {
        Self {
            receiver,
            cursor: String::new(),
            seen: HashSet::new(),
        }
    }

    /// Reads on until the end of the load.
    pub(crate) fn follow(&mut self, load: &Load<'_>) {
        let clients = load.clients();
        let mut clients = clients.iter().cycle();
        while !load.is_over.load(Ordering::Relaxed) {
            let client = clients.next().expect("a node");
            match self.step(client) {
                Ok(0) | Err(None) => std::thread::sleep(REST),
                Ok(_) => {}
                Err(Some(fault)) => load.tally.violate(&fault),
            }
        }
    }

    /// Reads a page; returns how many messages it had. `Err(None)` if no page came.
    pub(crate) fn step(&mut self, client: &Client) -> Result<usize, Option<String>> {
        let page = self.page(client, &self.cursor).ok_or(None)?;
        let count = page.ids.len();
        self.cursor = page.next;
        for id in page.ids {
            if !self.seen.insert(id.clone()) {
                return Err(Some(format!("{id} is listed twice for {self:?}")));
            }
        }
        Ok(count)
    }

    /// Returns whether it has seen a message.
    pub(crate) fn has_seen(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Returns all waiting messages from the beginning; `None` if there is no whole answer.
    pub(crate) fn all(&self, client: &Client) -> Option<Vec<String>> {
        let (mut cursor, mut all) = (String::new(), Vec::new());
        loop {
            let page = self.page(client, &cursor)?;
            if page.ids.is_empty() {
                return Some(all);
            }
            all.extend(page.ids);
            cursor = page.next;
        }
    }

    fn page(&self, client: &Client, cursor: &str) -> Option<Page> {
        let after = if cursor.is_empty() {
            String::new()
        } else {
            format!("&after={cursor}")
        };
        let receiver = self.receiver;
        let path = format!("/receivers/receiver-{receiver}/messages?limit={PAGE}{after}");
        let answer = client.try_ask("GET", &path, &[]).ok()?;
        if answer.status != 200 {
            return None;
        }
        let told = answer.json();
        let messages = told["messages"].as_array()?;
        Some(Page {
            ids: messages.iter().map(id_of).collect(),
            next: told["next"].as_str()?.to_owned(),
        })
    }
}
