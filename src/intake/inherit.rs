//! Takes over the answers to keys of a node that leaves, so that they outlive it.
//!
//! 1. An admin wants a node to leave. It takes no more uploads, and when nothing waits there, it gives its
//!    answers to whoever asks with the key of the nodes.
//! 2. The first node of the list that is up asks for them, page by page. It keeps a page as answers of its own, and
//!    lets the witnesses of their keys know that, before it asks for the next.
//! 3. The question behind the last page tells the node that all its answers are kept. Only then it may go.

use std::sync::Arc;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::carry::{AT_ONCE, PAUSE};
use super::key::Cluster;
use super::key_words::FileWord;
use super::{Intake, IntakeError};
use crate::file::Sha256;
use crate::journal::{AnswerPlace, Fingerprint, HandedFile, Subject};
use crate::peers::Unreachable;

/// The most bytes of a page with several answers, approximately: the node that asks takes only so many at once.
const PAGE_BYTES: u64 = 1024 * 1024;

/// The question for the first page.
const BEGIN: &str = "begin";

/// The question behind the last page.
const END: &str = "end";

/// A page of answers.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    answers: Vec<Vec<HandedWord>>,
    /// The place of the next page.
    next: String,
}

/// A file of an answer that goes over to another node.
#[derive(Debug, Serialize, Deserialize)]
struct HandedWord {
    key: String,
    content: String,
    sender: u64,
    age: u64,
    first: String,
    position: u32,
    files: u32,
    file: FileWord,
}

impl Intake {
    /// The next answers of this node, for one that takes them over; `None` if this node does not leave, or has work, or
    /// if there is no such place.
    ///
    /// # Errors
    /// When the disk does not return an answer.
    pub async fn hand_over(&self, place: &str) -> Result<Option<String>, IntakeError> {
        let Some(cluster) = &self.cluster else {
            return Ok(None);
        };
        if !cluster.peers.is_handing_over(place == END) {
            return Ok(None);
        }
        let mut page = Page {
            answers: Vec::new(),
            next: END.to_owned(),
        };
        if place != END {
            let behind = AnswerPlace::read(place);
            if behind.is_none() && place != BEGIN {
                return Ok(None);
            }
            let journal = Arc::clone(&self.journal);
            let read = move || journal.answers_to_hand_over(behind, AT_ONCE, PAGE_BYTES);
            let found = spawn_blocking(read).await??;
            let answers = found.answers.iter();
            page.answers = answers
                .map(|files| files.iter().map(HandedWord::of).collect())
                .collect();
            page.next = found.place.map_or(page.next, |place| place.to_string());
        }
        let told = serde_json::to_string(&page).map_err(|err| {
            log::error!("answers cannot be handed over: {err}");
            IntakeError::Lost
        })?;
        Ok(Some(told))
    }

    /// Takes the answers of nodes that leave over, one after the other. It never ends; dropping it leaves some of them
    /// here, and the next node that asks gets all.
    pub(super) async fn keep_inheriting(&self, cluster: &Cluster) {
        loop {
            for node in cluster.peers.nodes_to_inherit() {
                match self.inherit(cluster, node).await {
                    Ok(count) => {
                        log::info!("{count} answers to keys are taken over from node {node}");
                    }
                    Err(IntakeError::KeyUnsure(err)) => log::debug!("nothing to take over: {err}"),
                    Err(err) => log::error!("answers of node {node} are not taken over: {err}"),
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn inherit(&self, cluster: &Cluster, node: u16) -> Result<usize, IntakeError> {
        let peers = &cluster.peers;
        let (mut place, mut count) = (BEGIN.to_owned(), 0);
        loop {
            let told = peers.ask_to_hand_over(node, &place, self.journal.attempt());
            let told = told.await.map_err(IntakeError::KeyUnsure)?;
            if place == END {
                return Ok(count);
            }
            let unknown =
                || IntakeError::KeyUnsure(Unreachable::new(node, "answers in unknown words"));
            let page: Page = serde_json::from_str(&told).map_err(|_| unknown())?;
            let answers = page.answers.into_iter().map(|files| {
                let files = files.into_iter().map(HandedWord::read);
                files.collect::<Option<Vec<_>>>()
            });
            let answers: Vec<_> = answers.collect::<Option<_>>().ok_or_else(unknown)?;
            let firsts = answers.iter().filter_map(|files| files.first());
            let keys: Vec<_> = firsts
                .map(|file| (file.request.key, file.request.sender))
                .collect();
            count += keys.len();
            let journal = Arc::clone(&self.journal);
            let keep = move || journal.take_handed_over(answers);
            if !spawn_blocking(keep).await?? {
                let running = Unreachable::new(node, "a request is under way under a key of it");
                return Err(IntakeError::KeyUnsure(running));
            }
            let lists = peers.lists();
            let known = keys.into_iter();
            join_all(known.map(|key| cluster.make_known(&self.journal, key, &lists))).await;
            place = page.next;
        }
    }
}

impl HandedWord {
    fn of(handed: &HandedFile) -> Self {
        Self {
            key: handed.request.key.to_string(),
            content: handed.request.content.to_string(),
            sender: handed.request.sender.0,
            age: handed.age,
            first: handed.first.to_string(),
            position: handed.position,
            files: handed.files,
            file: FileWord::of(&handed.file),
        }
    }

    fn read(self) -> Option<HandedFile> {
        Some(HandedFile {
            file: self.file.read()?,
            request: Fingerprint {
                key: Sha256::from_hex(&self.key)?,
                content: Sha256::from_hex(&self.content)?,
                sender: Subject(self.sender),
            },
            age: self.age,
            first: self.first.parse().ok()?,
            position: self.position,
            files: self.files,
        })
    }
}
