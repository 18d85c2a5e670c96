//! Clients that send whole files under a key, hang up, and ask by the key what came of it.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use kit::{Answer, Client};

use crate::load::{Load, below};
use crate::pieces::{Pieces, Told};
use crate::random::Random;
use crate::request::{hang_up, stay};
use crate::uploads::Course;

/// The length in bytes from which a whole file counts if it breaks off, unless it tells its length in
/// a field of its own.
const LONG: usize = 1_050_000;

/// The most questions by a key before a client sends more, and the pause between two: of a short body nothing is kept.
const MOST_QUESTIONS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

impl Pieces {
    fn name(&self) -> String {
        format!("/files/{}", self.key)
    }

    fn fields_of_whole(&self) -> Vec<(&'static str, String)> {
        let kind = "application/octet-stream".to_owned();
        let mut fields = vec![
            ("Idempotency-Key", self.idempotency_key()),
            ("Content-Type", kind),
        ];
        if self.length < LONG {
            fields.push(("Upload-Length", self.length.to_string()));
        }
        fields
    }

    /// Sends the whole file under its key. It may be sent again.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn put(&self, client: &Client) -> Result<Answer, String> {
        let fields = self.fields_of_whole();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = self.whole.bytes(self.key, 0, self.length);
        let answer = client.try_put(&self.name(), &fields, &body);
        answer.map_err(|err| err.to_string())
    }

    /// Asks what its key has brought.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn ask_by_key(&self, client: &Client) -> Result<Answer, String> {
        let key = self.idempotency_key();
        let answer = client.try_ask("HEAD", "/uploads/by-key", &[("Idempotency-Key", &key)]);
        answer.map_err(|err| err.to_string())
    }

    /// Asks by its key for a moment, until there is another answer than one of these.
    fn ask_while(&self, client: &Client, statuses: &[u16]) {
        for _ in 0..MOST_QUESTIONS {
            let answer = self.ask_by_key(client);
            if answer.is_ok_and(|answer| !statuses.contains(&answer.status)) {
                return;
            }
            sleep(PAUSE);
        }
    }

    /// Whether the answer to that question tells that it has to be sent again.
    pub(crate) fn is_nothing(answer: &Result<Answer, String>) -> bool {
        answer.as_ref().is_ok_and(|answer| answer.status == 404)
    }

    /// Takes in that it was taken whole: its id is in the answer.
    pub(crate) fn hear_whole(&mut self, answer: &Answer) {
        let id = answer.json()["id"].as_str().map(str::to_owned);
        self.id = Some(id.expect("an id"));
        self.told = self.length;
    }
}

impl Load<'_> {
    /// Does an act of a client that does not know yet what came of its file: sends it and hangs up, asks,
    /// or sends it whole.
    pub(crate) fn seek(&self, client: &Client, random: &mut Random, course: &mut Course) -> Told {
        let pieces = &mut course.pieces;
        match random.below(8) {
            0..=3 => {
                let sent = below(random, pieces.length);
                let body = pieces.whole.bytes(pieces.key, 0, pieces.length);
                let line = format!("PUT {}", pieces.name());
                let port = self.ports[pieces.home.unwrap_or_default()];
                let fields = pieces.fields_of_whole();
                // Two bodies break off, and the longer one adds its rest to the other, if that is kept by then.
                for sent in [below(random, sent + 1), sent] {
                    // A server that is down keeps nothing.
                    pieces.ask_while(client, &[503]);
                    let sent = (sent, stay(random));
                    let is_sent = hang_up(port, &line, &fields, &body, sent).is_ok();
                    let hung_up = &self.tally.hung_up;
                    hung_up.fetch_add(u64::from(is_sent), Ordering::Relaxed);
                    pieces.ask_while(client, &[404, 409, 503]);
                }
                Told::Open(0)
            }
            4..=6 => {
                let answer = pieces.ask_by_key(client);
                if Pieces::is_nothing(&answer) {
                    return Told::Open(0);
                }
                let told = self.hear(course, 0, &answer);
                let is_found = matches!(told, Told::Open(_) | Told::Complete);
                let found = &self.tally.found;
                found.fetch_add(u64::from(is_found), Ordering::Relaxed);
                told
            }
            _ => {
                let calm = self.calm.load(Ordering::SeqCst);
                let answer = pieces.put(client);
                match answer.as_ref().map(|answer| answer.status) {
                    Ok(201) => {
                        pieces.hear_whole(answer.as_ref().expect("an answer"));
                        return Told::Complete;
                    }
                    // The rest of an earlier try is being kept.
                    Ok(409) => {}
                    _ => self.is_refused(course, calm, &answer),
                }
                Told::Nothing
            }
        }
    }
}
